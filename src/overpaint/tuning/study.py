"""What a study of learning rates leaves: a folder, a W&B run of its own and one for each trial."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from overpaint.building.objective import Sources, open_tracking, read_sources
from overpaint.errors import TrackingError
from overpaint.interrupts import first_interrupt_only
from overpaint.records.run_folder import create_run_folder, save_environment
from overpaint.settings.schema import Config
from overpaint.tracking.wandb.run import WandbTracking
from overpaint.tuning.search import Outcome, grey_levels

logger = logging.getLogger(__name__)

Pictures = Sequence[Mapping[int, Image.Image]]


@dataclass
class Study:
    """A study that is under way."""

    config: Config
    sources: Sources
    folder: Path
    """Absolute path."""
    tracking: WandbTracking | None
    group: str
    """Of all its W&B runs."""

    def log_trials(
        self, config: Config, label: str, outcomes: Sequence[Outcome], pictures: Pictures
    ) -> None:
        """Gives each trial a W&B run of type `lr-trial` in the study's group, if W&B is on.

        Args:
            config: the settings of the trials, but for rate and steps.
            label: what they have in common; part of their names.
            outcomes: of the trials.
            pictures: step to picture, for each trial.
        """
        if self.tracking is None:
            return
        try:
            for outcome, kept in zip(outcomes, pictures, strict=True):
                self._log_trial(config, label, outcome, kept, self.tracking.mode)
        except TrackingError as error:  # a study outlives a lost connection
            logger.warning("Trials are missing in W&B: %s", error)

    def _log_trial(
        self,
        config: Config,
        label: str,
        outcome: Outcome,
        pictures: Mapping[int, Image.Image],
        mode: str,
    ) -> None:
        own = replace(
            config,
            optimizer=replace(config.optimizer, lr=outcome.rate),
            schedule=replace(config.schedule, steps=outcome.steps),
        )
        run = open_tracking(
            own,
            self.folder,
            self.sources.weights,
            job_type="lr-trial",
            mode=mode,
            group=self.group,
            name=f"{label} lr={outcome.rate:.3g}",
        )
        assert run is not None  # the mode is that of the study's own, open run
        try:
            run.log_curves({"loss/total": outcome.losses[:-1], "update/mean_abs": outcome.moved})
            for step, picture in pictures.items():
                run.log_snapshot(step, picture)
            run.summarise(
                {
                    "final/total": outcome.losses[-1],
                    "clamped": outcome.clamped,
                    "saturated": outcome.saturated,
                }
            )
        finally:
            run.finish(0)

    def save(self, facts: Mapping[str, Any]) -> Path:
        """Writes `lr.json`: the facts beside what is true of this machine. Returns its path."""
        path = self.folder / "lr.json"
        weights = self.sources.weights
        found = {"name": weights.name, "sha256": weights.sha256, "fallback": weights.fallback}
        save_environment(path, {**facts, "weights": found})
        return path


@contextmanager
def open_study(config: Config, kind: str) -> Iterator[Study]:
    """Reads what the run would read and makes a folder and a W&B run, which it closes.

    Args:
        config: checked settings of the run that is studied.
        kind: of study; it is in the folder's name and, after `lr-`, the job type of its W&B run.

    Raises:
        ImageError, ConfigError, WeightsError, TrackingError: as `stylize` does.
        OSError: if the folder cannot be made.
    """
    sources = read_sources(config)
    config = replace(config, encoder=replace(config.encoder, name=sources.weights.name))
    folder = create_run_folder(
        config.output.dir, config.content.image, config.style.images, study=f"lr-{kind}"
    )
    group = config.tracking.group or folder.name
    tracking = open_tracking(config, folder, sources.weights, job_type=f"lr-{kind}", group=group)
    if tracking:
        logger.info("%s", tracking.message)
    exit_code = 1
    try:
        with first_interrupt_only():
            yield Study(config, sources, folder, tracking, group)
        exit_code = 0
    except KeyboardInterrupt:
        exit_code = 130
        raise
    finally:
        if tracking:
            tracking.finish(exit_code)


def facts_of(outcome: Outcome) -> dict[str, Any]:
    """A trial as JSON takes it: None where a number is not finite."""
    return {
        "rate": outcome.rate,
        "steps": outcome.steps,
        "loss": finite(outcome.loss),
        "moved_first": finite(outcome.moved[0]),
        "clamped": outcome.clamped,
        "saturated": outcome.saturated,
        "losses": [finite(loss) for loss in outcome.losses],
        "moved": [finite(moved) for moved in outcome.moved],
    }


def finite(value: float) -> float | None:
    """The value with seven digits, as float32 holds them, or None if it is not finite."""
    return float(f"{value:.7g}") if math.isfinite(value) else None


def table_of(rounds: Mapping[str, Sequence[Outcome]]) -> tuple[list[str], list[list[Any]]]:
    """All trials as a table: column names, and rows that JSON can hold."""
    columns = ["round", "rate", "steps", "loss", "moved_first", "clamped", "saturated"]
    rows = [
        [label, *(facts_of(outcome)[name] for name in columns[1:])]
        for label, outcomes in rounds.items()
        for outcome in outcomes
    ]
    return columns, rows


def row_label(outcome: Outcome) -> str:
    """What a contact sheet says of a rate: the rate, and how far its first step moves a pixel."""
    return f"{outcome.rate:.3g}\n{grey_levels(outcome.moved[0])} levels"
