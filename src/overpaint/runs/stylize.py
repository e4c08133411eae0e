"""One run from settings to files: read the inputs, optimise, write what the run leaves."""

from __future__ import annotations

import json
import logging
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytorch_lightning as pl
from rich.console import Console

from overpaint.building.sources import Sources, read_sources
from overpaint.building.tracking import open_tracking
from overpaint.callbacks.snapshots import Snapshots
from overpaint.console import command
from overpaint.errors import DivergedError
from overpaint.files import file_sha256
from overpaint.interrupts import first_interrupt_only, interrupts_ignored
from overpaint.losses.objective import MAIN_LOSSES
from overpaint.pictures.io import save_picture
from overpaint.records.environment import save_environment, versions
from overpaint.records.result import RunResult
from overpaint.records.run_folder import create_run_folder
from overpaint.records.settings import save_settings
from overpaint.runs.pyramid import optimise
from overpaint.settings.resolving import resolved
from overpaint.settings.schema import Config
from overpaint.settings.writing import to_yaml, with_absolute_paths
from overpaint.tracking import keys
from overpaint.tracking.csv import CsvLogger
from overpaint.tracking.port import Tracker

logger = logging.getLogger(__name__)


def stylize(
    config: Config, *, console: Console | None = None, callbacks: Sequence[pl.Callback] = ()
) -> RunResult:
    """Turns a photo and paintings into a stylized picture, and records how.

    Args:
        config: settings, from `load_config` or made by hand.
        console: a terminal or notebook to draw a progress bar on; without one there are log lines.
        callbacks: further Lightning callbacks; they see the fit of each size.

    Returns:
        The picture, its losses and the folder that holds everything. After Ctrl-C it is the picture
        as far as it got, with `interrupted` set; likewise after SIGTERM if the caller has a handler
        that raises KeyboardInterrupt.

    Raises:
        ConfigError: if the settings cannot be run, or the accelerator asked for is not there.
        ImageError: if a picture cannot be read or written, or is too small.
        WeightsError: if the encoder's weights cannot be had.
        DivergedError: if the run left the finite numbers; all that a run leaves is there, with the
            last good picture, and its `result` is what would have been returned.
        TrackingError: if `tracking.mode` is `online` and W&B cannot be reached.
    """
    config = resolved(config)
    sources = read_sources(config)
    hashes = {name: file_sha256(name) for name in _files(config)}
    folder = create_run_folder(config.output.dir, config.content.image, config.style.images)
    save_settings(to_yaml(with_absolute_paths(config)), folder / "config.yaml")
    tracker = open_tracking(config, folder, sources.weights)
    if tracker.message:
        logger.info("%s", tracker.message)
    exit_code = 1
    try:
        with first_interrupt_only():
            result = _optimise(config, sources, folder, tracker, console, callbacks)
            with interrupts_ignored():
                _save(config, result, sources, hashes, tracker)
        if result.diverged:
            raise DivergedError(
                f"{result.diverged} The last good picture, of step {result.steps}: "
                f"{folder / 'result.png'}",
                result=result,
            )
        exit_code = 130 if result.interrupted else 0
        return result
    except KeyboardInterrupt:  # before there was a picture to keep
        exit_code = 130
        raise
    finally:
        try:
            tracker.finish(exit_code)
        except KeyboardInterrupt:
            logger.warning("W&B: the upload was cut short; `wandb sync` can finish it.")


def _files(config: Config) -> list[str]:
    """The pictures that a run reads."""
    names = [config.content.image, *config.style.images]
    if config.init.mode == "file" and config.init.file:
        names.append(config.init.file)
    return names


def _optimise(
    config: Config,
    sources: Sources,
    folder: Path,
    tracker: Tracker,
    console: Console | None,
    callbacks: Sequence[pl.Callback],
) -> RunResult:
    steps = config.schedule.steps
    late = [step for step in config.snapshots.steps if step > steps]
    if late:
        logger.info("snapshots.steps %s lie beyond the last step, %d.", late, steps)
    tracker.log_inputs(sources.sized.content, sources.sized.styles)
    snapshots = Snapshots(
        folder / "snapshots",
        steps=config.snapshots.steps,
        every=config.snapshots.every,
        last=steps,
        publish=tracker.log_snapshot,
    )
    painted = optimise(
        config,
        sources,
        tune_command=f"{command('tune-lr')} --config {shlex.quote(str(folder / 'config.yaml'))}",
        callbacks=[snapshots, *callbacks],
        loggers=[CsvLogger(folder / "metrics.csv"), *tracker.loggers],
        on_finding=lambda found: tracker.log_warning(keys.rate_warning(found.kind), found.message),
        console=console,
    )
    return RunResult(**vars(painted), folder=folder)


def _save(
    config: Config,
    result: RunResult,
    sources: Sources,
    hashes: Mapping[str, str],
    tracker: Tracker,
) -> None:
    weights, picture = sources.weights, result.folder / "result.png"
    text = {
        "Software": f"overpaint {versions()['overpaint']}",
        "overpaint settings": to_yaml(config),
        "overpaint versions": json.dumps(versions()),
        "overpaint weights": f"{weights.name}, sha256 {weights.sha256}",
    }
    save_picture(result.image, picture, text)
    facts = {
        **result.facts(),
        "tracking": tracker.mode,
        "weights": weights.facts(),
        "inputs": dict(hashes),
    }
    save_environment(result.folder / "environment.json", facts)
    if result.diverged:
        tracker.log_warning(keys.DIVERGED, result.diverged)
    finite = {name: value for name, value in result.losses.items() if math.isfinite(value)}
    tracker.log_result(
        {
            **{keys.final(name): value for name, value in finite.items()},
            **{name: facts[name] for name in keys.RESULT_FACTS},
        },
        [picture, result.folder / "config.yaml"],
    )
    if config.output.copy:
        save_picture(result.image, config.output.copy, text)
    logger.info(
        "Result: %s (%d steps in %.1f s, %s)",
        *(picture, result.steps, result.seconds),
        ", ".join(f"{name} {result.losses[name]:.4g}" for name in MAIN_LOSSES),
    )
