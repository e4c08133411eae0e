"""What the steps of a run say about its learning rate: plain numbers in, sentences out.

The thresholds were set between recorded runs at good rates and at rates a hundred times lower and
higher, `tests/golden/rate_traces.json`, of Adam, L-BFGS and gradient descent.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

Kind = Literal["too_low", "too_high"]

# Grey levels of 255. What a rate that is found to be too low should have moved the picture by in a
# step; five levels are also the length of L-BFGS's first step.
GOOD_STEP = 5.0
# Steps after which a rate can be called too low. Step 1 does not count, for L-BFGS's has a length
# of its own; where the next logged step is later than LATEST_STEP, nothing is said, for L-BFGS's
# steps are small at a good rate too by then.
EARLY_STEPS, LATEST_STEP = 20, 30
# Grey levels a step. Below this, seven levels in 20 steps, hardly any paint is to be seen. Good
# rates move the picture by 0.75 and more, a hundredth of them by 0.25 and less.
SLOW_STEP = 0.35
# Grey levels a step. Below this rounding may hide that the loss falls.
STANDSTILL = 0.01

# Values on black or white, as a share of all, above what the photo, paintings and start have. Good
# rates stay below 0.17 for good, a hundred times them reach 0.98 in a step.
CLAMPED_MARGIN = 0.25
# A loss that stays above this multiple of the first one; good rates bring it below 1.
LOSS_FACTOR = 2.0
# Steps for which either must last. L-BFGS without a line search now and then takes a far too long
# step at its right rate too, and is back two steps later.
LASTING_STEPS = 3
# Grey levels in a step. Where less moves, it is not this rate that holds the loss up.
MOVING = 1.0
# A loss that rises by more than this share, so often among so many logged steps, goes to and fro;
# L-BFGS does it up to four times.
RISE = 0.05
RISES, RISES_AMONG = 6, 12


@dataclass(frozen=True)
class Row:
    """One logged step."""

    step: int
    """Counted from 1 over the whole run."""
    lr: float
    """Learning rate of this step."""
    loss: float
    """Total loss of the picture before it."""
    moved: float
    """Mean absolute change of the picture in it, in 8-bit grey levels."""
    clamped: float
    """Share, in [0, 1], of the values of the picture after it that are exactly 0 or 1."""


@dataclass(frozen=True)
class Finding:
    """What is wrong with a learning rate, in words."""

    kind: Kind
    step: int
    """The step after which it showed."""
    message: str
    """One sentence: what was measured, and what to try."""


def judge(
    trace: Sequence[Row], *, rate: float, last_step: int, usual_clamped: float, command: str
) -> list[Finding]:
    """What the newest row of a trace says about the learning rate.

    Args:
        trace: the logged steps of one size so far, in order; later sizes begin a new trace.
        rate: the learning rate as it was set, above 0; a schedule may lower that of each step.
        last_step: of the run.
        usual_clamped: share, in [0, 1], of values at 0 or 1 in the photo, paintings and start.
        command: what finds a rate, for the message.

    Returns:
        Findings, none in most cases. One that lasts is returned with each row.
    """
    if not trace or not all(math.isfinite(row.loss) for row in trace):
        return []
    at, or_ask = f"at optimizer.lr={rate:g}", f"or find one with `{command}`."
    findings = []
    slow = _too_low(trace, last_step)
    if slow is not None:
        higher = rate * GOOD_STEP / slow if slow else math.inf
        what = (
            f"The picture moves by {slow:.2g} of 255 grey levels a step {at}: the learning rate is "
            f"too low; try {_setting(higher)}, {or_ask}"
        )
        findings.append(Finding("too_low", trace[-1].step, what))
    wild = _too_high(trace, usual_clamped)
    if wild is not None:
        what = (
            f"{wild} {at}: the learning rate is too high; "
            f"try optimizer.lr={rate / 10:.2g}, {or_ask}"
        )
        findings.append(Finding("too_high", trace[-1].step, what))
    return findings


def _setting(rate: float) -> str:
    return f"optimizer.lr={rate:.2g}" if math.isfinite(rate) else "a far higher one"


def _too_low(trace: Sequence[Row], last_step: int) -> float | None:
    """Grey levels a step, at the rate of the first row, if they are too few.

    Only the first row after the early steps is judged: later steps may be small because the
    picture is done, or because the schedule has lowered the rate.
    """
    due = min(EARLY_STEPS, last_step)
    if trace[0].step != 1 or len(trace) < 2:
        return None
    if not trace[-2].step < due <= trace[-1].step <= LATEST_STEP:
        return None
    rows = [row for row in trace[1:] if row.lr > 0]
    if not rows:
        return None
    # The median, for one far too long step of L-BFGS would outweigh all others.
    moved = median(row.moved * trace[0].lr / row.lr for row in rows)
    losses = [row.loss for row in (trace[1:] if len(trace) > 2 else trace)]
    stands = moved < STANDSTILL and losses[-1] > 0
    return moved if stands or (moved < SLOW_STEP and _falls(losses)) else None


def _falls(losses: Sequence[float]) -> bool:
    """Whether at least two losses fall as a whole, and from most of them to the next."""
    half = len(losses) // 2
    falls = sum(after < before for before, after in itertools.pairwise(losses))
    return median(losses[-half:]) < median(losses[:half]) and 2 * falls > len(losses) - 1


def _too_high(trace: Sequence[Row], usual_clamped: float) -> str | None:
    """What is seen of too high a rate, if anything: the beginning of a sentence."""
    first, last = trace[0], trace[-1]
    if _lasts(trace, lambda row: row.clamped > usual_clamped + CLAMPED_MARGIN):
        return (
            f"By step {last.step} {last.clamped:.0%} of the picture's values are black or white "
            f"(usual: {usual_clamped:.0%})"
        )
    above = LOSS_FACTOR * first.loss
    if first.loss > 0 and _lasts(trace, lambda row: row.loss > above and row.moved > MOVING):
        return f"The loss of step {last.step} is {last.loss / first.loss:.2g} times the first one"
    recent = trace[-RISES_AMONG - 1 :]
    rises = sum(b.loss > (1 + RISE) * a.loss for a, b in itertools.pairwise(recent))
    if rises >= RISES:
        return (
            f"The loss rose {rises} times between the last {len(recent)} logged steps, "
            f"up to step {last.step},"
        )
    return None


def _lasts(trace: Sequence[Row], holds: Callable[[Row], bool]) -> bool:
    """Whether something holds in all rows of the last LASTING_STEPS steps, and in the one then."""
    spell = list(itertools.takewhile(holds, reversed(trace)))
    return bool(spell) and trace[-1].step - spell[-1].step >= LASTING_STEPS
