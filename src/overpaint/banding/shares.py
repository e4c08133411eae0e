"""A picture that several processes measure together: whose rows are whose.

Each one computes its own rows, and as many beyond them as the whole network reads; only its own
count in its sums over positions, so that the sums of all processes add up to those of the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from overpaint.banding.bands import Rows
from overpaint.encoder.layers import blocks_up_to, minimum_edge


@dataclass(frozen=True)
class Share:
    """That of one process in the rows of each picture."""

    place: int
    """Of the process, counted from 0."""
    processes: int
    total: Callable[[Sequence[Tensor]], Sequence[Tensor]]
    """From the sums of this process to those of all, with gradients; all processes call it with
    tensors of the same shapes."""

    def part(self, layers: Iterable[str], height: int) -> Part | None:
        """What this process measures of a picture; None: all of it, as each process does."""
        parts = divided(layers, height, self.processes)
        return parts[self.place] if parts else None


@dataclass(frozen=True)
class Part:
    """Rows of a picture that count, and those around them that are computed with them."""

    first: int
    """Of those that count, which begin where every pooling does."""
    last: int
    """The row after them; the picture's height in the lowest part."""
    top: int
    """Of those that are computed, likewise."""
    bottom: int
    height: int
    """Of the picture."""

    @property
    def source(self) -> slice:
        """The rows of the picture that are computed."""
        return slice(self.top, self.bottom)

    def own(self, poolings: int) -> slice:
        """Those rows of the picture's whole map that count, after some poolings."""
        last = None if self.last == self.height else self.last >> poolings
        return slice(self.first >> poolings, last)

    def rows(self, poolings: int, height: int, rows: Rows | None) -> Rows:
        """Those rows of a map in hand that count, placed among all that count in this part.

        Args:
            poolings: that lie before the map.
            height: of the part's whole map.
            rows: that are in hand, of the part's whole map; None: all of it.
        """
        first = (self.first - self.top) >> poolings
        last = height if self.last == self.height else (self.last - self.top) >> poolings
        begin, end = (0, height) if rows is None else (rows.first, rows.first + rows.count)
        above = 0 if rows is None else rows.above
        start = min(max(begin, first), end)
        stop = max(start, min(end, last))
        return Rows(max(0, start - first), stop - start, above + start - begin, last - first)


def halo(layers: Iterable[str]) -> int:
    """Rows above or below a part that its maps depend on, to where every pooling begins.

    Raises:
        ConfigError: if a layer is unknown.
    """
    wanted = tuple(layers)
    rows = 0
    for number, block in enumerate(reversed(blocks_up_to(wanted))):
        rows = len(block) + (2 * rows if number else 0)
    multiple = minimum_edge(wanted)
    return -(-rows // multiple) * multiple


def rows_at_most(layers: Iterable[str], height: int, processes: int) -> int:
    """The rows of a picture that some process computes; arguments are those of `divided`."""
    parts = divided(layers, height, processes)
    return max((part.bottom - part.top for part in parts), default=height)


def divided(layers: Iterable[str], height: int, processes: int) -> tuple[Part, ...]:
    """Divides a picture so that all processes compute about as many rows, with those around theirs.

    Args:
        layers: that are read.
        height: of the picture.
        processes: how many.

    Returns:
        A part for each process, from top to bottom; none if the picture is so low that some
        process would have nothing to do, or all of it.
    """
    wanted = tuple(layers)
    multiple, beyond = minimum_edge(wanted), halo(wanted)
    each = (height + 2 * beyond * (processes - 1)) / processes
    edges = [round((k * each - (2 * k - 1) * beyond) / multiple) for k in range(1, processes)]
    bounds = [0, *(edge * multiple for edge in edges), height]
    if any(last - first < multiple for first, last in pairwise(bounds)):
        return ()
    parts = tuple(
        Part(first, last, max(0, first - beyond), min(height, last + beyond), height)
        for first, last in pairwise(bounds)
    )
    return () if any(part.bottom - part.top == height for part in parts) else parts
