"""Sums over the positions of feature maps of which at no time more than a band is there.

Between the blocks of the network the pooled maps are kept; a block is computed in bands that read
as many rows beyond their own as it has convolutions (`bands`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from overpaint.banding.bands import Band, Rows, bands, empty_map, in_bands
from overpaint.banding.pooling import (
    convolved,
    pooled_relu,
    through_convolution,
    through_pooled_relu,
)
from overpaint.encoder.vgg import Block, Kernels, Vgg19Features

PIXELS = "pixels"
"""The name under which the image itself is tallied."""

Tally = Callable[[str, Tensor, Rows | None], tuple[Tensor, Sequence[Tensor]]]
"""Is given a layer's name, its map or some rows of it, and which rows count (None: all of them);
returns the map that the next layer reads, and sums over the positions that count."""

Totals = dict[str, tuple[Tensor, ...]]
"""Of each layer the sums over all positions."""


def tally_in_bands(
    encoder: Vgg19Features,
    image: Tensor,
    layers: Iterable[str],
    heights: Sequence[int],
    tally: Tally,
) -> Totals:
    """The totals of what is tallied of an image and its maps.

    Args:
        encoder: the frozen network.
        image: (B, 3, H, W), sRGB in [0, 1].
        layers: names of the maps that are tallied beside `PIXELS`.
        heights: for each block, from the first on, the rows of a band; 0: computed whole, with its
            maps kept for the backward pass.
        tally: what to sum.

    Raises:
        ConfigError: if a layer is unknown.
        ValueError: if an edge is too small for the layers, or a layer is beyond what was built.
    """
    wanted = tuple(layers)
    blocks = encoder.blocks(wanted, image)
    below, right = encoder.beyond(wanted, image)
    x, totals = image, Totals()
    for number, (block, rows) in enumerate(zip(blocks, heights, strict=False)):
        first = number == 0
        banded = _BandedBlock(
            encoder,
            block,
            wanted,
            tally,
            height=x.shape[2] + (below if first else 0),
            image_height=x.shape[2] if first else None,
            right=right,
            is_last=number == len(blocks) - 1,
        )
        x, found = banded.in_bands(x, rows) if rows else banded.whole(x)
        totals |= found
    return totals


@dataclass
class _BandedBlock:
    """One block of the network on one image."""

    encoder: Vgg19Features
    block: Block
    layers: Sequence[str]
    tally: Tally
    height: int
    """Of its maps."""
    image_height: int | None
    """Of the image, if this is the first block."""
    right: int
    """Columns that the image is mirrored by."""
    is_last: bool
    _kernels: Kernels | None = None
    _sums: dict[str, int] = field(default_factory=dict)
    """How many sums there are of each layer, in order."""

    def in_bands(self, x: Tensor, rows: int) -> tuple[Tensor, Totals]:
        """What the next block reads, and the totals of this one."""
        kind = x.device.type
        if torch.is_autocast_enabled(kind):
            self._kernels = self.encoder.kernels(self.block, torch.get_autocast_dtype(kind))
        piece = _ShortPiece if self._is_short() else _Piece
        pieces = [
            (self._source(band), piece(self, band))
            for band in bands(self.height, rows, len(self.block))
        ]
        y, sums = in_bands(x, pieces, self.height // 2)
        totals, at = Totals(), 0
        for layer, number in self._sums.items():
            totals[layer] = sums[at : at + number]
            at += number
        return x if y is None else y, totals

    def whole(self, x: Tensor) -> tuple[Tensor, Totals]:
        """The same, with all maps kept for the backward pass."""
        totals = Totals()

        def visit(layer: str, features: Tensor) -> Tensor:
            features, sums = self.tally(layer, features, None)
            totals[layer] = tuple(sums)
            return features

        if self.image_height is not None:
            x = self.encoder.prepared(visit(PIXELS, x), self.height - self.image_height, self.right)
        x = self.encoder.through(self.block, x, self.layers, visit)
        return x if self.is_last else self.encoder.pool(x), totals

    def _source(self, band: Band) -> slice:
        """The rows of the block's input; of an image also those that are mirrored in it."""
        rows, height = band.source, self.image_height
        if height is None or rows.stop <= height:
            return rows
        return slice(min(rows.start, 2 * height - 1 - rows.stop), height)

    def _is_short(self) -> bool:
        """Whether its last map is read by nothing but a maximum over windows of it."""
        last = self.block[-1]
        is_read = last.conv in self.layers or last.relu in self.layers
        return self.encoder.takes_maxima and not self.is_last and not is_read

    def begun(self, band: Band, part: Tensor, block: Block) -> tuple[Tensor, list[Tensor]]:
        """The rows of a band in the map after the first convolutions, and its sums."""
        found: list[Tensor] = []
        position = {layer.conv: number for number, layer in enumerate(self.block, start=1)}
        position |= {layer.relu: number for number, layer in enumerate(self.block, start=1)}

        def visit(layer: str, features: Tensor) -> Tensor:
            return count(layer, features, band.rows(position[layer], self.height))

        def count(layer: str, features: Tensor, rows: Rows) -> Tensor:
            features, sums = self.tally(layer, features, rows)
            self._sums[layer] = len(sums)
            found.extend(sums)
            return features

        if self.image_height is not None:
            source, height = self._source(band), self.image_height
            above = band.first - source.start
            last = min(band.last, height)
            part = count(PIXELS, part, Rows(band.first, max(0, last - band.first), above, height))
            part = self.encoder.prepared(part, max(0, band.source.stop - height), self.right)
            part = part[:, :, band.source.start - source.start :]
        x = self.encoder.through(
            block, part, self.layers, visit, kernels=self._kernels, pads=band.pads
        )
        return x, found

    def last_kernel(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Weight and bias of its last convolution."""
        return (self._kernels or self.encoder.kernels(self.block, like.dtype))[-1]


@dataclass(frozen=True)
class _Piece:
    """What is computed of one band."""

    block: _BandedBlock
    band: Band

    def __call__(self, part: Tensor) -> tuple[Tensor | None, list[Tensor]]:
        """The pooled rows of the band, and its sums."""
        block, band = self.block, self.band
        x, found = block.begun(band, part, block.block)
        if block.is_last:
            return None, found
        x = block.encoder.pool(x)
        rows = Rows(band.first // 2, band.last // 2 - band.first // 2, band.above // 2, 0)
        return (x[:, :, rows.here] if band.pads else x), found


@dataclass(frozen=True)
class _ShortPiece(_Piece):
    """The same, whose last map is not computed again (`pooling`)."""

    def kept(self, part: Tensor) -> tuple[Tensor, list[Tensor], Tensor]:
        """The pooled rows, the sums, and which values were the largest."""
        x, found = self.begun(part)
        kernel, bias = self.block.last_kernel(x)
        x = convolved(x, kernel, bias, pads=self.band.pads)
        pooled, choices = pooled_relu(x[:, :, self._first : self._first + self._rows])
        return pooled, found, choices

    def begun(self, part: Tensor) -> tuple[Tensor, list[Tensor]]:
        """What the last convolution reads, and the sums."""
        return self.block.begun(self.band, part, self.block.block[:-1])

    def back(self, read: Tensor, own: Tensor, kept: Tensor, gradient: Tensor) -> Tensor:
        """The gradient by what the last convolution reads."""
        kernel, _ = self.block.last_kernel(read)
        pads = self.band.pads
        like = empty_map(read, read.shape[2] - (0 if pads else 2), own.shape[1])
        like = through_pooled_relu(own, kept, gradient, like, self._first)
        return through_convolution(like, read, kernel, pads=pads)

    @property
    def _first(self) -> int:
        """Of the map of the last convolution, the first row that counts."""
        return self.band.above if self.band.pads else 0

    @property
    def _rows(self) -> int:
        """How many rows count."""
        return self.band.last - self.band.first
