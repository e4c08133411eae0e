"""The numbers of the logged steps, handed to whoever keeps them."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl

from overpaint.optimisation.module import StepReport, StyleTransferModule
from overpaint.tracking import keys


class LogNumbers(pl.Callback):
    """Hands each report of the module to the trainer's loggers, and remembers it.

    Lightning's own `self.log` reads its tensors one by one, in every step or in each n-th; here the
    first, each n-th and the last step are read, at once.
    """

    def __init__(self) -> None:
        self.history: list[dict[str, float]] = []
        """A row for each logged step: `step`, and the numbers under their keys."""

    def state_dict(self) -> dict[str, Any]:
        """The rows so far, for a checkpoint."""
        return {"history": list(self.history)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on after those rows."""
        self.history[:] = state_dict["history"]

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Logs the step, if it is one of those to be logged."""
        assert isinstance(pl_module, StyleTransferModule)
        if pl_module.report is None:
            return
        step, numbers = pl_module.report.step, named(pl_module.report)
        self.history.append({"step": step, **numbers})
        for logger in trainer.loggers:
            logger.log_metrics(numbers, step=step)
            logger.save()


def named(report: StepReport) -> dict[str, float]:
    """The numbers of a step under the keys that they are logged by; waits for the device."""
    return {
        **{keys.loss(name): value for name, value in report.losses.items()},
        keys.MOVED: float(report.moved),
        keys.RATE: report.rate,
        keys.EVALUATIONS: float(report.evaluations),
    }
