"""The optimisation of one run, coarse to fine: one Lightning fit per size.

From one size to the next the paint, which is the difference to the photo, is enlarged; the targets
are computed anew, the step count and the rate schedule go on, and the optimiser starts afresh, for
its moments belong to other pixels.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments import (  # type: ignore[attr-defined]
    LightningEnvironment,
)
from PIL import Image
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional as F

from neural_style.callbacks import FiniteLoss, ShowProgress, Snapshots
from neural_style.device import (
    best_layout,
    best_precision,
    choose_device,
    device_name,
    exact_cudnn,
    peak_memory_bytes,
    reset_peak_memory,
)
from neural_style.fitting import fit
from neural_style.images import resize, size_of
from neural_style.inputs import Inputs
from neural_style.layers import minimum_edge
from neural_style.losses import LossTerms, StyleObjective
from neural_style.module import StyleTransferModule
from neural_style.optimizers import build_optimizer, loss_scale
from neural_style.record import RunResult
from neural_style.scales import Scale, plan_scales, rate_factor
from neural_style.schema import Config
from neural_style.tensors import start_image, to_picture, to_tensor
from neural_style.tracking import CsvLogger, WandbTracking
from neural_style.vgg import Vgg19Features
from neural_style.weights import VggWeights

logger = logging.getLogger(__name__)


def optimise(
    config: Config,
    inputs: Inputs,
    weights: VggWeights,
    folder: Path,
    tracking: WandbTracking | None,
    console: Console | None,
) -> RunResult:
    """Runs all steps of all sizes.

    Args:
        config: checked settings.
        inputs: the pictures as they were read.
        weights: of the encoder.
        folder: the run folder, for metrics and snapshots.
        tracking: the W&B run, if there is one.
        console: a terminal to draw a progress bar on.

    Raises:
        DivergedError: if the loss stops being a number.
    """
    steps = config.schedule.steps
    late = [step for step in config.snapshots.steps if step > steps]
    if late:
        logger.info("snapshots.steps %s lie beyond the last step, %d.", late, steps)
    device = choose_device(config.trainer.accelerator)
    precision = choose_precision(config, device)
    reset_peak_memory(device)
    layers = used_layers(config)
    encoder = Vgg19Features(layers, weights.tensors, pooling=config.encoder.pooling).to(device)
    layout = best_layout(precision)
    encoder.to(memory_format=layout)
    loggers = [CsvLogger(folder / "metrics.csv"), *([tracking.logger] if tracking else [])]
    progress = ShowProgress(steps, console=console)
    callbacks: list[pl.Callback] = [
        FiniteLoss(),
        Snapshots(
            folder / "snapshots",
            steps=config.snapshots.steps,
            every=config.snapshots.every,
            last=steps,
            publish=tracking.log_snapshot if tracking else None,
        ),
        progress,
    ]
    plan = plan_scales(
        config.image.size,
        steps,
        scales=config.schedule.scales,
        shares=config.schedule.shares,
        smallest=inputs.smallest_edge(minimum_edge(layers), style_scale=config.style.scale),
    )
    sized = inputs.at(config.image.size, style_scale=config.style.scale)
    if tracking:
        tracking.log_inputs(sized.content, sized.styles)
    began = time.monotonic()
    image: Tensor | None = None
    evaluations, interrupted, step_seconds = 0, False, 0.0
    with exact_cudnn(precision), contextlib.closing(progress):
        for scale in plan:
            trainer = _build_trainer(config, precision, scale, loggers, callbacks)
            try:
                with trainer.precision_plugin.forward_context():
                    module = _build_module(
                        config, inputs, encoder, scale, precision, image, evaluations
                    )
            except KeyboardInterrupt:
                if image is None:
                    raise
                interrupted = True
                break
            _announce(config, module, scale, device, precision)
            entered = time.monotonic()
            interrupted = fit(trainer, module, scale.steps)
            step_seconds += time.monotonic() - entered
            module.to(device)  # Lightning moves it to the CPU at the end
            image, evaluations = module.image.detach(), module.evaluations
            if interrupted:
                break
        seconds = time.monotonic() - began
        with torch.no_grad(), trainer.precision_plugin.forward_context():
            terms: LossTerms = module(module.image)
    return RunResult(
        image=to_picture(_carried(module.image.detach(), inputs.content, sized.content)),
        folder=folder,
        losses={
            "total": terms.total.item(),
            "content": terms.content.item(),
            "style": terms.style.item(),
            **{f"style/{name}": value.item() for name, value in terms.style_layers.items()},
            **({} if terms.tv is None else {"tv": terms.tv.item()}),
        },
        steps=module.completed,
        evaluations=evaluations,
        seconds=seconds,
        step_seconds=step_seconds,
        interrupted=interrupted,
        device=device_name(device),
        precision=precision,
        peak_memory_bytes=peak_memory_bytes(device),
    )


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


def _build_trainer(
    config: Config,
    precision: str,
    scale: Scale,
    loggers: Sequence[pl.loggers.Logger],
    callbacks: list[pl.Callback],
) -> pl.Trainer:
    return pl.Trainer(
        accelerator=config.trainer.accelerator,
        devices=1,
        precision=precision,  # type: ignore[arg-type]
        plugins=[LightningEnvironment()],  # one process, also inside a cluster's job
        max_steps=scale.steps,
        log_every_n_steps=1,  # the module widens this between the steps that it logs
        logger=loggers,
        callbacks=list(callbacks),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _build_module(
    config: Config,
    inputs: Inputs,
    encoder: Vgg19Features,
    scale: Scale,
    precision: str,
    previous: Tensor | None,
    evaluations: int,
) -> StyleTransferModule:
    """The module of one size; its picture is the enlarged `previous` one, or the run's start."""
    device = encoder.mean.device
    sized = inputs.at(scale.long_edge, style_scale=config.style.scale)
    content = to_tensor(sized.content)
    if previous is None:
        extra = None if sized.start is None else to_tensor(sized.start)
        image = start_image(
            config.init.mode,
            content=content,
            picture=extra,
            noise_ratio=config.init.noise_ratio,
            seed=config.seed,
        )
    else:
        image = _carried(previous, inputs.content, sized.content)
    layout = best_layout(precision)
    content, image = (x.to(device, memory_format=layout) for x in (content, image))
    styles = [to_tensor(style).to(device, memory_format=layout) for style in sized.styles]
    with torch.no_grad():
        objective = build_objective(config, encoder, content, styles)
        start_terms = objective.measure(encoder, image)
    return StyleTransferModule(
        image,
        encoder,
        objective,
        build_optimizer=partial(_build_optimizer, config, scale),
        steps=config.schedule.steps,
        first_step=scale.first_step,
        evaluations=evaluations,
        log_every=config.tracking.log_every,
        loss_scale=loss_scale(config.optimizer.name, start_terms.total, image),
    )


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
    )


def _carried(image: Tensor, photo: Image.Image, larger: Image.Image) -> Tensor:
    """The picture at a larger size: its difference to the photo, enlarged, over the larger photo.

    The photo's fine detail, which no smaller picture holds, is there from the first step on.
    """
    height, width = image.shape[-2:]
    if (height, width) == size_of(larger):
        return image
    paint = image.cpu() - to_tensor(resize(photo, (height, width)))
    paint = F.interpolate(paint, size=size_of(larger), mode="bicubic", align_corners=False)
    return (to_tensor(larger) + paint).clamp(0, 1)


def _build_optimizer(config: Config, scale: Scale, image: nn.Parameter) -> OptimizerLRScheduler:
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
        lambda step: rate_factor(
            schedule.lr, scale.first_step + step, schedule.steps, schedule.lr_final
        ),
    )
    return {"optimizer": built, "lr_scheduler": {"scheduler": rates, "interval": "step"}}


def _announce(
    config: Config,
    module: StyleTransferModule,
    scale: Scale,
    device: torch.device,
    precision: str,
) -> None:
    height, width = module.image.shape[-2:]
    logger.info(
        "%dx%d pixels on %s in %s: %d trainable values, %d steps of %s at lr %g, %s losses",
        *(width, height, device, precision, module.image.numel(), scale.steps),
        *(config.optimizer.name, config.optimizer.lr, config.loss.normalization),
    )
