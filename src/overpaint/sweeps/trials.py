"""Trials of a sweep, or pictures of a batch: ordinary runs, each in a folder of its own."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
from rich.console import Console

from overpaint.building.shelf import Siblings
from overpaint.callbacks.reporting import ReportLoss
from overpaint.errors import (
    CheckpointError,
    ConfigError,
    DivergedError,
    ImageError,
    NotEnoughMemoryError,
    TrackingError,
    WeightsError,
    brief,
)
from overpaint.files import remove_leftovers, write_bytes
from overpaint.interrupts import Interrupts
from overpaint.records.environment import read_facts
from overpaint.records.result import RunResult
from overpaint.reports.compare import write_page
from overpaint.runs.resume import resume
from overpaint.runs.stylize import stylize
from overpaint.settings.schema import Config
from overpaint.sweeps.spaces import Point

logger = logging.getLogger(__name__)

Status = Literal["done", "stopped early", "interrupted", "diverged", "failed"]

_OF_THE_USER_OR_MACHINE = (
    *(CheckpointError, ConfigError, DivergedError, ImageError, NotEnoughMemoryError),
    *(TrackingError, WeightsError, OSError),
)


@dataclass(frozen=True)
class Trial:
    """A point of a sweep, or a picture of a batch, that is to be run, or was."""

    number: int
    """From 1."""
    point: Point
    folder: Path
    report: ReportLoss | None = None
    """By which it may be stopped early."""
    ended: Status | None = None
    """How, if that is known and nothing is to be done."""
    name: str | None = None
    """For messages, in the place of its number."""
    copy: Path | None = None
    """Where its picture is to be as well."""

    @property
    def title(self) -> str:
        """What messages call it."""
        return self.name or f"Trial {self.number}"


@dataclass(frozen=True)
class Outcome:
    """What became of a trial."""

    trial: Trial
    status: Status
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What its run wrote down about itself: `losses`, `steps`, `seconds`, ...; empty without."""
    error: str | None = None

    @property
    def has_failed(self) -> bool:
        """Whether it left no result, or none to be used."""
        return self.status in ("failed", "diverged")


def run_trial(
    trial: Trial,
    settings: Callable[[Trial], Config],
    *,
    console: Console | None,
    siblings: Siblings,
) -> Outcome:
    """Runs a trial, goes on with it, or finds it done.

    What goes wrong in a trial is its outcome, and an error in one line.

    Args:
        trial: to be run.
        settings: makes those of a trial.
        console: a terminal to draw a progress bar on.
        siblings: what it shares with the others.

    Raises:
        KeyboardInterrupt: if there is no picture yet, or at the second interrupt.
    """
    if trial.ended is not None:
        return Outcome(trial, trial.ended, read_facts(trial.folder))
    try:
        result = _run(trial, settings, console, siblings)
    except _OF_THE_USER_OR_MACHINE as error:
        logger.warning("%s failed: %s The next one follows.", trial.title, error)
        status: Status = "diverged" if isinstance(error, DivergedError) else "failed"
        return Outcome(trial, status, read_facts(trial.folder), str(error))
    except Exception as error:
        logger.exception("error: %s: this should not have happened", trial.title)
        return Outcome(trial, "failed", read_facts(trial.folder), repr(error))
    facts = read_facts(trial.folder)
    if result is None or not result.interrupted:
        was_bad = bool(facts.get("diverged"))
        return Outcome(trial, "diverged" if was_bad else "done", facts, facts.get("diverged"))
    step = None if trial.report is None else trial.report.stopped_at
    if step is None:
        return Outcome(trial, "interrupted", facts)
    logger.info("%s was stopped after step %d: it is behind the others.", trial.title, step)
    return Outcome(trial, "stopped early", facts)


def _run(
    trial: Trial,
    settings: Callable[[Trial], Config],
    console: Console | None,
    siblings: Siblings,
) -> RunResult | None:
    """The run; None if it was done before."""
    callbacks: Sequence[pl.Callback] = [] if trial.report is None else [trial.report]
    folder = trial.folder
    if trial.copy is not None:
        remove_leftovers(trial.copy)  # of a process that was killed
    if _settings_in(folder).is_file():
        moved = {} if trial.copy is None else {"output.copy": str(trial.copy)}
        return resume(folder, values=moved, console=console, callbacks=callbacks, siblings=siblings)
    if is_done(folder):
        if trial.copy is not None and not trial.copy.exists():
            write_bytes(trial.copy, (folder / "result.png").read_bytes())
        return None
    if folder.exists():  # its process was killed before there was anything to go on from
        shutil.rmtree(folder)
    return stylize(
        settings(trial),
        console=console,
        callbacks=callbacks,
        folder=folder,
        siblings=siblings,
    )


def is_done(folder: Path) -> bool:
    """Whether a run has ended in a folder; one that was interrupted has not."""
    facts = read_facts(folder)
    return (folder / "result.png").is_file() and bool(facts) and not facts.get("interrupted")


def is_left_alone(folder: Path) -> bool:
    """Whether there is nothing to be computed any more in a folder in which a run has ended."""
    return is_done(folder) and not _settings_in(folder).is_file()


def _settings_in(folder: Path) -> Path:
    """What is there until all of a run is done."""
    return folder / "checkpoints" / "settings.yaml"


def run_trials(
    trials: Iterable[Trial],
    settings: Callable[[Trial], Config],
    *,
    interrupts: Interrupts,
    tell: Callable[[Outcome], None],
    console: Console | None,
    siblings: Siblings,
) -> bool:
    """Runs one trial after the other.

    Args:
        trials: each is asked for when the one before is done.
        settings: makes those of a trial.
        interrupts: of all of them; after one there is no further trial.
        tell: is given what became of each.
        console: a terminal to draw a progress bar on.
        siblings: what they share.

    Returns:
        Whether it was interrupted before the last one.

    Raises:
        KeyboardInterrupt: as `run_trial`.
    """
    for trial in trials:
        if interrupts.asked:
            return True
        if trial.ended is None and not is_done(trial.folder):
            words = " ".join(f"{key}={value}" for key, value in trial.point.items())
            logger.info("%s: %s", trial.title, words)
        outcome = run_trial(trial, settings, console=console, siblings=siblings)
        tell(outcome)
        if outcome.status == "interrupted":
            return True
    return False


def show_page(
    outcomes: Sequence[Outcome], path: Path, *, grid: tuple[str, str] | None = None
) -> None:
    """Writes the page that compares what there is, and says where; a failure costs a warning.

    Args:
        outcomes: in their order.
        path: of the page.
        grid: two settings to lay the results out by.
    """
    folders = [one.trial.folder for one in outcomes if one.facts]
    if not folders:
        return
    try:
        page = write_page(folders, path, grid=grid)
    except Exception as error:  # the pictures are there, whatever is wrong with a page of them
        logger.warning("The page that compares them is missing: %s", brief(error))
    else:
        logger.info("Side by side: %s", page)
