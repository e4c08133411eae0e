"""What a study of learning rates leaves: a folder, a W&B run of its own and one for each trial."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from overpaint.building.memory import shortage_told
from overpaint.building.places import require_places
from overpaint.building.sources import Sources, read_sources
from overpaint.building.tracking import open_tracking
from overpaint.errors import TrackingError, brief
from overpaint.records.environment import save_environment
from overpaint.records.run_folder import create_run_folder, remove_run_folder
from overpaint.settings.resolving import resolved
from overpaint.settings.schema import Config
from overpaint.tracking import keys
from overpaint.tracking.port import Tracker
from overpaint.tuning.search import Trial, grey_levels

logger = logging.getLogger(__name__)


@dataclass
class Study:
    """A study that is under way."""

    config: Config
    sources: Sources
    folder: Path
    """Absolute path."""
    tracker: Tracker
    group: str
    """Of all its W&B runs, if no other is asked for."""

    def log_trials(self, config: Config, label: str, trials: Sequence[Trial]) -> None:
        """Gives each trial a tracked run of type `lr-trial` in the study's group.

        Args:
            config: the settings of the trials, but for rate and steps.
            label: what they have in common; part of their names.
            trials: with their pictures.
        """
        if self.tracker.mode == "disabled":
            return
        try:
            for trial in trials:
                self._log_trial(config, label, trial)
        except TrackingError as error:  # a study outlives a lost connection
            logger.warning("Trials are missing in W&B: %s", error)

    def _log_trial(self, config: Config, label: str, trial: Trial) -> None:
        own = replace(
            config,
            optimizer=replace(config.optimizer, lr=trial.rate),
            schedule=replace(config.schedule, steps=trial.steps),
        )
        run = open_tracking(
            own,
            self.folder,
            self.sources.weights,
            job_type="lr-trial",
            mode=self.tracker.mode,
            group=self.group,
            name=f"{label} lr={trial.rate:.3g}",
        )
        try:
            run.log_curves({keys.TOTAL: trial.losses[:-1], keys.MOVED: trial.moved})
            for step, picture in trial.pictures.items():
                run.log_snapshot(step, picture)
            run.summarise(
                {
                    keys.final("total"): trial.losses[-1],
                    keys.CLAMPED: trial.clamped,
                    keys.SATURATED: trial.saturated,
                }
            )
        finally:
            run.finish(0)

    def save(self, facts: Mapping[str, Any]) -> None:
        """Writes `lr.json`: the facts beside what is true of this machine.

        Raises:
            WriteError: if it cannot be written.
        """
        weights = self.sources.weights.facts()
        save_environment(self.folder / "lr.json", {**facts, "weights": weights})


@contextmanager
def open_study(config: Config, kind: str) -> Iterator[Study]:
    """Reads what the run would read and makes a folder and a W&B run, which it closes.

    Args:
        config: checked settings of the run that is studied.
        kind: of study; it is in the folder's name and, after `lr-`, the job type of its W&B run.

    Raises:
        ImageError, ConfigError, WeightsError, TrackingError: as `stylize` does.
        NotEnoughMemoryError: likewise.
        OSError: if the folder cannot be made.
    """
    config = resolved(config, task="tune")
    require_places(config, copied=False)
    sources = read_sources(config, setting="tune.size")
    config = replace(config, encoder=replace(config.encoder, name=sources.weights.name))
    in_new_root = not Path(config.output.dir).exists()
    folder = create_run_folder(
        config.output.dir, config.content.image, config.style.images, study=f"lr-{kind}"
    )
    group = folder.name
    try:
        tracker = open_tracking(config, folder, sources.weights, job_type=f"lr-{kind}", group=group)
    except TrackingError:
        remove_run_folder(folder, in_new_root=in_new_root)
        raise
    if tracker.message:
        logger.info("%s", tracker.message)
    exit_code = 1
    try:
        with shortage_told(config, sources.inputs, "tune.size"):
            yield Study(config, sources, folder, tracker, group)
        exit_code = 0
    except KeyboardInterrupt:
        exit_code = 130
        raise
    finally:
        tracker.finish(exit_code)


@contextmanager
def outlived(what: str) -> Iterator[None]:
    """Lets a study outlive what only shows it, and hide no error behind it: one warning instead."""
    try:
        yield
    except Exception as error:
        logger.warning("%s is missing: %s", what, brief(error))
        logger.debug("Because of this:", exc_info=True)


def facts_of(trial: Trial) -> dict[str, Any]:
    """A trial as JSON takes it: None where a number is not finite."""
    return {
        "rate": trial.rate,
        "steps": trial.steps,
        "loss": finite(trial.loss),
        "moved_first": finite(trial.moved[0]),
        "clamped": trial.clamped,
        "saturated": trial.saturated,
        "losses": [finite(loss) for loss in trial.losses],
        "moved": [finite(moved) for moved in trial.moved],
    }


def finite(value: float) -> float | None:
    """The value with seven digits, as float32 holds them, or None if it is not finite."""
    return float(f"{value:.7g}") if math.isfinite(value) else None


def table_of(rounds: Mapping[str, Sequence[Trial]]) -> tuple[list[str], list[list[Any]]]:
    """All trials as a table: column names, and rows that JSON can hold."""
    columns = ["round", "rate", "steps", "loss", "moved_first", "clamped", "saturated"]
    rows = [
        [label, *(facts_of(trial)[name] for name in columns[1:])]
        for label, trials in rounds.items()
        for trial in trials
    ]
    return columns, rows


def row_label(trial: Trial) -> str:
    """What a contact sheet says of a rate: the rate, and how far its first step moves a pixel."""
    return f"{trial.rate:.3g}\n{grey_levels(trial.moved[0])} levels"
