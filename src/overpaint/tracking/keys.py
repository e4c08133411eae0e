"""The name of everything that is logged, once: in metrics.csv, in W&B, in its summary."""

from __future__ import annotations

STEP = "trainer/global_step"
"""Lightning's name for the x axis of all curves; it counts over all sizes of a run."""

RATE = "optimizer/lr"
EVALUATIONS = "optimizer/evaluations"
MOVED = "update/mean_abs"
TOTAL = "loss/total"

SNAPSHOTS = "snapshots"
CONTENT = "inputs/content"
STYLES = "inputs/style"

DIVERGED = "diverged"
STUDY = "study/"
TRIALS = "study/trials"
CLAMPED = "clamped"
SATURATED = "saturated"
CHOSEN_RATE = "chosen_lr"
SECONDS = "seconds"
RESULT_FACTS = ("evaluations", "interrupted")

RESULT = "result"
"""A table of one row, which W&B joins over runs."""

SPEED = "perf/steps_per_second"
PEAK_MEMORY = "perf/peak_memory_mb"
TIME = "perf/seconds"


def loss(name: str) -> str:
    """Of a loss while the run goes on: `total`, `content`, `style`, `style/<layer>` or `tv`."""
    return f"loss/{name}"


def final(name: str) -> str:
    """Of a loss of the result, in the summary."""
    return f"final/{name}"


def least(name: str) -> str:
    """Of the least value of a loss at a logged step of the result's size, in the summary."""
    return f"min/{name}"


def rate_warning(kind: str) -> str:
    """Of what was found about the learning rate: `too_low` or `too_high`."""
    return f"rate/{kind}"
