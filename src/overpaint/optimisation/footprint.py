"""What a run takes of memory where the network is computed whole, estimated from its pixels.

The numbers are peaks of whole runs at 256 to 1024 px on a CPU, less what the process held before,
by `scripts/development/measure_memory.py`; docs/performance.md has the table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class _Cost:
    """Bytes that a network takes in one arithmetic."""

    fixed: int
    """Weights, and buffers that do not grow."""
    step: int
    """A pixel of the picture: what forward and backward pass hold at once."""
    targets: int
    """A pixel of a painting, which has no backward pass."""


_COSTS = {
    ("vgg19", "bf16-mixed"): _Cost(150_000_000, 1900, 650),
    ("vgg19", "32-true"): _Cost(150_000_000, 3200, 1450),
    ("vgg19_slim", "bf16-mixed"): _Cost(60_000_000, 900, 300),
    ("vgg19_slim", "32-true"): _Cost(60_000_000, 1250, 450),
}
_HELD = 16  # bytes a pixel of a painting, 8-bit and as a float32 tensor
_PAIR = 24  # bytes a pixel of L-BFGS: a step and a change of the gradient, 3 float32 values each
_STEP = 16  # of the sizes that are proposed, pixels


def bytes_needed(
    network: str,
    precision: str,
    pixels: int,
    paintings: Sequence[int],
    *,
    pairs: int = 0,
) -> int:
    """The memory that a run adds to a process at its peak, in bytes.

    Args:
        network: `vgg19` or `vgg19_slim`.
        precision: `32-true` or `bf16-mixed`.
        pixels: of the picture at its largest size.
        paintings: pixels of each painting at that size.
        pairs: of L-BFGS's history; 0 for other optimisers.
    """
    cost = _COSTS[network, precision]
    largest = max(cost.step * pixels, cost.targets * max(paintings, default=0))
    beside = fixed_bytes(network, precision, paintings) + history_bytes(pairs, pixels)
    return largest + beside


def fixed_bytes(network: str, precision: str, paintings: Sequence[int]) -> int:
    """What of it does not depend on how the network is computed: weights, and the paintings."""
    return _COSTS[network, precision].fixed + _HELD * sum(paintings)


def history_bytes(pairs: int, pixels: int) -> int:
    """What L-BFGS keeps of its last steps."""
    return _PAIR * pairs * pixels


def largest_edge(needed: Callable[[int], int], free: int, *, below: int) -> int:
    """The largest size for which memory should do, a multiple of 16, or 0 if there is none.

    Args:
        needed: from a longer edge in pixels to bytes; grows with it.
        free: bytes.
        below: pixels; the size is smaller than this.
    """
    low, high = 0, (below - 1) // _STEP
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if needed(middle * _STEP) <= free else (low, middle - 1)
    return low * _STEP
