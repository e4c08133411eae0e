"""The parts of a run, built from its settings."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments import (  # type: ignore[attr-defined]
    LightningEnvironment,
)
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from overpaint.encoder.choosing import find_encoder
from overpaint.encoder.layers import convolutions_up_to, minimum_edge
from overpaint.encoder.vgg import Vgg19Features
from overpaint.encoder.weights import VggWeights
from overpaint.losses.objective import StyleObjective
from overpaint.optimisation.device import best_layout, best_precision, require_accelerator
from overpaint.optimisation.optimizers import build_optimizer, loss_scale
from overpaint.optimisation.schedule import rate_factor
from overpaint.pictures.inputs import Inputs, load_inputs
from overpaint.pictures.tensors import start_image, to_tensor
from overpaint.records.run_folder import versions
from overpaint.settings.schema import Config
from overpaint.settings.writing import to_dict
from overpaint.tracking.wandb.run import WandbTracking, open_wandb

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sources:
    """What a run reads: its pictures and its encoder's weights."""

    inputs: Inputs
    weights: VggWeights


@dataclass(frozen=True)
class Problem:
    """What is minimised, and where from."""

    start: Tensor
    """(1, 3, H, W), on the encoder's device."""
    objective: StyleObjective
    loss_scale: float
    """Factor of the loss that the optimiser sees."""


def read_sources(config: Config) -> Sources:
    """Reads and checks what a run needs, before anything is made.

    Raises:
        ImageError: if a picture cannot be read, or is too small.
        ConfigError: if the accelerator asked for is not there.
        WeightsError: if the encoder's weights cannot be had.
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
    weights = find_encoder(config.encoder.name, config.encoder.weights, convolutions_up_to(layers))
    logger.info("%s: %s (sha256 %s)", weights.name, weights.path, weights.sha256[:12])
    return Sources(inputs, weights)


def used_layers(config: Config) -> tuple[str, ...]:
    """The content and style layers of weight above 0."""
    weights = [*config.content.layers.items(), *config.style.layers.items()]
    return tuple(dict.fromkeys(name for name, weight in weights if weight > 0))


def choose_precision(config: Config, device: torch.device) -> str:
    """`trainer.precision`, with `auto` decided by the device and the optimiser."""
    if config.trainer.precision != "auto":
        return config.trainer.precision
    # L-BFGS compares gradients of neighbouring points, which eight bits cannot tell apart.
    return "32-true" if config.optimizer.name == "lbfgs" else best_precision(device)


def build_encoder(
    config: Config, weights: VggWeights, device: torch.device, precision: str
) -> Vgg19Features:
    """The frozen network on its device, in the memory layout that suits the precision."""
    encoder = Vgg19Features(
        used_layers(config),
        weights.tensors,
        pooling=config.encoder.pooling,
        whole=True,
        calibration=weights.calibration,
    )
    return encoder.to(device, memory_format=best_layout(precision))  # type: ignore[call-overload,no-any-return]


def build_objective(
    config: Config, encoder: Vgg19Features, content: Tensor, styles: Sequence[Tensor]
) -> StyleObjective:
    """The losses of `config` with the targets of a photo and paintings, each (1, 3, H, W)."""
    return StyleObjective(
        encoder(content),
        [encoder(style) for style in styles],
        content_layers=config.content.layers,
        style_layers=config.style.layers,
        content_weight=config.content.weight,
        style_weight=config.style.weight,
        tv_weight=config.loss.tv_weight,
        normalization=config.loss.normalization,
        image_weights=config.style.image_weights or None,
        calibration=encoder.calibration,
    )


def build_problem(
    config: Config,
    sized: Inputs,
    encoder: Vgg19Features,
    precision: str,
    *,
    image: Tensor | None = None,
) -> Problem:
    """The losses of pictures brought to one size, and the picture to start from.

    Args:
        config: checked settings.
        sized: the pictures as `Inputs.at` returns them.
        encoder: the frozen network, on its device.
        precision: decides on the memory layout.
        image: (1, 3, H, W), in the place of the start that `init` asks for.

    To be called under the autocast of the steps, so that the targets are as exact as they are.
    """
    content = to_tensor(sized.content)
    if image is None:
        image = start_image(
            config.init.mode,
            content=content,
            picture=None if sized.start is None else to_tensor(sized.start),
            noise_ratio=config.init.noise_ratio,
            seed=config.seed,
        )
    device, layout = encoder.mean.device, best_layout(precision)
    content, image = (x.to(device, memory_format=layout) for x in (content, image))
    styles = [to_tensor(style).to(device, memory_format=layout) for style in sized.styles]
    with torch.no_grad():
        objective = build_objective(config, encoder, content, styles)
        start_loss = objective.measure(encoder, image).total
    return Problem(image, objective, loss_scale(config.optimizer.name, start_loss, image))


def build_trainer(
    config: Config,
    precision: str,
    steps: int,
    loggers: Sequence[pl.loggers.Logger],
    callbacks: list[pl.Callback],
) -> pl.Trainer:
    """A trainer for the steps of one size: one device, no checkpoints, no bar of its own."""
    return pl.Trainer(
        accelerator=config.trainer.accelerator,
        devices=1,
        precision=precision,  # type: ignore[arg-type]
        plugins=[LightningEnvironment()],  # one process, also inside a cluster's job
        max_steps=steps,
        log_every_n_steps=1,  # the module widens this between the steps that it logs
        logger=loggers,
        callbacks=list(callbacks),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def build_scheduled_optimizer(
    config: Config, first_step: int, image: nn.Parameter
) -> tuple[Optimizer, LambdaLR]:
    """The optimiser of one size and its rate schedule, which goes on after `first_step` steps."""
    optimizer, schedule = config.optimizer, config.schedule
    assert optimizer.lr is not None  # load_config fills it in
    built = build_optimizer(
        optimizer.name,
        image,
        lr=optimizer.lr,
        options=dataclasses.asdict(getattr(optimizer, optimizer.name)),
    )
    return built, LambdaLR(
        built,
        lambda step: rate_factor(schedule.lr, first_step + step, schedule.steps, schedule.lr_final),
    )


def open_tracking(
    config: Config,
    folder: Path,
    weights: VggWeights,
    *,
    job_type: str = "stylize",
    **changed: Any,
) -> WandbTracking | None:
    """Opens the W&B run of a run folder.

    Args:
        config: checked settings; the run is described by `tracking` and logs all of them.
        folder: the run folder, which also names the run.
        weights: of the encoder.
        job_type: what the run does.
        changed: arguments of `open_wandb` that take the place of those.

    Raises:
        TrackingError: if `tracking.mode` is `online` and W&B cannot be reached.
    """
    tracking = config.tracking
    described: dict[str, Any] = {
        "mode": tracking.mode,
        "project": tracking.project,
        "name": tracking.name or folder.name,
        "entity": tracking.entity,
        "group": tracking.group,
        "tags": tracking.tags,
        "notes": tracking.notes,
    }
    facts: Mapping[str, Any] = {
        **to_dict(config),
        "weights_sha256": weights.sha256,
        "encoder_fallback": weights.fallback,
        "versions": versions(),
    }
    return open_wandb(directory=folder, job_type=job_type, config=facts, **{**described, **changed})
