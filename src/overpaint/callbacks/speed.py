"""How fast the steps are, and how much memory they hold."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import pytorch_lightning as pl

from overpaint.optimisation.memory import peak_memory_bytes
from overpaint.optimisation.module import StyleTransferModule
from overpaint.tracking import keys


class MeasureSpeed(pl.Callback):
    """Hands on, at each logged step, the steps per second since the logged one before.

    These are no numbers of `LogNumbers`: what metrics.csv has does not depend on the machine, so
    that a run made again, or resumed, can be held against it.

    Args:
        publish: called with the step and the numbers.
    """

    def __init__(self, publish: Callable[[int, Mapping[str, float]], None]) -> None:
        self._publish = publish
        self._since, self._step = 0.0, 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begins to count, so that the targets of a size are not in its steps."""
        assert isinstance(pl_module, StyleTransferModule)
        self._since, self._step = time.perf_counter(), pl_module.completed

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Measures at the steps whose losses were read, for which the device has been waited."""
        assert isinstance(pl_module, StyleTransferModule)
        if pl_module.report is None:
            return
        now, step = time.perf_counter(), pl_module.report.step
        numbers = {keys.SPEED: (step - self._step) / max(now - self._since, 1e-9)}
        if peak := peak_memory_bytes(pl_module.device):
            numbers[keys.PEAK_MEMORY] = peak / 2**20
        self._publish(step, numbers)
        self._since, self._step = now, step
