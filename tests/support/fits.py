"""Fits of a small module, for what happens beside the steps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.environments import LightningEnvironment
from torch import Tensor, nn

from overpaint.encoder.vgg import Vgg19Features
from overpaint.losses.objective import Objective
from overpaint.optimisation.fit import quiet_lightning
from overpaint.optimisation.module import StyleTransferModule
from overpaint.optimisation.step import Show, unchanged

MakeModule = Callable[..., StyleTransferModule]


def picture(seed: int) -> Tensor:
    return torch.rand((1, 3, 8, 10), generator=torch.Generator().manual_seed(seed))


class Breaks(torch.optim.SGD):
    """Descends, and turns the image into NaN at one of its steps."""

    def __init__(self, parameter: nn.Parameter, *, lr: float, at: int) -> None:
        super().__init__([parameter], lr=lr)
        self._left = at

    def step(self, closure: Any = None) -> Any:
        loss = super().step(closure)
        self._left -= 1
        if self._left == 0:
            self.param_groups[0]["params"][0].data.fill_(torch.nan)
        return loss


@pytest.fixture
def make_module(make_encoder: Callable[..., Vgg19Features]) -> MakeModule:
    def build(
        *,
        steps: int,
        log_every: int = 1,
        content_weight: float = 1.0,
        breaks_at: int = 0,
        show: Show = unchanged,
    ) -> StyleTransferModule:
        objective = Objective(
            make_encoder("relu1_1"),
            picture(0),
            [picture(1)],
            content_layers={"relu1_1": 1.0},
            style_layers={"relu1_1": 1.0},
            content_weight=content_weight,
            style_weight=1.0,
        )
        return StyleTransferModule(
            nn.Parameter(picture(2)),
            objective,
            build_optimizer=partial(Breaks, lr=0.25, at=breaks_at),
            steps=steps,
            log_every=log_every,
            show=show,
        )

    return build


def fit(module: StyleTransferModule, steps: int, *callbacks: pl.Callback) -> pl.Trainer:
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        plugins=[LightningEnvironment()],
        max_steps=steps,
        logger=False,
        callbacks=list(callbacks),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with quiet_lightning():
        trainer.fit(module, range(steps))
    return trainer


class Trace(pl.Callback):
    """Keeps the image after each step."""

    def __init__(self) -> None:
        self.images: dict[int, Tensor] = {}

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any
    ) -> None:
        assert isinstance(pl_module, StyleTransferModule)
        self.images[trainer.global_step] = pl_module.image.detach().clone()
