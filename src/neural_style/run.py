"""One run: read, build, optimise, save. The only place where settings meet the parts."""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments import LightningEnvironment  # type: ignore[attr-defined]
from PIL import Image
from rich.console import Console

from neural_style.callbacks import FiniteLoss, ShowProgress, Snapshots
from neural_style.config import to_dict, to_yaml
from neural_style.device import device_name, peak_memory_bytes, require_accelerator
from neural_style.fitting import fit, interrupt_handler_restored
from neural_style.images import save_picture
from neural_style.inputs import Inputs, load_inputs
from neural_style.layers import convolutions_up_to, minimum_edge
from neural_style.losses import LossTerms, StyleObjective
from neural_style.module import StyleTransferModule
from neural_style.optimizers import build_optimizer, loss_scale
from neural_style.record import (
    create_run_folder,
    file_sha256,
    save_environment,
    save_settings,
    versions,
)
from neural_style.schema import Config
from neural_style.tensors import start_image, to_picture, to_tensor
from neural_style.tracking import CsvLogger, WandbTracking, open_wandb
from neural_style.vgg import Vgg19Features
from neural_style.weights import VggWeights, load_weights

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunResult:
    """What a finished or interrupted run leaves."""

    image: Image.Image
    """The result, mode RGB."""
    folder: Path
    """Absolute path of the run folder."""
    losses: dict[str, float]
    """Of the result: `total`, `content`, `style` and `style/<layer>`."""
    steps: int
    """Steps done."""
    evaluations: int
    """Forward and backward passes done; more than steps if a line search was used."""
    seconds: float
    """Of the optimisation alone."""
    interrupted: bool
    device: str
    """`cpu`, `mps`, or the name of the GPU."""
    peak_memory_bytes: int | None
    """The most memory held: on the GPU if one was used, else by the process."""


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
        WeightsError: if VGG-19's weights cannot be had.
        DivergedError: if the loss stops being a number.
        TrackingError: if `tracking.mode` is `online` and W&B cannot be reached.
    """
    layers = _used_layers(config)
    require_accelerator(config.trainer.accelerator)
    pictures = load_inputs(
        config.content.image,
        config.style.images,
        start=config.init.file if config.init.mode == "file" else None,
        long_edge=config.image.size,
        minimum_edge=minimum_edge(layers),
    )
    weights = load_weights(config.encoder.weights, convolutions_up_to(layers))
    logger.info("VGG-19: %s (sha256 %s)", weights.path, weights.sha256[:12])
    folder = create_run_folder(config.output.dir, config.content.image, config.style.images)
    save_settings(config, folder / "config.yaml")
    tracking = _open_tracking(config, folder, weights)
    if tracking:
        logger.info("%s", tracking.message)
    exit_code = 1
    try:
        with interrupt_handler_restored():
            result = _optimise(config, pictures, weights, folder, tracking, console)
            _save(config, result, weights, tracking)
        exit_code = 130 if result.interrupted else 0
        return result
    finally:
        if tracking:
            tracking.finish(exit_code)


def _used_layers(config: Config) -> tuple[str, ...]:
    weights = [*config.content.layers.items(), *config.style.layers.items()]
    return tuple(dict.fromkeys(name for name, weight in weights if weight > 0))


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
        config={**to_dict(config), "weights_sha256": weights.sha256, "versions": versions()},
    )


def _optimise(
    config: Config,
    pictures: Inputs,
    weights: VggWeights,
    folder: Path,
    tracking: WandbTracking | None,
    console: Console | None,
) -> RunResult:
    steps = config.schedule.steps
    late = [step for step in config.snapshots.steps if step > steps]
    if late:
        logger.info("snapshots.steps %s lie beyond the last step, %d.", late, steps)
    trainer = pl.Trainer(
        accelerator=config.trainer.accelerator,
        devices=1,
        precision=config.trainer.precision,
        plugins=[LightningEnvironment()],  # one process, also inside a cluster's job
        max_steps=steps,
        log_every_n_steps=1,  # the module widens this between the steps that it logs
        logger=[CsvLogger(folder / "metrics.csv"), *([tracking.logger] if tracking else [])],
        callbacks=[
            FiniteLoss(),
            Snapshots(
                folder / "snapshots",
                steps=config.snapshots.steps,
                every=config.snapshots.every,
                last=steps,
                publish=tracking.log_snapshot if tracking else None,
            ),
            ShowProgress(steps, console=console),
        ],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    device = trainer.strategy.root_device
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
        with trainer.precision_plugin.forward_context():
            module = _build_module(config, pictures, weights, device)
        height, width = module.image.shape[-2:]
        logger.info(
            "%dx%d pixels on %s: %d trainable values, %d steps of %s at lr %g, %s losses",
            *(width, height, device, module.image.numel(), steps),
            *(config.optimizer.name, config.optimizer.lr, config.loss.normalization),
        )
        if tracking:
            tracking.log_inputs(pictures.content, pictures.styles)
        began = time.monotonic()
        interrupted = fit(trainer, module, steps)
        seconds = time.monotonic() - began
        module.to(device)  # Lightning moves it to the CPU at the end
        with torch.no_grad(), trainer.precision_plugin.forward_context():
            terms: LossTerms = module(module.image)
    return RunResult(
        image=to_picture(module.image),
        folder=folder,
        losses={
            "total": terms.total.item(),
            "content": terms.content.item(),
            "style": terms.style.item(),
            **{f"style/{name}": value.item() for name, value in terms.style_layers.items()},
        },
        steps=trainer.global_step,
        evaluations=module.evaluations,
        seconds=seconds,
        interrupted=interrupted,
        device=device_name(device),
        peak_memory_bytes=peak_memory_bytes(device),
    )


def _build_module(
    config: Config, pictures: Inputs, weights: VggWeights, device: torch.device
) -> StyleTransferModule:
    encoder = Vgg19Features(_used_layers(config), weights.tensors, pooling=config.encoder.pooling)
    encoder.to(device)
    content = to_tensor(pictures.content)
    start = start_image(
        config.init.mode,
        content=content,
        style=to_tensor(pictures.style_start),
        file=None if pictures.file_start is None else to_tensor(pictures.file_start),
        noise_ratio=config.init.noise_ratio,
        seed=config.seed,
    ).to(device)
    with torch.no_grad():
        objective = StyleObjective(
            encoder(content.to(device)),
            [encoder(to_tensor(style).to(device)) for style in pictures.styles],
            content_layers=config.content.layers,
            style_layers=config.style.layers,
            content_weight=config.content.weight,
            style_weight=config.style.weight,
            normalization=config.loss.normalization,
            image_weights=config.style.image_weights or None,
        )
        start_terms: LossTerms = objective(encoder(start))
    optimizer = config.optimizer
    assert optimizer.lr is not None  # load_config fills it in
    return StyleTransferModule(
        start,
        encoder,
        objective,
        build_optimizer=partial(
            build_optimizer,
            optimizer.name,
            lr=optimizer.lr,
            options=dataclasses.asdict(getattr(optimizer, optimizer.name)),
        ),
        steps=config.schedule.steps,
        log_every=config.tracking.log_every,
        loss_scale=loss_scale(optimizer.name, start_terms.total, start),
    )


def _save(
    config: Config, result: RunResult, weights: VggWeights, tracking: WandbTracking | None
) -> None:
    picture = result.folder / "result.png"
    text = {
        "Software": f"neural-style {versions()['neural-style']}",
        "neural-style settings": to_yaml(config),
        "neural-style versions": json.dumps(versions()),
        "neural-style weights": f"sha256 {weights.sha256}",
    }
    save_picture(result.image, picture, text)
    if config.output.copy:
        save_picture(result.image, config.output.copy, text)
    facts: dict[str, Any] = {
        "steps": result.steps,
        "evaluations": result.evaluations,
        "seconds": round(result.seconds, 3),
        "interrupted": result.interrupted,
        "losses": result.losses,
    }
    save_environment(
        result.folder / "environment.json",
        {
            **facts,
            "device": result.device,
            "peak_memory_bytes": result.peak_memory_bytes,
            "tracking": tracking.mode if tracking else "disabled",
            "weights": {"path": str(weights.path), "sha256": weights.sha256},
            "inputs": {
                path: file_sha256(path) for path in (config.content.image, *config.style.images)
            },
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
    logger.info(
        "Result: %s (%d steps in %.1f s, %s)",
        *(picture, result.steps, result.seconds),
        ", ".join(f"{name} {result.losses[name]:.4g}" for name in ("total", "content", "style")),
    )
