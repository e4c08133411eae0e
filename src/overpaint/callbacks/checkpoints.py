"""What a run needs to go on, saved on the way."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from overpaint.errors import brief
from overpaint.optimisation.module import StyleTransferModule

logger = logging.getLogger(__name__)


class SaveCheckpoints(pl.callbacks.Checkpoint):
    """Saves Lightning's checkpoint every so many seconds, and at each size's end.

    Lightning runs callbacks of this kind after all others, so that it holds what those have seen of
    the step. Its own ModelCheckpoint ranks files by the steps of one trainer; here each size has a
    trainer of its own, and what counts is that the newest two stay.

    Args:
        place: from the steps done to a new file; forgets the oldest one.
        every_seconds: 0 or more; 0 for each step, None for the ends of sizes alone.
        seconds: what the run had taken when it went on from a checkpoint.
        step_seconds: of these, what its fits had taken.
    """

    def __init__(
        self,
        place: Callable[[int], Path],
        *,
        every_seconds: float | None,
        seconds: float = 0.0,
        step_seconds: float = 0.0,
    ) -> None:
        self._place = place
        self._every = every_seconds
        self._began = time.monotonic() - seconds
        self._step_seconds = step_seconds
        self._entered = self._saved = time.monotonic()
        self._has_failed = False

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Starts the clock of a fit."""
        self._entered = time.monotonic()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Stops it."""
        self._step_seconds += time.monotonic() - self._entered

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Saves if it is time, if these were the last steps of a size, or if the run stops."""
        assert isinstance(pl_module, StyleTransferModule)
        is_last = trainer.should_stop or trainer.global_step >= trainer.max_steps
        waited = time.monotonic() - self._saved
        if not is_last and (self._every is None or waited < self._every):
            return
        if pl_module.divergence() is None:
            self._save(trainer, pl_module.completed)
        self._saved = time.monotonic()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Saves the last whole step if another process of the run may be gone."""
        assert isinstance(pl_module, StyleTransferModule)
        if trainer.world_size > 1 and isinstance(exception, RuntimeError) and pl_module.completed:
            self._save(trainer, pl_module.completed)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Adds how long the run has taken, and its fits."""
        now = time.monotonic()
        checkpoint["seconds"] = now - self._began
        checkpoint["step_seconds"] = self._step_seconds + now - self._entered

    def _save(self, trainer: pl.Trainer, step: int) -> None:
        try:
            trainer.save_checkpoint(self._place(step), weights_only=False)
        except OSError as error:  # a full disk, say: the run is worth more
            if not self._has_failed:
                logger.warning(
                    "The checkpoint of step %d cannot be written (%s); the run goes on without.",
                    *(step, brief(error)),
                )
            self._has_failed = True
