"""The optimiser of one size and its learning rate, step by step."""

from __future__ import annotations

import dataclasses

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from overpaint.optimisation.optimizers import build_optimizer
from overpaint.optimisation.schedule import rate_factor
from overpaint.settings.schema import Config


def build_scheduled_optimizer(
    config: Config, first_step: int, image: nn.Parameter
) -> tuple[Optimizer, LambdaLR]:
    """The optimiser of one size and its rate schedule, which goes on after `first_step` steps.

    Raises:
        ConfigError: if the optimiser has no default rate and none is set.
    """
    optimizer, schedule = config.optimizer, config.schedule
    built = build_optimizer(
        optimizer.name,
        image,
        lr=optimizer.rate,
        options=dataclasses.asdict(getattr(optimizer, optimizer.name)),
    )
    return built, LambdaLR(
        built,
        lambda step: rate_factor(schedule.lr, first_step + step, schedule.steps, schedule.lr_final),
    )
