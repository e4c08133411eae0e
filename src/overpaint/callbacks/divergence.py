"""An end for runs that left the finite numbers."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl

from overpaint.optimisation.module import StyleTransferModule


class StopWhenDiverged(pl.Callback):
    """Ends the fit of a module that met an infinity or NaN; asks it at logged steps only."""

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Lets Lightning end as after a last step, so that every logger writes what it has."""
        assert isinstance(pl_module, StyleTransferModule)
        if pl_module.report and pl_module.divergence():
            trainer.should_stop = True
