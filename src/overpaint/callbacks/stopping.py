"""An end for runs that are interrupted: after a whole step."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl

from overpaint.interrupts import Interrupts
from overpaint.optimisation.module import StyleTransferModule

logger = logging.getLogger(__name__)


class StopWhenAsked(pl.Callback):
    """Ends the fit after the step in which Ctrl-C or SIGTERM came.

    Args:
        interrupts: of the run, held back while steps are done.
    """

    def __init__(self, interrupts: Interrupts) -> None:
        self._interrupts = interrupts

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Takes SIGTERM back from Lightning, which would leave between steps by an error."""
        self._interrupts.listen()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Lets Lightning end as after a last step, so that every logger writes what it has."""
        assert isinstance(pl_module, StyleTransferModule)
        if self._interrupts.asked and not trainer.should_stop:
            trainer.should_stop = True
            logger.warning(
                "Interrupted; keeping the picture as it is after step %d.", pl_module.completed
            )


class StopTogether(pl.Callback):
    """Lets all processes of a run end the fit after the same step, whichever of them has reason to.

    Args:
        agree: whether it is so for one of them; each asks after each step.
    """

    def __init__(self, agree: Callable[[bool], bool]) -> None:
        self._agree = agree

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:
        """To be the last that does something after a step."""
        trainer.should_stop = self._agree(trainer.should_stop)
