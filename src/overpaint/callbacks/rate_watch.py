"""Watches the steps of a run for a learning rate that is too low or too high."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl

from overpaint.optimisation.module import StyleTransferModule
from overpaint.optimisation.verdicts import Finding, Row, judge
from overpaint.pictures.tensors import clamped_share

logger = logging.getLogger(__name__)


class RateWatch(pl.Callback):
    """Warns once of a learning rate that is too low, and once of one that is too high.

    Losses of different sizes are no measure of each other, and the optimiser starts afresh at each
    size, so each fit is judged by its own steps.

    Args:
        rate: `optimizer.lr`.
        last_step: of the run.
        usual_clamped: share, in [0, 1], of values at 0 or 1 in the photo and the paintings.
        command: what finds a rate, for the message.
        publish: called with each finding, for example to log it elsewhere.
    """

    def __init__(
        self,
        *,
        rate: float,
        last_step: int,
        usual_clamped: float,
        command: str,
        publish: Callable[[Finding], None] | None = None,
    ) -> None:
        self.findings: list[Finding] = []
        """What was found, in order; at most one of each kind."""
        self._rate = rate
        self._last_step = last_step
        self._usual_clamped = usual_clamped
        self._command = command
        self._publish = publish
        self._trace: list[Row] = []
        self._is_started = False

    def state_dict(self) -> dict[str, Any]:
        """What was seen so far, for a checkpoint."""
        return {
            "findings": [dataclasses.asdict(one) for one in self.findings],
            "trace": [dataclasses.asdict(row) for row in self._trace],
            "usual_clamped": self._usual_clamped,
            "is_started": self._is_started,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on watching after that."""
        self.findings[:] = [Finding(**one) for one in state_dict["findings"]]
        self._trace = [Row(**row) for row in state_dict["trace"]]
        self._usual_clamped = state_dict["usual_clamped"]
        self._is_started = state_dict["is_started"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begins a new trace; what the run's start has of black and white is usual too."""
        assert isinstance(pl_module, StyleTransferModule)
        if trainer.global_step > 0:
            return  # a size that goes on from a checkpoint
        self._trace = []
        if not self._is_started:
            self._is_started = True
            self._usual_clamped = max(self._usual_clamped, clamped_share(pl_module.image.detach()))

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Adds a row and judges; reads from the device at logged steps only."""
        assert isinstance(pl_module, StyleTransferModule)
        report = pl_module.report
        if trainer.should_stop or report is None:
            return
        self._trace.append(
            Row(
                report.step,
                lr=report.rate,
                loss=report.losses["total"],
                moved=float(report.moved),
                clamped=clamped_share(pl_module.image.detach()),
            )
        )
        self._judge(self._last_step)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Judges a first size of few steps by what there is."""
        if self._trace and not trainer.should_stop:
            self._judge(self._trace[-1].step)

    def _judge(self, last_step: int) -> None:
        found = judge(
            self._trace,
            rate=self._rate,
            last_step=last_step,
            usual_clamped=self._usual_clamped,
            command=self._command,
        )
        for finding in found:
            if finding.kind not in {earlier.kind for earlier in self.findings}:
                self.findings.append(finding)
                logger.warning("%s", finding.message)
                if self._publish:
                    self._publish(finding)
