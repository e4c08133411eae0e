"""Reports of a loss while a run goes on, to whoever may stop it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl

from overpaint.optimisation.module import StyleTransferModule


class ReportLoss(pl.Callback):
    """Reports a loss at each logged step, and ends the run after it if it is told to.

    Args:
        name: of the loss: `total`, `content`, `style`, `style/<layer>` or `tv`.
        tell: is given the number of the report, from 1, and the loss; returns whether to go on.
    """

    def __init__(self, name: str, tell: Callable[[int, float], bool]) -> None:
        self.stopped_at: int | None = None
        """The step after which the run was told to end."""
        self._name = name
        self._tell = tell
        self._count = 0

    def state_dict(self) -> dict[str, Any]:
        """How many reports there were, for a checkpoint."""
        return {"count": self._count}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on counting."""
        self._count = state_dict["count"]

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Reports the step, if it is one of those to be logged."""
        assert isinstance(pl_module, StyleTransferModule)
        report = pl_module.report
        if report is None or trainer.should_stop or self._name not in report.losses:
            return
        self._count += 1
        if not self._tell(self._count, report.losses[self._name]):
            self.stopped_at = report.step
            trainer.should_stop = True
