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
    return _divided(kept, steps)


def share_of_work(plan: Sequence[Scale], completed: int) -> float:
    """How much of a plan is done after some steps, from 0 to 1; a step costs as its pixels do."""
    costs = [(scale.long_edge**2, scale) for scale in plan]
    whole = sum(cost * scale.steps for cost, scale in costs)
    done = sum(
        cost * min(max(completed - scale.first_step, 0), scale.steps) for cost, scale in costs
    )
    return done / whole


def replanned(
    plan: Sequence[Scale], *, long_edge: int, first_step: int, completed: int
) -> list[Scale]:
    """What is left of a plan, for a run that goes on.

    Args:
        plan: of the whole run, perhaps of more steps than those that it began with.
        long_edge: of the size that the run had reached, in pixels.
        first_step: steps that it did before that size.
        completed: steps that it has done.

    Returns:
        The sizes from that one on. All steps after `first_step` are theirs, in the proportions of
        the plan.
    """
    left = [scale for scale in plan if scale.long_edge >= long_edge]
    if left[0].first_step == first_step:
        return left
    steps = left[-1].first_step + left[-1].steps - first_step
    return _divided(
        [(scale.long_edge, scale.steps) for scale in left],
        steps,
        first_step=first_step,
        least=max(1, completed - first_step),
    )


def _divided(
    sizes: Sequence[tuple[int, float]], steps: int, *, first_step: int = 0, least: int = 1
) -> list[Scale]:
    """Divides `steps` among sizes, each with its weight: `least` for the first, 1 for the others.

    There are as many steps at least.
    """
    plan: list[Scale] = []
    total, reached, done = sum(weight for _, weight in sizes), 0.0, 0
    for index, (edge, weight) in enumerate(sizes):
        reached += weight
        later = len(sizes) - index - 1
        end = max(round(steps * reached / total), done + 1 if plan else least)
        end = min(end, steps - later)
        plan.append(Scale(edge, first_step + done, end - done))
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
