"""The coarse-to-fine plan of a run: which size for how many steps, and the rate at each step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """One size at which the picture is optimised."""

    long_edge: int
    """Pixels."""
    first_step: int
    """Steps done before this scale."""
    steps: int


def plan_scales(
    long_edge: int,
    steps: int,
    *,
    scales: Sequence[float] = (1.0,),
    shares: Sequence[float] = (),
    smallest: int = 1,
) -> list[Scale]:
    """Divides the steps of a run among its sizes.

    Args:
        long_edge: of the result, in pixels.
        steps: of all sizes together.
        scales: rising shares of `long_edge`, the last one 1.
        shares: relative numbers of steps; equal if empty.
        smallest: long edges below this, in pixels, are left out; the next size gets their steps.

    Returns:
        The sizes, smallest first, each with a step at least; the steps add up to `steps`. Where
        there are fewer steps than sizes, the smallest sizes are left out.
    """
    weights = list(shares) or [1.0] * len(scales)
    kept: list[tuple[int, float]] = []
    waiting = 0.0
    for index, (scale, weight) in enumerate(zip(scales, weights, strict=True)):
        edge, later = max(1, round(long_edge * scale)), len(scales) - index - 1
        waiting += weight
        if later == 0 or (edge >= smallest and later < steps):
            kept.append((edge, waiting))
            waiting = 0.0
    plan: list[Scale] = []
    total, reached, done = sum(weights), 0.0, 0
    for index, (edge, weight) in enumerate(kept):
        reached += weight
        later = len(kept) - index - 1
        end = min(max(round(steps * reached / total), done + 1), steps - later)
        plan.append(Scale(edge, done, end - done))
        done = end
    return plan


def rate_factor(schedule: str, step: int, steps: int, final: float) -> float:
    """What the learning rate is multiplied by.

    Args:
        schedule: `constant`, or `cosine`: half a cosine from 1 down to `final`
            (Loshchilov & Hutter 2017, arXiv:1608.03983, eq. 5, without restarts).
        step: steps done before, from 0.
        steps: of the whole run, all sizes together.
        final: the factor at the end of a cosine, in [0, 1].
    """
    if schedule == "constant":
        return 1.0
    progress = min(step / max(1, steps), 1.0)
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))
