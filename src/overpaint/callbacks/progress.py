"""What happens beside the steps: pictures kept, progress shown, divergence caught."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from overpaint.optimisation.module import StyleTransferModule
from overpaint.pictures.io import save_picture
from overpaint.pictures.tensors import to_picture

logger = logging.getLogger(__name__)


class Snapshots(pl.Callback):
    """Saves the image after chosen steps as `step_00001.png` and hands it on.

    Args:
        folder: where to; it must exist.
        steps: the steps, beside the first and the last.
        every: also each multiple of this; 0 for none.
        last: the last step.
        publish: called with the step and the picture, for example to log it elsewhere.
    """

    def __init__(
        self,
        folder: Path,
        *,
        steps: Collection[int] = (),
        every: int = 0,
        last: int,
        publish: Callable[[int, Image.Image], None] | None = None,
    ) -> None:
        self._folder = folder
        self._chosen = {1, last, *steps}
        self._every = every
        self._publish = publish

    def is_chosen(self, step: int) -> bool:
        """Whether the image after `step` is kept."""
        return step in self._chosen or (self._every > 0 and step % self._every == 0)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Runs after the step and the clamp, so the picture is the one that the step made."""
        assert isinstance(pl_module, StyleTransferModule)
        step = pl_module.completed
        if self.is_chosen(step):
            picture = to_picture(pl_module.image)
            save_picture(picture, self._folder / f"step_{step:05d}.png")
            if self._publish:
                self._publish(step, picture)


class StopWhenDiverged(pl.Callback):
    """Ends the fit of a module that met an infinity or NaN; asks it at logged steps only."""

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Lets Lightning end as after a last step, so that every logger writes what it has."""
        assert isinstance(pl_module, StyleTransferModule)
        if pl_module.is_logged(pl_module.completed) and pl_module.divergence():
            trainer.should_stop = True


class ShowProgress(pl.Callback):
    """Step, losses, steps per second and time left: a bar on a terminal, else a few lines.

    Args:
        steps: the last step.
        console: a terminal draws the bar; None or anything else means log lines.
        lines: how many lines at most where there is no bar; the first and last step count.
    """

    def __init__(self, steps: int, *, console: Console | None = None, lines: int = 11) -> None:
        self._steps = steps
        self._every = max(1, math.ceil(steps / max(1, lines - 1)))
        self._bar = _bar(console) if console is not None and console.is_terminal else None
        self._losses = ""
        self._due = False
        self._began: float | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock, and the bar if there is one."""
        if self._began is not None:
            return  # a further size of the same run
        self._began = time.monotonic()
        if self._bar:
            self._bar.start()
            self._task = self._bar.add_task("", total=self._steps, losses="", speed="")

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Moves on by a step; numbers are read from the device at logged steps only."""
        assert isinstance(pl_module, StyleTransferModule)
        step = pl_module.completed
        logged = pl_module.is_logged(step)
        if logged:
            values = trainer.callback_metrics
            self._losses = "  ".join(
                f"{name} {float(values[f'loss/{name}']):.4g}"
                for name in ("total", "content", "style")
            )
        assert self._began is not None
        speed = step / (time.monotonic() - self._began)
        if self._bar:
            self._bar.update(
                self._task, completed=step, losses=self._losses, speed=f"{speed:.2f} steps/s"
            )
            return
        self._due = self._due or step % self._every == 0
        if step in (1, self._steps) or (self._due and logged):
            self._due = False
            left = (self._steps - step) / speed
            logger.info(
                "step %d/%d  %s  %.2f steps/s  %.0f s left",
                *(step, self._steps, self._losses, speed, left),
            )

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leaves the finished bar on the screen."""
        assert isinstance(pl_module, StyleTransferModule)
        if pl_module.completed >= self._steps:
            self.close()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Gives the terminal back."""
        self.close()

    def close(self) -> None:
        """Stops drawing; needed where a run ends between two fits, harmless elsewhere."""
        if self._bar:
            self._bar.stop()


def _bar(console: Console) -> Progress:
    return Progress(
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[losses]}"),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(compact=True),
        console=console,
    )
