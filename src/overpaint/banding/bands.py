"""Maps computed in horizontal bands: which rows, and how gradients go back through them.

A band is computed from its rows and some beyond them, and nothing of it is kept but what it adds to
sums over positions and the rows that are read next. The backward pass computes it once more. Sums
and gradients are those of the whole, to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


@dataclass(frozen=True)
class Rows:
    """Those rows of a map in hand that count, and where they lie in the whole map."""

    first: int
    """Place of the first of them in the whole map."""
    count: int
    above: int
    """Rows of the map in hand before the first of them."""
    height: int
    """Of the whole map."""

    @property
    def here(self) -> slice:
        """Where they lie in the map in hand."""
        return slice(self.above, self.above + self.count)

    @property
    def there(self) -> slice:
        """Where they lie in the whole map."""
        return slice(self.first, self.first + self.count)


@dataclass(frozen=True)
class Band:
    """Rows of the maps of one block, and what the block's convolutions read beyond them."""

    first: int
    last: int
    """The row after them."""
    above: int
    below: int
    pads: bool
    """Whether its rows end at a border of the picture, beyond which convolutions read zeros. It
    is then padded at both edges, and what is wrong at the other one stays within `above` or
    `below`."""

    @property
    def source(self) -> slice:
        """The rows of the block's input that it reads."""
        return slice(self.first - self.above, self.last + self.below)

    def rows(self, convolutions: int, height: int) -> Rows:
        """Its rows in a map.

        Args:
            convolutions: that the map has been through in this block.
            height: of the whole map.
        """
        above = self.above if self.pads else self.above - convolutions
        return Rows(self.first, self.last - self.first, above, height)


def bands(height: int, rows: int, convolutions: int) -> tuple[Band, ...]:
    """Divides the maps of a block into bands of about equal heights, which begin at even rows.

    Args:
        height: of the maps.
        rows: of a band, about; at most, but for one row more in the last.
        convolutions: of the block, each 3x3.
    """
    halo = convolutions + convolutions % 2  # so that 2x2 poolings see the pairs that they see whole
    number = max(1, -(-height // max(2, rows - rows % 2)))
    each = -(-height // number)
    each += each % 2
    starts = [start for start in range(0, height, each) if start == 0 or start < height - 1]
    found = []
    for first, last in zip(starts, [*starts[1:], height], strict=True):
        above, below = min(halo, first), min(halo, height - last)
        pads = above < convolutions or below < convolutions
        if not pads:
            above = below = convolutions
        found.append(Band(first, last, above, below, pads))
    return tuple(found)


Compute = Callable[[Tensor], tuple[Tensor | None, Sequence[Tensor]]]
"""From rows of a map to rows of the next one, if there is one, and to sums over positions."""


@runtime_checkable
class Shortcut(Protocol):
    """A `Compute` of which the end need not be computed again for the backward pass."""

    def __call__(self, part: Tensor) -> tuple[Tensor | None, Sequence[Tensor]]:
        """As any `Compute`."""

    def kept(self, part: Tensor) -> tuple[Tensor, Sequence[Tensor], Tensor]:
        """The same, and what `back` needs."""

    def begun(self, part: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        """The part that is computed again: what the end reads, and the sums."""

    def back(self, read: Tensor, own: Tensor, kept: Tensor, gradient: Tensor) -> Tensor:
        """The gradient by what the end reads, from the rows that it gave and their gradient."""


def in_bands(
    x: Tensor, pieces: Sequence[tuple[slice, Compute | Shortcut]], height: int
) -> tuple[Tensor | None, tuple[Tensor, ...]]:
    """The rows that pieces of a map give, one below the other, and the totals of their sums.

    Args:
        x: (B, C, H, W); of what is computed from it nothing else is kept for the backward pass.
        pieces: from top to bottom, rows of `x` and what to compute from them; whatever row is
            needed by any piece lies in one of them.
        height: of the result.

    Returns:
        (B, C', height, W') or None, and the sums.
    """
    y, *sums = _InBands.apply(x, pieces, height)
    return y, tuple(sums)


class _InBands(torch.autograd.Function):
    """The gradient by the sums is one for all pieces; that by `x` adds up where pieces overlap."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, pieces: Sequence[tuple[slice, Compute | Shortcut]], height: int
    ) -> tuple[Tensor | None, ...]:
        ctx.set_materialize_grads(False)
        kind = x.device.type
        ctx.autocast = kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind)
        ctx.pieces, ctx.heights, ctx.kept = pieces, [], []
        y, totals, done = None, list[Tensor](), 0
        for rows, compute in pieces:
            own, sums, kept = _computed(compute, x[:, :, rows], keeps=ctx.needs_input_grad[0])
            totals = [a + b for a, b in zip(totals, sums, strict=True)] if totals else [*sums]
            ctx.heights.append(0 if own is None else own.shape[2])
            ctx.kept.append(kept)
            if own is None:
                continue
            if y is None:
                y = empty_map(own, height)
            y[:, :, done : done + own.shape[2]] = own
            done += own.shape[2]
        is_short = any(kept is not None for kept in ctx.kept)
        ctx.save_for_backward(x, *([y] if is_short else []))
        return y, *totals

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_y: Tensor | None, *grad_sums: Tensor | None
    ) -> tuple[Tensor | None, None, None]:
        x, *short = ctx.saved_tensors
        kind, dtype, enabled = ctx.autocast
        gradient, written, done = torch.empty_like(x), 0, 0
        for (rows, compute), height, kept in zip(ctx.pieces, ctx.heights, ctx.kept, strict=True):
            leaf = x[:, :, rows].detach().requires_grad_()
            again = compute if kept is None else compute.begun
            with (
                torch.enable_grad(),
                torch.autocast(kind, dtype, enabled=enabled, cache_enabled=False),
            ):
                own, sums = again(leaf)
            pairs = [(total, grad) for total, grad in zip(sums, grad_sums, strict=True)]
            if grad_y is not None and own is not None:
                here = slice(done, done + height)
                grad = grad_y[:, :, here]
                if kept is not None:
                    grad = compute.back(own.detach(), short[0][:, :, here], kept, grad)
                pairs.append((own, grad))
            done += height
            pairs = [(one, grad) for one, grad in pairs if grad is not None]
            if not pairs:
                return None, None, None
            (new,) = torch.autograd.grad(
                [one for one, _ in pairs], leaf, [grad for _, grad in pairs]
            )
            above = max(0, written - rows.start)
            gradient[:, :, rows.start : rows.start + above] += new[:, :, :above]
            gradient[:, :, rows.start + above : rows.stop] = new[:, :, above:]
            written = rows.stop
        return gradient, None, None


def _computed(
    compute: Compute | Shortcut, part: Tensor, *, keeps: bool
) -> tuple[Tensor | None, Sequence[Tensor], Tensor | None]:
    """What is computed of a part, and what the backward pass of a shortcut needs."""
    if keeps and isinstance(compute, Shortcut):
        return compute.kept(part)
    return *compute(part), None


def empty_map(part: Tensor, height: int, channels: int | None = None) -> Tensor:
    """A map of another height, perhaps of other channels, laid out in memory like `part`."""
    batch, own_channels, _, width = part.shape
    last = part.is_contiguous(memory_format=torch.channels_last) and not part.is_contiguous()
    layout = torch.channels_last if last else torch.contiguous_format
    return torch.empty(
        (batch, channels or own_channels, height, width),
        dtype=part.dtype,
        device=part.device,
        memory_format=layout,
    )
