"""The search for a learning rate: a range test, then rounds of trials by successive halving."""

from __future__ import annotations

import itertools
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from overpaint.errors import ConfigError
from overpaint.interrupts import interrupts_ignored
from overpaint.pictures.io import save_picture
from overpaint.records.settings import save_settings
from overpaint.reports.sheet import contact_sheet
from overpaint.settings.schema import Config
from overpaint.settings.writing import to_yaml, with_absolute_paths
from overpaint.tracking import keys
from overpaint.tuning.chart import save_chart
from overpaint.tuning.search import Trial, bracket, choose, next_rates, plan_rounds, spaced
from overpaint.tuning.study import (
    Study,
    facts_of,
    finite,
    open_study,
    outlived,
    row_label,
    table_of,
)
from overpaint.tuning.workbench import Workbench, open_workbench

logger = logging.getLogger(__name__)

# Of the range test: about nine to a factor of ten.
RANGE_STEPS = 40


@dataclass(frozen=True)
class TuneResult:
    """What a search found."""

    config: Config
    """The settings with the rate found."""
    trial: Trial
    """Of that rate, in the last round."""
    rounds: tuple[tuple[Trial, ...], ...]
    """All trials."""
    size: int
    """Longer edge of the trials' pictures, in pixels."""
    folder: Path
    """Absolute path; holds lr.json, lr.png, contact_sheet.png and config.yaml."""
    seconds: float
    """Of the trials, with their preparation."""

    @property
    def titled_rounds(self) -> dict[str, Sequence[Trial]]:
        """The rounds under what they have in common."""
        return {
            f"Round {number}: {trials[0].steps} steps at {self.size} px": trials
            for number, trials in enumerate(self.rounds, 1)
        }


def tune(config: Config) -> TuneResult:
    """Looks for the learning rate that brings the loss furthest down in a given number of steps.

    A range test, in which the rate rises from step to step, shows between which rates the loss
    falls; trials of equal length then compare rates between them, first many over few steps, then
    the best and their neighbours over more. They start from the same picture, at a small size.

    Args:
        config: checked settings of a run; its `optimizer.lr` does not count, `tune` does.

    Returns:
        The settings with the rate, and the trials that led to it.

    Raises:
        ConfigError: if the range is empty, or no rate can change the picture.
        DivergedError: if no rate gives a picture.
        ImageError, WeightsError, TrackingError, OSError: as `stylize` does.
    """
    if config.trainer.processes > 1:
        logger.info("trainer.devices: the search for a rate uses one device; runs use all.")
    with open_study(config, "tune") as study:
        began = time.monotonic()
        bench = open_workbench(study.config, study.sources)
        search = _Search(study, bench)
        try:
            search.find_range()
            trial = search.run_rounds()
        except BaseException:  # what is known is kept, also after Ctrl-C
            with interrupts_ignored(), outlived("What is known"):
                search.save(None, time.monotonic() - began)
            raise
        seconds = time.monotonic() - began
        optimizer = replace(study.config.optimizer, lr=trial.rate)
        chosen = replace(study.config, optimizer=optimizer)
        with interrupts_ignored():
            search.save(trial, seconds)
            save_settings(to_yaml(with_absolute_paths(chosen)), study.folder / "config.yaml")
        return TuneResult(
            config=chosen,
            trial=trial,
            rounds=tuple(map(tuple, search.rounds)),
            size=bench.config.image.size,
            folder=study.folder,
            seconds=seconds,
        )


class _Search:
    """One search while it goes on."""

    def __init__(self, study: Study, bench: Workbench) -> None:
        self._study = study
        self._bench = bench
        self._ends: tuple[float, float] = (0.0, 0.0)
        self._range_test: tuple[list[float], tuple[float, ...]] = ([], ())
        self.rounds: list[list[Trial]] = []

    def find_range(self) -> None:
        """The range test; ends that the settings give stay as they are."""
        given = self._study.config.tune
        lowest, highest = self._bench.rates_by_length()
        ends = (given.lowest or lowest, given.highest or highest)
        if not ends[0] < ends[1]:
            raise ConfigError(
                f"tune: no rates between {ends[0]:g} and {ends[1]:g}; "
                "give both tune.lowest and tune.highest, or neither."
            )
        rates = spaced(*ends, RANGE_STEPS)
        losses = self._bench.range_test(rates)
        self._range_test = (rates, losses)
        low, high = bracket(rates, losses)
        self._ends = (given.lowest or low, given.highest or high)
        logger.info(
            "Range test from %.3g to %.3g: the loss falls from %.3g on and is up again by %.3g.",
            *(*ends, low, high),
        )

    def run_rounds(self) -> Trial:
        """All rounds; the trial of the rate chosen, in the last of them."""
        given, steps = self._study.config.tune, self._study.config.schedule.steps
        plan = plan_rounds(given.candidates, min(given.steps, steps), given.rounds)
        if steps > given.steps:
            logger.info(
                "Rates are compared over %d steps, a run has %d: the longer, the lower the best "
                "rate; tune.steps changes that.",
                *(given.steps, steps),
            )
        rates = spaced(*self._ends, plan[0].rates)
        for number, (one, after) in enumerate(zip(plan, [*plan[1:], None], strict=True), 1):
            began = time.monotonic()
            at = (1, max(1, one.steps // 4)) if number == 1 else ()
            trials = self._bench.try_rates(rates, one.steps, pictures_at=at)
            self.rounds.append(trials)
            self._study.log_trials(self._bench.config, f"round {number}", trials)
            best = min(trials, key=lambda trial: trial.loss)
            logger.info(
                "Round %d of %d: %d rates, %d steps each, in %.0f s; least loss %.4g at %.3g.",
                *(number, len(plan), len(rates), one.steps, time.monotonic() - began),
                *(best.loss, best.rate),
            )
            if after:
                is_last = after is plan[-1]
                rates = next_rates(trials, after.rates, refine=not is_last)
        trial = choose(self.rounds[-1])
        for name, end in zip(("lowest", "highest"), self._ends, strict=True):
            if math.isclose(trial.rate, end, rel_tol=0.01):
                logger.warning(
                    "The rate found, %.3g, is the %s one tried; tune.%s can widen the search.",
                    *(trial.rate, name, name),
                )
        logger.info("Rate found: optimizer.lr=%g", trial.rate)  # known, whatever can be written
        return trial

    def save(self, trial: Trial | None, seconds: float) -> None:
        """Writes what there is so far and hands it to W&B.

        Args:
            trial: of the rate chosen, if it has come to that.
            seconds: since the study began.
        """
        rates, losses = self._range_test
        chosen = None if trial is None else trial.rate
        self._study.save(
            {
                "chosen": chosen,
                "seconds": round(seconds, 1),
                "optimizer": self._bench.config.optimizer.name,
                "normalization": self._bench.config.loss.normalization,
                "size": self._bench.config.image.size,
                "precision": self._bench.precision,
                "range_test": {
                    "rates": rates,
                    "losses": [finite(loss) for loss in losses],
                    "lowest": self._ends[0],
                    "highest": self._ends[1],
                },
                "rounds": [[facts_of(one) for one in trials] for trials in self.rounds],
            }
        )
        if not self.rounds:
            return
        folder, config = self._study.folder, self._bench.config
        pictures = {name: folder / f"{name}.png" for name in ("lr", "contact_sheet")}
        with outlived("The chart"):
            save_chart(
                pictures["lr"],
                self.rounds,
                title=f"{config.optimizer.name}, {config.loss.normalization} losses, "
                f"{config.image.size} px: {folder.name}",
                chosen=chosen,
                range_test=(rates, losses[1:]),
            )
        with outlived("The contact sheet"):
            save_picture(self._sheet(chosen), pictures["contact_sheet"])
        named = {f"round {i}": one for i, one in enumerate(self.rounds, 1)}
        self._study.tracker.log_study(
            table_of(named),
            {name: path for name, path in pictures.items() if path.exists()},
            {keys.CHOSEN_RATE: chosen, keys.SECONDS: seconds},
        )

    def _sheet(self, chosen: float | None) -> Image.Image:
        rows: dict[float, dict[str, Image.Image]] = {}
        labels: dict[float, str] = {}
        for trial in itertools.chain.from_iterable(self.rounds):
            labels[trial.rate] = row_label(trial)
            row = rows.setdefault(trial.rate, {})
            for step, picture in sorted(trial.pictures.items()):
                row[f"step {step} of {trial.steps}"] = picture
        return contact_sheet(
            {labels[rate]: rows[rate] for rate in sorted(rows)},
            columns=list(dict.fromkeys(name for row in rows.values() for name in row)),
            marked=None if chosen is None else labels[chosen],
        )
