"""A sweep from its plan to a table: trial after trial in one process."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rich.console import Console

from overpaint.building.places import require_places
from overpaint.building.shelf import Shelf, Siblings
from overpaint.console import command
from overpaint.interrupts import Interrupts, followed_interrupts
from overpaint.records.run_folder import create_sweep_folder
from overpaint.settings.schema import Config
from overpaint.sweeps.folder import locked, save_plan
from overpaint.sweeps.plan import Plan
from overpaint.sweeps.spaces import Point, probes
from overpaint.sweeps.table import KeptTable, best_of, differing, print_table
from overpaint.sweeps.trials import Outcome, Trial, run_trials, show_page

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SweepResult:
    """What a sweep left."""

    folder: Path
    """Absolute path; holds a folder for each trial, and sweep.csv."""
    outcomes: tuple[Outcome, ...]
    """Of the trials that were begun, in their order."""
    interrupted: bool


class _Source(Protocol):
    """Where trials come from."""

    def trials(self) -> Iterator[Trial]:
        """One after the other, each when the one before is done."""

    def tell(self, outcome: Outcome) -> None:
        """Takes in what became of one."""


class _Listed:
    """Trials that are known from the start."""

    def __init__(self, points: Sequence[Point], folder: Path) -> None:
        self._points = points
        self._folder = folder

    def trials(self) -> Iterator[Trial]:
        """One for each point."""
        for number, point in enumerate(self._points, 1):
            yield Trial(number, point, self._folder / f"{number:03d}")

    def tell(self, outcome: Outcome) -> None:
        """Nothing follows from it."""


def begin_sweep(plan: Plan, text: str) -> Path:
    """Makes the folder of a sweep, `output.dir/<time>-sweep-<name>`.

    Args:
        plan: the sweep, with checked settings.
        text: of its file.

    Returns:
        Its absolute path.

    Raises:
        ConfigError: if nothing can be written where it is to be.
        OSError: if it cannot be made.
    """
    config = _middle(plan)
    require_places(config, copied=False)
    folder = create_sweep_folder(config.output.dir, plan.sweep.name)
    save_plan(folder, plan, text)
    return folder


def run_sweep(
    plan: Plan, points: Sequence[Point], folder: Path, *, console: Console | None = None
) -> SweepResult:
    """Runs the trials that are not done, and tells what all of them have come to.

    Args:
        plan: the sweep, with checked settings.
        points: of its trials, if it knows them before.
        folder: of the sweep; what is done there already stays as it is.
        console: a terminal to draw a progress bar on.

    Returns:
        What became of each trial. After Ctrl-C, or SIGTERM made to raise KeyboardInterrupt, the
        trial that was under way keeps its picture, and the sweep goes on from there.

    Raises:
        CheckpointError: if another process is at this sweep.
        KeyboardInterrupt: at a second interrupt, or at one where there was nothing to keep.
    """
    outcomes: list[Outcome] = []
    with locked(folder), followed_interrupts() as interrupts:
        try:
            source = _source(plan, points, folder)
            interrupted = _run_trials(plan, source, folder, interrupts, outcomes, console)
        except KeyboardInterrupt:
            _say_how_to_go_on(folder)
            raise
        result = SweepResult(folder, tuple(outcomes), interrupted)
        _conclude(plan, result)
    return result


def _run_trials(
    plan: Plan,
    source: _Source,
    folder: Path,
    interrupts: Interrupts,
    outcomes: list[Outcome],
    console: Console | None,
) -> bool:
    """Adds an outcome for each trial; returns whether it was interrupted before the last one."""
    table = KeptTable(folder / "sweep.csv", [*plan.sweep.space])

    def tell(outcome: Outcome) -> None:
        outcomes.append(outcome)
        source.tell(outcome)
        table.save(outcomes)

    return run_trials(
        source.trials(),
        lambda trial: plan.settings(trial.point),
        interrupts=interrupts,
        tell=tell,
        console=console,
        siblings=Siblings(group=folder.name, shelf=Shelf()),
    )


def _source(plan: Plan, points: Sequence[Point], folder: Path) -> _Source:
    if plan.sweep.method != "bayes":
        if plan.sweep.early_terminate is not None:
            logger.info("early_terminate: here with method: bayes alone; trials run to their end.")
        return _Listed(points, folder)
    from overpaint.sweeps.optuna import Search  # an extra

    return Search(plan, folder, reports=_logged_steps(_middle(plan)))


def _middle(plan: Plan) -> Config:
    """The settings of a trial in the middle, for what all have in common."""
    return plan.settings(next(probes(plan.sweep.space)))


def _logged_steps(config: Config) -> int:
    """How many steps of a run are logged: the first, each n-th and the last."""
    steps, every = config.schedule.steps, config.tracking.log_every
    return len({1, steps, *range(every, steps + 1, every)})


def _conclude(plan: Plan, result: SweepResult) -> None:
    """What there is to look at, where everything is, what failed, and how to go on."""
    outcomes = result.outcomes
    _show(plan, result)
    failed = [one for one in outcomes if one.has_failed]
    logger.info(
        "Sweep: %s (%d trials, %d of them failed)", result.folder, len(outcomes), len(failed)
    )
    for one in failed:
        logger.error("error: trial %d: %s", one.trial.number, one.error or one.status)
    if result.interrupted:
        _say_how_to_go_on(result.folder)


def _show(plan: Plan, result: SweepResult) -> None:
    """The trials side by side: as a table, and as a page, laid out by settings if two differ."""
    print_table(plan.sweep, result.outcomes, best_of(plan.sweep, result.outcomes))
    keys = differing(plan.sweep, [one for one in result.outcomes if one.facts])
    grid = (keys[0], keys[1]) if len(keys) == 2 else None
    show_page(result.outcomes, result.folder / "report.html", grid=grid)


def _say_how_to_go_on(folder: Path) -> None:
    again = f"{command('sweep')} --resume {shlex.quote(str(folder))}"
    logger.warning("To go on with the sweep: %s", again)
