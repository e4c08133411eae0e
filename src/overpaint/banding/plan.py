"""Which blocks of the network are computed in bands, how high they are, and what that takes.

The estimate follows a step through the network: the forward pass keeps what each block reads, and
of a block that is computed whole all its maps; the backward pass gives them back, block by block
from the deepest, and holds two gradients and the maps of one band meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

# Values of one map of a band, about: some megabytes, read again before they leave a cache.
_VALUES = 1 << 22
# Rows at least: of what a block computes for a band, one row in so many is computed for two of
# them for each convolution but the last.
_LEAST_ROWS = 48
_SMALLEST = 8  # where memory is too short for those
# Bytes a pixel that do not depend on the plan, in float32: the picture, its gradient, Adam's two
# moments, the picture before the step and the last good one; and a few copies of the pictures.
_PICTURES, _COPIES = 6 * 12, 30
_INDEX = 8  # bytes of where a pooling found its largest value
_CHOICE = 2  # bits of the same in a band
# Blocks in bands where that is asked for: most of the memory. The fourth costs a tenth more time,
# saves a third of what is left, and follows where a step would take more than this many bytes.
_BANDED, _ROOMY = 3, 3_200_000_000
# What the allocator holds beside what is asked for: measured, docs/large_pictures.md.
_SLACK = 1.15


@dataclass(frozen=True)
class BlockSize:
    """What a block of the network takes."""

    channels: int
    convolutions: int


@dataclass(frozen=True)
class Plan:
    """How the blocks are computed."""

    heights: tuple[int, ...]
    """Rows of a band for each block; 0: computed whole."""
    needed: int
    """Bytes that a step takes, about; without the weights."""

    def __str__(self) -> str:
        """For people: `blocks 1 to 3 in bands of 64, 64 and 96 rows`."""
        rows = [str(height) for height in self.heights if height]
        if not rows:
            return "computed whole"
        if len(rows) == 1:
            return f"block 1 in bands of {rows[0]} rows"
        return f"blocks 1 to {len(rows)} in bands of {', '.join(rows[:-1])} and {rows[-1]} rows"


def plan_bands(
    shape: Sequence[int], blocks: Sequence[BlockSize], itemsize: int, *, free: int | None
) -> Plan:
    """The fastest way to compute a picture in bands that memory holds, or the one that takes least.

    The shallow blocks have the large maps, and each block in bands is computed twice; so the first
    three are, and deeper ones where a step would be large.

    Args:
        shape: (B, 3, H, W), of the picture or the batch.
        blocks: of the network, as far as it is computed.
        itemsize: bytes of a value of the feature maps.
        free: bytes that there are; None if that is not known.
    """
    plans = [
        _plan(shape, blocks, itemsize, banded, least)
        for least in (_LEAST_ROWS, _SMALLEST)
        for banded in range(min(_BANDED, len(blocks)), len(blocks) + 1)
    ]
    fitting = [plan for plan in plans if free is None or plan.needed <= free]
    roomy = [plan for plan in fitting if plan.needed <= _ROOMY]
    deeper = [plan for plan in fitting if sum(map(bool, plan.heights)) > _BANDED]
    return next(iter([*roomy, *deeper, *fitting]), min(plans, key=lambda plan: plan.needed))


def _plan(
    shape: Sequence[int], blocks: Sequence[BlockSize], itemsize: int, banded: int, least: int
) -> Plan:
    batch, _, _, width = shape
    heights = []
    for number, block in enumerate(blocks):
        row = batch * max(1, width >> number) * block.channels
        rows = max(least * block.convolutions // 2, _VALUES * block.convolutions // 2 // row)
        heights.append(rows - rows % 2 if number < banded else 0)
    return Plan(tuple(heights), step_bytes(shape, blocks, itemsize, heights))


def step_bytes(
    shape: Sequence[int], blocks: Sequence[BlockSize], itemsize: int, heights: Sequence[int]
) -> int:
    """What a step takes at its peak, in bytes, where at least the first block is in bands."""
    batch, _, height, width = shape
    pixels = batch * height * width
    channels = [block.channels for block in blocks]
    maps = [pixels * one * itemsize >> 2 * number for number, one in enumerate(channels)]
    reads = [0, *(one // 4 for one in maps[:-1])]  # of each block but the first, the pooled maps
    kept, passing = [], []
    for number, (block, rows) in enumerate(zip(blocks, heights, strict=True)):
        pooled = maps[number] // 4 * _INDEX // itemsize if number < len(blocks) - 1 else 0
        own = block.convolutions * maps[number] + pooled
        share = 1.0
        if rows:
            tall = max(1, height >> number)
            share = min(1.0, (rows + 2 * block.convolutions) / tall)
        chosen = maps[number] // 4 // itemsize * _CHOICE // 8 if pooled else 0
        kept.append(chosen if rows else own)
        passing.append(round(share * (own if rows else 0) + share * 2 * maps[number]))
    below = [*accumulate(read + own for read, own in zip(reads, kept, strict=True))]
    gradients = [*reads[1:], 0]
    peak = max(
        before + reads[number] + gradients[number] + passing[number]
        for number, before in enumerate(below)
    )
    deepest = maps[min(3, len(maps) - 1)]  # about what the content target takes
    return round(_SLACK * (peak + deepest) + (_PICTURES + _COPIES) * pixels)
