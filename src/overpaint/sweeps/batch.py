"""A batch from its plan to a folder of pictures."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from overpaint.building.shelf import Shelf, Siblings
from overpaint.callbacks.progress import Overall
from overpaint.interrupts import Interrupts, followed_interrupts
from overpaint.records.environment import read_facts
from overpaint.settings.schema import Config
from overpaint.sweeps.batch_plan import BatchPlan
from overpaint.sweeps.folder import locked
from overpaint.sweeps.pairs import CONTENT, STYLE, Pair
from overpaint.sweeps.several.crew import Crew
from overpaint.sweeps.table import KeptTable
from overpaint.sweeps.trials import (
    Outcome,
    Trial,
    is_done,
    is_left_alone,
    run_trial,
    run_trials,
    show_page,
)

logger = logging.getLogger(__name__)

_AGAIN = "To go on with the batch, give the same command again."


@dataclass(frozen=True)
class BatchResult:
    """What a batch left."""

    folder: Path
    """Absolute path; holds the pictures, `runs/`, batch.csv and report.html."""
    outcomes: tuple[Outcome, ...]
    """Of this shard's pictures that were begun or found done, in their order."""
    interrupted: bool


def run_batch(plan: BatchPlan, *, console: Console | None = None) -> BatchResult:
    """Paints what is not done of a batch.

    Args:
        plan: the batch, checked.
        console: a terminal to draw a progress bar on.

    Returns:
        What became of each picture. After Ctrl-C, or SIGTERM made to raise KeyboardInterrupt, what
        was under way is kept as it is, and the same plan goes on from there.

    Raises:
        CheckpointError: if another process is at this batch, or at this shard of it.
        OSError: if its folder cannot be made.
        KeyboardInterrupt: at a second interrupt, or at one where there was nothing to keep.
    """
    plan.folder.mkdir(parents=True, exist_ok=True)
    part, parts = plan.shard
    lock = ".lock" if parts == 1 else f".lock-{part}-of-{parts}"
    with locked(plan.folder, "batch", name=lock), followed_interrupts() as interrupts:
        try:
            result = _paint(plan, interrupts, console)
        except KeyboardInterrupt:
            logger.warning(_AGAIN)
            raise
        _conclude(plan, result)
    return result


def _paint(plan: BatchPlan, interrupts: Interrupts, console: Console | None) -> BatchResult:
    """Paints what is not done, as many at a time as are asked for."""
    outcomes: list[Outcome] = []
    trials = [_trial(plan, pair, number) for number, pair in enumerate(plan.mine, 1)]
    before = {one.number for one in trials if is_done(one.folder)}
    if before:
        logger.info("%d of %d pictures are done already.", len(before), len(trials))
    waiting = [one for one in trials if not is_left_alone(one.folder)]
    at_once = max(1, min(plan.jobs, len(waiting)))

    def settings(trial: Trial) -> Config:
        return plan.settings(plan.mine[trial.number - 1])

    with Overall(len(trials), done=len(before), at_once=at_once, console=console) as overall:

        def tell(outcome: Outcome) -> None:
            outcomes.append(outcome)
            if outcome.trial.number not in before and outcome.status != "interrupted":
                overall.count(outcome.trial.number if at_once > 1 else 0)

        siblings = Siblings(group=plan.folder.name, shelf=Shelf(), overall=overall)
        if at_once > 1:
            to_paint = {one.number for one in waiting}
            for trial in (one for one in trials if one.number not in to_paint):
                tell(run_trial(trial, settings, console=None, siblings=siblings))
            _tell_of_previews(waiting, settings)
            crew = Crew(
                *(waiting, settings),
                at_once=at_once,
                group=plan.folder.name,
                tell=tell,
                overall=overall,
            )
            is_cut_short = crew.paint(interrupts)
        else:
            is_cut_short = run_trials(
                *(trials, settings),
                interrupts=interrupts,
                tell=tell,
                console=console,
                siblings=siblings,
            )
    outcomes.sort(key=lambda one: one.trial.number)
    return BatchResult(plan.folder, tuple(outcomes), is_cut_short)


def _tell_of_previews(trials: Sequence[Trial], settings: Callable[[Trial], Config]) -> None:
    if any(settings(one).output.preview for one in trials):
        logger.info(
            "Several pictures at a time are not shown in the terminal, only as preview.png in each "
            "run folder."
        )


def _trial(plan: BatchPlan, pair: Pair, number: int) -> Trial:
    styles = pair.styles[0] if len(pair.styles) == 1 else list(pair.styles)
    return Trial(
        number,
        {CONTENT: pair.content, STYLE: styles, **pair.settings},
        plan.run_folder(pair),
        name=pair.name,
        copy=plan.picture(pair),
    )


def _conclude(plan: BatchPlan, result: BatchResult) -> None:
    """What there is to look at, where everything is, what failed, and how to go on."""
    known = _of_all_shards(plan, result.outcomes)
    KeptTable(plan.folder / "batch.csv", plan.keys).save(known)
    contents, styles = ({str(one.trial.point[key]) for one in known} for key in (CONTENT, STYLE))
    is_grid = len(contents) > 1 and len(styles) > 1 and len(known) == len(contents) * len(styles)
    show_page(known, plan.folder / "report.html", grid=(CONTENT, STYLE) if is_grid else None)
    failed = [one for one in result.outcomes if one.has_failed]
    done = sum(one.status == "done" for one in result.outcomes)
    logger.info(
        "Pictures: %s (%d of %d done, %d failed)",
        *(plan.folder, done, len(plan.mine), len(failed)),
    )
    for one in failed:
        logger.error("error: %s: %s", one.trial.title, one.error or one.status)
    if result.interrupted:
        logger.warning(_AGAIN)


def _of_all_shards(plan: BatchPlan, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """What is known of all pictures: those of this shard, and what others have done."""
    own = {one.trial.name: one for one in outcomes}
    found = []
    for number, pair in enumerate(plan.pairs, 1):
        if pair.name in own:
            found.append(own[pair.name])
        elif is_done(plan.run_folder(pair)):
            trial = _trial(plan, pair, number)
            facts = read_facts(trial.folder)
            found.append(Outcome(trial, "diverged" if facts.get("diverged") else "done", facts))
    return found
