"""The optimisation of one run, coarse to fine: one Lightning fit per size.

From one size to the next the paint, which is the difference to the photo, is enlarged; the targets
are computed anew, the step count and the rate schedule go on, and the optimiser starts afresh, for
its moments belong to other pixels.
"""

from __future__ import annotations

import contextlib
import logging
import shlex
import time
from pathlib import Path

import pytorch_lightning as pl
import torch
from PIL import Image
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional as F

from overpaint.building.objective import (
    build_encoder,
    build_problem,
    build_scheduled_optimizer,
    build_trainer,
    choose_precision,
)
from overpaint.callbacks.progress import ShowProgress, Snapshots, StopWhenDiverged
from overpaint.optimisation.compiling import compiled_measure, is_compiling_wanted
from overpaint.optimisation.device import (
    choose_device,
    device_name,
    exact_cudnn,
    peak_memory_bytes,
    reset_peak_memory,
)
from overpaint.optimisation.fit import fit
from overpaint.pictures.io import resize, size_of
from overpaint.pictures.inputs import Inputs
from overpaint.interrupts import interrupts_ignored
from overpaint.losses.objective import LossTerms, StyleObjective
from overpaint.optimisation.module import Divergence, StyleTransferModule
from overpaint.optimisation.verdicts import Finding
from overpaint.records.run_folder import RunResult
from overpaint.optimisation.schedule import Scale, plan_scales
from overpaint.settings.schema import Config
from overpaint.pictures.tensors import clamped_share, to_picture, to_tensor
from overpaint.tracking.wandb.run import CsvLogger, WandbTracking
from overpaint.encoder.vgg import Vgg19Features
from overpaint.callbacks.rate_watch import RateWatch
from overpaint.encoder.weights import VggWeights

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

    Returns:
        The picture as far as it got, with `interrupted` or `diverged` set if it did not get there.

    Raises:
        ImageError: if a snapshot cannot be written.
    """
    steps = config.schedule.steps
    late = [step for step in config.snapshots.steps if step > steps]
    if late:
        logger.info("snapshots.steps %s lie beyond the last step, %d.", late, steps)
    device = choose_device(config.trainer.accelerator)
    precision = choose_precision(config, device)
    reset_peak_memory(device)
    encoder = build_encoder(config, weights, device, precision)
    loggers = [CsvLogger(folder / "metrics.csv"), *([tracking.logger] if tracking else [])]
    progress = ShowProgress(steps, console=console)
    sized = inputs.at(config.image.size, style_scale=config.style.scale)
    watch = _watch_rate(config, sized, folder, tracking)
    callbacks: list[pl.Callback] = [
        StopWhenDiverged(),
        Snapshots(
            folder / "snapshots",
            steps=config.snapshots.steps,
            every=config.snapshots.every,
            last=steps,
            publish=tracking.log_snapshot if tracking else None,
        ),
        progress,
        watch,
    ]
    plan = plan_scales(
        config.image.size,
        steps,
        scales=config.schedule.scales,
        shares=config.schedule.shares,
        smallest=inputs.smallest_edge(encoder.minimum_edge, style_scale=config.style.scale),
    )
    if tracking:
        tracking.log_inputs(sized.content, sized.styles)
    began = time.monotonic()
    image: Tensor | None = None
    evaluations, interrupted, step_seconds, compiled = 0, False, 0.0, False
    divergence: Divergence | None = None
    with exact_cudnn(precision), contextlib.closing(progress):
        for scale in plan:
            trainer = build_trainer(config, precision, scale.steps, loggers, callbacks)
            autocast = trainer.precision_plugin.forward_context
            try:
                with autocast():
                    module = _build_module(
                        config, inputs, encoder, scale, precision, image, evaluations
                    )
                if is_compiling_wanted(config.trainer.compile, device, steps):
                    module.measure = compiled_measure(
                        module.objective, encoder, module.image, autocast=autocast
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
            compiled = compiled or module.measure is not StyleObjective.measure
            module.to(device)  # Lightning moves it to the CPU at the end
            image, evaluations = module.image.detach(), module.evaluations
            divergence = module.divergence()
            if interrupted or divergence:
                break
        seconds = time.monotonic() - began
        with interrupts_ignored(), torch.no_grad(), autocast():
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
        steps=divergence.last_good if divergence else module.completed,
        evaluations=evaluations,
        seconds=seconds,
        step_seconds=step_seconds,
        interrupted=interrupted,
        device=device_name(device),
        precision=precision,
        compiled=compiled,
        peak_memory_bytes=peak_memory_bytes(device),
        diverged=_in_words(divergence, config) if divergence else None,
        warnings=tuple(watch.findings),
    )


def _watch_rate(
    config: Config, sized: Inputs, folder: Path, tracking: WandbTracking | None
) -> RateWatch:
    assert config.optimizer.lr is not None  # load_config fills it in

    def publish(finding: Finding) -> None:
        if tracking:
            tracking.log_warning(f"rate/{finding.kind}", finding.message)

    return RateWatch(
        rate=config.optimizer.lr,
        last_step=config.schedule.steps,
        usual_clamped=max(clamped_share(to_tensor(x)) for x in (sized.content, *sized.styles)),
        command=f"python scripts/tune_lr.py --config {shlex.quote(str(folder / 'config.yaml'))}",
        publish=publish,
    )


def _in_words(divergence: Divergence, config: Config) -> str:
    assert config.optimizer.lr is not None
    return (
        f"The {divergence.what} became infinite or not a number at step {divergence.step}, where "
        f"the learning rate was {divergence.rate:.3g}; try optimizer.lr="
        f"{config.optimizer.lr / 10:.2g}."
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
    sized = inputs.at(scale.long_edge, style_scale=config.style.scale)
    image = None if previous is None else _carried(previous, inputs.content, sized.content)
    problem = build_problem(config, sized, encoder, precision, image=image)

    def build_optimizer(parameter: nn.Parameter) -> OptimizerLRScheduler:
        optimizer, rates = build_scheduled_optimizer(config, scale.first_step, parameter)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": rates, "interval": "step"}}

    return StyleTransferModule(
        problem.start,
        encoder,
        problem.objective,
        build_optimizer=build_optimizer,
        steps=config.schedule.steps,
        first_step=scale.first_step,
        evaluations=evaluations,
        log_every=config.tracking.log_every,
        loss_scale=problem.loss_scale,
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
