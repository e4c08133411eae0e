"""One trial of a sweep: an ordinary run in a folder of its own."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
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
)
from overpaint.records.result import RunResult
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
    """A point of a sweep that is to be run, or was."""

    number: int
    """From 1."""
    point: Point
    folder: Path
    report: ReportLoss | None = None
    """By which it may be stopped early."""
    ended: Status | None = None
    """How, if that is known and nothing is to be done."""


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
    settings: Callable[[Point], Config],
    *,
    console: Console | None,
    siblings: Siblings,
) -> Outcome:
    """Runs a trial, goes on with it, or finds it done.

    What goes wrong in a trial is its outcome, and an error in one line.

    Args:
        trial: to be run.
        settings: makes those of a point.
        console: a terminal to draw a progress bar on.
        siblings: what it shares with the others.

    Raises:
        KeyboardInterrupt: if there is no picture yet, or at the second interrupt.
    """
    if trial.ended is not None:
        return Outcome(trial, trial.ended, facts_of(trial.folder))
    try:
        result = _run(trial, settings, console, siblings)
    except _OF_THE_USER_OR_MACHINE as error:
        logger.warning("Trial %d failed: %s The next one follows.", trial.number, error)
        status: Status = "diverged" if isinstance(error, DivergedError) else "failed"
        return Outcome(trial, status, facts_of(trial.folder), str(error))
    except Exception as error:
        logger.exception("error: trial %d: this should not have happened", trial.number)
        return Outcome(trial, "failed", facts_of(trial.folder), repr(error))
    facts = facts_of(trial.folder)
    if result is None or not result.interrupted:
        was_bad = bool(facts.get("diverged"))
        return Outcome(trial, "diverged" if was_bad else "done", facts, facts.get("diverged"))
    step = None if trial.report is None else trial.report.stopped_at
    if step is None:
        return Outcome(trial, "interrupted", facts)
    logger.info("Trial %d was stopped after step %d: it is behind the others.", trial.number, step)
    return Outcome(trial, "stopped early", facts)


def _run(
    trial: Trial,
    settings: Callable[[Point], Config],
    console: Console | None,
    siblings: Siblings,
) -> RunResult | None:
    """The run; None if it was done before."""
    callbacks: Sequence[pl.Callback] = [] if trial.report is None else [trial.report]
    folder = trial.folder
    if (folder / "checkpoints" / "settings.yaml").is_file():
        return resume(folder, console=console, callbacks=callbacks, siblings=siblings)
    if (folder / "result.png").is_file() and facts_of(folder):
        return None
    if folder.exists():  # its process was killed before the run had begun
        shutil.rmtree(folder)
    return stylize(
        settings(trial.point),
        console=console,
        callbacks=callbacks,
        folder=folder,
        siblings=siblings,
    )


def facts_of(folder: Path) -> Mapping[str, Any]:
    """What a run wrote down about itself; nothing if it did not get there."""
    try:
        facts = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}
