"""Which learning rates to try, and which of those tried is best: the rules, without the runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from PIL import Image

from overpaint.errors import DivergedError

# Losses this close are a tie, which the lower rate wins: no eye sees two percent.
TIE = 0.02

# A loss has visibly begun to fall after this share of its whole fall.
VISIBLE = 0.05


@dataclass(frozen=True)
class Round:
    """One round of the search."""

    rates: int
    """How many are compared."""
    steps: int
    """Of each trial."""


@dataclass(frozen=True)
class Trial:
    """What one rate did to the picture in a number of steps."""

    rate: float
    losses: tuple[float, ...]
    """Total loss before each step and after the last one: one more than there are steps."""
    moved: tuple[float, ...] = ()
    """Mean absolute change of the picture in each step, in grey levels of 255."""
    clamped: float = 0.0
    """Share of the values of the last picture at the ends of their range."""
    saturated: bool = False
    """Whether that is far more than photo, painting and start have."""
    pictures: Mapping[int, Image.Image] = field(default_factory=dict, repr=False, compare=False)
    """Step to the picture after it, where one was kept and is finite."""

    @property
    def steps(self) -> int:
        """Of the trial."""
        return len(self.losses) - 1

    @property
    def loss(self) -> float:
        """The loss that the trial has come to, infinite if it left the finite numbers.

        It is the mean over the last tenth of the trial, of three values at least, for one value
        alone is noisy.
        """
        tail = self.losses[-max(3, len(self.losses) // 10) :]
        return sum(tail) / len(tail) if all(map(math.isfinite, tail)) else math.inf

    @property
    def is_usable(self) -> bool:
        """Whether the rate may be chosen: it lowers the loss and leaves a picture."""
        return self.loss < self.losses[0] and math.isfinite(self.loss) and not self.saturated


def plan_rounds(candidates: int, steps: int, rounds: int) -> list[Round]:
    """Successive halving: each round compares half as many rates over twice as many steps.

    Args:
        candidates: rates of the first round, 2 or more.
        steps: of a trial in the last round.
        rounds: how many at most; fewer where rates or steps run out.

    Returns:
        The rounds in order, of about the same cost each, the last with two rates or more.

    Jamieson & Talwalkar 2016 (arXiv:1502.07943), with steps as the budget.
    """
    count = max(1, min(rounds, int(math.log2(candidates)), int(math.log2(max(2, steps)))))
    return [
        Round(max(2, candidates >> i), max(1, round(steps / 2 ** (count - 1 - i))))
        for i in range(count)
    ]


def spaced(lowest: float, highest: float, count: int) -> list[float]:
    """`count` rates from `lowest` to `highest` at equal ratios, each rounded to three digits."""
    exponents = (i / max(1, count - 1) for i in range(count))
    return [_rounded(lowest * (highest / lowest) ** exponent) for exponent in exponents]


def bracket(rates: Sequence[float], losses: Sequence[float]) -> tuple[float, float]:
    """The rates worth a trial, by a range test.

    Args:
        rates: the rising rates, one a step.
        losses: before the first step and after each one.

    Returns:
        The rate at which the loss visibly begins to fall, and the last one after which it is not
        above where it began. Both ends of `rates` where the loss never falls.

    Smith 2015 (arXiv:1506.01186), section 3.3, reads the same two ends off the curve of accuracy.
    """
    after = losses[1:]
    first = after[0]  # not the start: L-BFGS's first step has a length of its own
    lowest = min((loss for loss in after if math.isfinite(loss)), default=math.inf)
    if not lowest < first < math.inf:
        return rates[0], rates[-1]
    begun = first - VISIBLE * (first - lowest)
    low = next(rate for rate, loss in zip(rates, after, strict=True) if loss <= begun)
    high = [rate for rate, loss in zip(rates, after, strict=True) if loss <= first][-1]
    return (low, high) if low < high else (rates[0], rates[-1])


def next_rates(trials: Sequence[Trial], count: int, *, refine: bool) -> list[float]:
    """The rates of the next round, rising.

    Args:
        trials: of this round, all over the same number of steps.
        count: how many to compare next.
        refine: give two of the places to the rates halfway from the best to its neighbours.

    Raises:
        DivergedError: if no trial is usable.
    """
    usable = sorted((one for one in trials if one.is_usable), key=lambda one: one.loss)
    if not usable:
        raise _nothing_usable(trials)
    best = usable[0].rate
    halfway: list[float] = []
    if refine and count > 2:
        below = max((one.rate for one in trials if one.rate < best), default=None)
        above = min((one.rate for one in trials if one.rate > best), default=None)
        halfway = [_rounded(math.sqrt(best * other)) for other in (below, above) if other]
    kept = [one.rate for one in usable[: count - len(halfway)]]
    return sorted({*kept, *halfway})


def choose(trials: Sequence[Trial]) -> Trial:
    """The lowest usable rate whose loss ties with the least.

    Args:
        trials: over the same number of steps.

    Raises:
        DivergedError: if none is usable.
    """
    usable = [one for one in trials if one.is_usable]
    if not usable:
        raise _nothing_usable(trials)
    least = min(one.loss for one in usable)
    return min((one for one in usable if one.loss <= least * (1 + TIE)), key=lambda one: one.rate)


def grey_levels(moved: float) -> str:
    """A number of 8-bit grey levels for people: two digits, whole from 10 on."""
    return f"{moved:.0f}" if moved >= 10 else f"{moved:.2g}"


def _nothing_usable(trials: Sequence[Trial]) -> DivergedError:
    rates = [one.rate for one in trials]
    return DivergedError(
        f"No rate from {min(rates):g} to {max(rates):g} gives a picture: each trial diverged, "
        "raised the loss or drove the picture to black and white; try a lower tune.lowest."
    )


def _rounded(rate: float) -> float:
    return float(f"{rate:.3g}")
