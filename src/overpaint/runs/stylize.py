"""One run from settings to files: read the inputs, optimise, write what the run leaves."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from overpaint.building.objective import open_tracking, read_sources
from overpaint.errors import DivergedError
from overpaint.files import file_sha256
from overpaint.pictures.io import save_picture
from overpaint.interrupts import first_interrupt_only, interrupts_ignored
from overpaint.runs.pyramid import optimise
from overpaint.records.run_folder import (
    RunResult,
    create_run_folder,
    save_environment,
    save_settings,
    versions,
)
from overpaint.settings.schema import Config
from overpaint.settings.writing import to_yaml
from overpaint.tracking.wandb.run import WandbTracking
from overpaint.encoder.weights import VggWeights

logger = logging.getLogger(__name__)


def stylize(config: Config, *, console: Console | None = None) -> RunResult:
    """Turns a photo and paintings into a stylized picture, and records how.

    Args:
        config: checked settings, as `load_config` returns them.
        console: a terminal to draw a progress bar on; without one there are log lines.

    Returns:
        The picture, its losses and the folder that holds everything. After Ctrl-C it is the picture
        as far as it got, with `interrupted` set; likewise after SIGTERM if the caller has a handler
        that raises KeyboardInterrupt.

    Raises:
        ImageError: if a picture cannot be read or written, or is too small.
        ConfigError: if the accelerator asked for is not there.
        WeightsError: if the encoder's weights cannot be had.
        DivergedError: if the run left the finite numbers; all that a run leaves is there, with the
            last good picture.
        TrackingError: if `tracking.mode` is `online` and W&B cannot be reached.
    """
    sources = read_sources(config)
    weights = sources.weights
    names = [config.content.image, *config.style.images]
    names += [config.init.file] if config.init.mode == "file" and config.init.file else []
    hashes = {name: file_sha256(name) for name in names}
    # What is recorded is what was used.
    encoder = dataclasses.replace(config.encoder, name=weights.name)
    config = dataclasses.replace(config, encoder=encoder)
    folder = create_run_folder(config.output.dir, config.content.image, config.style.images)
    save_settings(config, folder / "config.yaml")
    tracking = open_tracking(config, folder, weights)
    if tracking:
        logger.info("%s", tracking.message)
    exit_code = 1
    try:
        with first_interrupt_only():
            result = optimise(config, sources.inputs, weights, folder, tracking, console)
            with interrupts_ignored():
                _save(config, result, weights, hashes, tracking)
        if result.diverged:
            raise DivergedError(
                f"{result.diverged} The last good picture, of step {result.steps}: "
                f"{folder / 'result.png'}",
                folder=folder,
            )
        exit_code = 130 if result.interrupted else 0
        return result
    finally:
        if tracking:
            try:
                tracking.finish(exit_code)
            except KeyboardInterrupt:
                logger.warning("W&B: the upload was cut short; `wandb sync` can finish it.")


def _save(
    config: Config,
    result: RunResult,
    weights: VggWeights,
    hashes: Mapping[str, str],
    tracking: WandbTracking | None,
) -> None:
    picture = result.folder / "result.png"
    text = {
        "Software": f"overpaint {versions()['overpaint']}",
        "overpaint settings": to_yaml(config),
        "overpaint versions": json.dumps(versions()),
        "overpaint weights": f"{weights.name}, sha256 {weights.sha256}",
    }
    if weights.fallback:
        text["overpaint fallback"] = weights.fallback
    save_picture(result.image, picture, text)
    facts: dict[str, Any] = {
        "steps": result.steps,
        "evaluations": result.evaluations,
        "seconds": round(result.seconds, 3),
        "step_seconds": round(result.step_seconds, 3),
        "interrupted": result.interrupted,
        "diverged": result.diverged,
        "warnings": [dataclasses.asdict(finding) for finding in result.warnings],
        "losses": result.losses,
    }
    save_environment(
        result.folder / "environment.json",
        {
            **facts,
            "device": result.device,
            "precision": result.precision,
            "compiled": result.compiled,
            "peak_memory_bytes": result.peak_memory_bytes,
            "tracking": tracking.mode if tracking else "disabled",
            "weights": {
                "name": weights.name,
                "path": str(weights.path),
                "sha256": weights.sha256,
                "fallback": weights.fallback,
            },
            "inputs": dict(hashes),
        },
    )
    if tracking:
        if result.diverged:
            tracking.log_warning("diverged", result.diverged)
        losses = {name: value for name, value in result.losses.items() if math.isfinite(value)}
        tracking.log_result(
            {
                **{f"final/{name}": value for name, value in losses.items()},
                **{name: facts[name] for name in ("evaluations", "seconds", "interrupted")},
            },
            [picture, result.folder / "config.yaml"],
        )
    if config.output.copy:
        save_picture(result.image, config.output.copy, text)
    logger.info(
        "Result: %s (%d steps in %.1f s, %s)",
        *(picture, result.steps, result.seconds),
        ", ".join(f"{name} {result.losses[name]:.4g}" for name in ("total", "content", "style")),
    )
