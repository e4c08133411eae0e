"""One run from settings to files: read the inputs, optimise, write what the run leaves."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from neural_style.assembly import used_layers
from neural_style.config import to_dict, to_yaml
from neural_style.device import require_accelerator
from neural_style.encoders import find_encoder
from neural_style.files import file_sha256
from neural_style.fitting import interrupt_handler_restored
from neural_style.images import save_picture
from neural_style.inputs import load_inputs
from neural_style.layers import convolutions_up_to, minimum_edge
from neural_style.pyramid import optimise
from neural_style.record import (
    RunResult,
    create_run_folder,
    save_environment,
    save_settings,
    versions,
)
from neural_style.schema import Config
from neural_style.tracking import WandbTracking, open_wandb
from neural_style.weights import VggWeights

logger = logging.getLogger(__name__)


def stylize(config: Config, *, console: Console | None = None) -> RunResult:
    """Turns a photo and paintings into a stylized picture, and records how.

    Args:
        config: checked settings, as `load_config` returns them.
        console: a terminal to draw a progress bar on; without one there are log lines.

    Returns:
        The picture, its losses and the folder that holds everything. After Ctrl-C it is the picture
        as far as it got, with `interrupted` set.

    Raises:
        ImageError: if a picture cannot be read or written, or is too small.
        ConfigError: if the accelerator asked for is not there.
        WeightsError: if the encoder's weights cannot be had.
        DivergedError: if the loss stops being a number.
        TrackingError: if `tracking.mode` is `online` and W&B cannot be reached.
    """
    layers = used_layers(config)
    require_accelerator(config.trainer.accelerator)
    starts = {"file": config.init.file, "style": config.style.images[0]}
    inputs = load_inputs(
        config.content.image,
        config.style.images,
        start=starts.get(config.init.mode),
        long_edge=config.image.size,
        style_scale=config.style.scale,
        minimum_edge=minimum_edge(layers),
    )
    names = [config.content.image, *config.style.images]
    names += [config.init.file] if config.init.mode == "file" and config.init.file else []
    hashes = {name: file_sha256(name) for name in names}
    weights = find_encoder(config.encoder.name, config.encoder.weights, convolutions_up_to(layers))
    logger.info("%s: %s (sha256 %s)", weights.name, weights.path, weights.sha256[:12])
    # What is recorded is what was used.
    config = replace(config, encoder=replace(config.encoder, name=weights.name))
    folder = create_run_folder(config.output.dir, config.content.image, config.style.images)
    save_settings(config, folder / "config.yaml")
    tracking = _open_tracking(config, folder, weights)
    if tracking:
        logger.info("%s", tracking.message)
    exit_code = 1
    try:
        with interrupt_handler_restored():
            result = optimise(config, inputs, weights, folder, tracking, console)
            _save(config, result, weights, hashes, tracking)
        exit_code = 130 if result.interrupted else 0
        return result
    finally:
        if tracking:
            try:
                tracking.finish(exit_code)
            except KeyboardInterrupt:
                logger.warning("W&B: the upload was cut short; `wandb sync` can finish it.")


def _open_tracking(config: Config, folder: Path, weights: VggWeights) -> WandbTracking | None:
    tracking = config.tracking
    return open_wandb(
        tracking.mode,
        directory=folder,
        project=tracking.project,
        name=tracking.name or folder.name,
        entity=tracking.entity,
        group=tracking.group,
        tags=tracking.tags,
        notes=tracking.notes,
        config={
            **to_dict(config),
            "weights_sha256": weights.sha256,
            "encoder_fallback": weights.fallback,
            "versions": versions(),
        },
    )


def _save(
    config: Config,
    result: RunResult,
    weights: VggWeights,
    hashes: Mapping[str, str],
    tracking: WandbTracking | None,
) -> None:
    picture = result.folder / "result.png"
    text = {
        "Software": f"neural-style {versions()['neural-style']}",
        "neural-style settings": to_yaml(config),
        "neural-style versions": json.dumps(versions()),
        "neural-style weights": f"{weights.name}, sha256 {weights.sha256}",
    }
    if weights.fallback:
        text["neural-style fallback"] = weights.fallback
    save_picture(result.image, picture, text)
    facts: dict[str, Any] = {
        "steps": result.steps,
        "evaluations": result.evaluations,
        "seconds": round(result.seconds, 3),
        "step_seconds": round(result.step_seconds, 3),
        "interrupted": result.interrupted,
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
        tracking.log_result(
            {
                **{f"final/{name}": value for name, value in result.losses.items()},
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
