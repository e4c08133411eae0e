"""The experiment of the paper that this project starts from: a series of learning rates, compared.

Vagdevi & Abhishek, "Neural Artistic Style Transfer": at first "we could observe little change
howsoever the number of iterations may be", until a rate was found "after a series of experiments".
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from overpaint.interrupts import interrupts_ignored
from overpaint.pictures.io import save_picture
from overpaint.reports.sheet import contact_sheet
from overpaint.settings.schema import Config, OptimizerName
from overpaint.tracking import keys
from overpaint.tuning.chart import save_chart
from overpaint.tuning.search import Trial, spaced
from overpaint.tuning.study import Study, facts_of, open_study, outlived, row_label, table_of
from overpaint.tuning.workbench import Workbench, open_workbench

logger = logging.getLogger(__name__)

OPTIMIZERS_COMPARED: tuple[OptimizerName, ...] = ("sgd", "adam")

# Mean length of the first step, in 8-bit grey levels: five decades, two rates to each.
SHORTEST, LONGEST, RATES = 0.001, 100.0, 11

# A rate for pixels in [0, 255] moves them as much as what share of it does for pixels in [0, 1]:
# the gradient is 255 times smaller there, and the same step 255 times longer.
RATIO_OF_UNITS = {"sgd": 255.0**2, "adam": 255.0}


@dataclass(frozen=True)
class SeriesResult:
    """What a series showed."""

    rounds: dict[str, list[Trial]]
    """Title to the trials of one optimiser, by rising rates."""
    folder: Path
    """Absolute path; holds lr.json, and lr_<name>.png and contact_sheet_<name>.png of each."""
    seconds: float
    """Of the trials, with their preparation."""


def compare_rates(config: Config) -> SeriesResult:
    """Runs equal trials at rates over five decades, with gradient descent and with Adam.

    The rates are those whose first step moves a value by 0.001 to 100 grey levels in the mean. The
    charts give them twice: for pixels in [0, 1], as everywhere in this project, and in [0, 255],
    as in the paper. The trials have `tune.steps` steps at `tune.size`.

    Args:
        config: checked settings of a run; its optimiser and rate do not count.

    Raises:
        ConfigError: if the start has no gradient.
        ImageError, WeightsError, TrackingError, OSError: as `stylize` does.
    """
    with open_study(config, "series") as study:
        began = time.monotonic()
        done: dict[str, tuple[Workbench, list[Trial]]] = {}
        try:
            for name in OPTIMIZERS_COMPARED:
                optimizer = replace(study.config.optimizer, name=name)
                bench = open_workbench(replace(study.config, optimizer=optimizer), study.sources)
                done[name] = (bench, _run(study, bench))
        except BaseException:  # what is known is kept, also after Ctrl-C
            with interrupts_ignored(), outlived("What is known"):
                _save(study, done, time.monotonic() - began)
            raise
        seconds = time.monotonic() - began
        with interrupts_ignored():
            _save(study, done, seconds)
        return SeriesResult(
            rounds={_title(bench): trials for bench, trials in done.values()},
            folder=study.folder,
            seconds=seconds,
        )


def _run(study: Study, bench: Workbench) -> list[Trial]:
    """All rates of one optimiser, with their chart and sheet."""
    name, began = bench.config.optimizer.name, time.monotonic()
    steps = min(study.config.tune.steps, study.config.schedule.steps)
    rates = spaced(*bench.rates_by_length(SHORTEST / 255, LONGEST / 255), RATES)
    at = (1, max(1, steps // 8))
    trials = bench.try_rates(rates, steps, pictures_at=at)
    study.log_trials(bench.config, name, trials)
    ratio = RATIO_OF_UNITS[name]
    with outlived("The chart"):
        chart = study.folder / f"lr_{name}.png"
        save_chart(chart, [trials], title=_title(bench), ratio_of_units=ratio)
    rows = {
        f"{row_label(trial)}\n({trial.rate * ratio:.3g} in 255)": {
            f"step {step}": picture for step, picture in sorted(trial.pictures.items())
        }
        for trial in trials
    }
    with outlived("The contact sheet"):
        sheet = contact_sheet(rows, columns=[f"step {step}" for step in sorted({*at, steps})])
        save_picture(sheet, study.folder / f"contact_sheet_{name}.png")
    logger.info(
        "%s: %d rates, %d steps each, in %.0f s.",
        *(_title(bench), len(rates), steps, time.monotonic() - began),
    )
    return trials


def _save(study: Study, done: dict[str, tuple[Workbench, list[Trial]]], seconds: float) -> None:
    facts: dict[str, Any] = {"seconds": round(seconds, 1), "series": []}
    for name, (bench, trials) in done.items():
        facts["series"].append(
            {
                "optimizer": name,
                "normalization": bench.config.loss.normalization,
                "size": bench.config.image.size,
                "precision": bench.precision,
                "rate_in_255_per_rate": RATIO_OF_UNITS[name],
                "trials": [facts_of(trial) for trial in trials],
            }
        )
    study.save(facts)
    if done:
        names = [f"{kind}_{name}" for name in done for kind in ("lr", "contact_sheet")]
        files = {name: study.folder / f"{name}.png" for name in names}
        table = table_of({name: trials for name, (_, trials) in done.items()})
        there = {name: path for name, path in files.items() if path.exists()}
        study.tracker.log_study(table, there, {keys.SECONDS: seconds})


def _title(bench: Workbench) -> str:
    names = {"sgd": "gradient descent", "adam": "Adam"}
    config = bench.config
    return (
        f"{names[config.optimizer.name]}, {config.loss.normalization} losses, "
        f"{config.image.size} px"
    )
