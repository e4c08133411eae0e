"""The parts of a run, built from its settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments import (  # type: ignore[attr-defined]
    LightningEnvironment,
)
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from neural_style.device import best_layout, best_precision
from neural_style.losses import StyleObjective
from neural_style.optimizers import build_optimizer
from neural_style.scales import rate_factor
from neural_style.schema import Config
from neural_style.vgg import Vgg19Features
from neural_style.weights import VggWeights


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
) -> OptimizerLRScheduler:
    """The optimiser of one size with its rate schedule, which goes on after `first_step` steps."""
    optimizer, schedule = config.optimizer, config.schedule
    assert optimizer.lr is not None  # load_config fills it in
    built = build_optimizer(
        optimizer.name,
        image,
        lr=optimizer.lr,
        options=dataclasses.asdict(getattr(optimizer, optimizer.name)),
    )
    rates = torch.optim.lr_scheduler.LambdaLR(
        built,
        lambda step: rate_factor(schedule.lr, first_step + step, schedule.steps, schedule.lr_final),
    )
    return {"optimizer": built, "lr_scheduler": {"scheduler": rates, "interval": "step"}}
