"""The Lightning module and the trainer of one size."""

from __future__ import annotations

from collections.abc import Sequence

import pytorch_lightning as pl
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import nn

from overpaint.building.objective import Problem
from overpaint.building.optimizer import build_scheduled_optimizer
from overpaint.losses.objective import Objective
from overpaint.optimisation.module import Measure, StyleTransferModule
from overpaint.optimisation.schedule import Scale
from overpaint.processes.places import Joined
from overpaint.processes.strategy import RowsStrategy
from overpaint.processes.team import ALONE_HERE, Team
from overpaint.records.checkpoints import WholeFiles
from overpaint.settings.schema import Config


def build_trainer(
    config: Config,
    precision: str,
    steps: int,
    loggers: Sequence[pl.loggers.Logger],
    callbacks: Sequence[pl.Callback],
    team: Team = ALONE_HERE,
) -> pl.Trainer:
    """A trainer for the steps of one size: a device for each process, no bar of its own.

    Checkpoints are saved if one of the callbacks does it.
    """
    return pl.Trainer(
        accelerator=config.trainer.accelerator,
        devices=team.place.devices,
        num_nodes=team.place.nodes,
        strategy="auto" if team.is_alone else RowsStrategy(),
        precision=precision,  # type: ignore[arg-type]
        plugins=[
            Joined(team.place),  # one process, also inside a cluster's job, unless it has a team
            WholeFiles(),
        ],
        max_steps=steps,
        log_every_n_steps=1,  # nothing is logged by Lightning itself; spares a warning
        logger=[*loggers],
        callbacks=[*callbacks],
        enable_checkpointing=any(isinstance(one, pl.callbacks.Checkpoint) for one in callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def build_module(
    config: Config,
    problem: Problem,
    scale: Scale,
    *,
    evaluations: int = 0,
    measure: Measure | None = None,
) -> StyleTransferModule:
    """The module of one size.

    Args:
        config: resolved settings.
        problem: the losses and the picture, at that size.
        scale: the size and its share of the steps.
        evaluations: forward and backward passes that the run has done before.
        measure: a compiled form of the objective, if there is one.
    """

    def build_optimizer(parameter: nn.Parameter) -> OptimizerLRScheduler:
        optimizer, rates = build_scheduled_optimizer(config, scale.first_step, parameter)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": rates, "interval": "step"}}

    return StyleTransferModule(
        problem.image,
        problem.objective,
        build_optimizer=build_optimizer,
        steps=config.schedule.steps,
        first_step=scale.first_step,
        evaluations=evaluations,
        log_every=config.tracking.log_every,
        loss_scale=problem.loss_scale,
        measure=measure or Objective.forward,
        show=problem.show,
    )
