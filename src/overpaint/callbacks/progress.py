"""How far a run is, for whoever waits for it."""

from __future__ import annotations

import heapq
import importlib.util
import logging
import math
import time
from collections.abc import Sequence
from typing import Any, Protocol

import pytorch_lightning as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from overpaint.losses.objective import MAIN_LOSSES
from overpaint.optimisation.module import StyleTransferModule
from overpaint.optimisation.schedule import Scale, share_of_work

logger = logging.getLogger(__name__)


class Watcher(Protocol):
    """Follows how far a run is that is one of several."""

    def show(self, share: float, told: str) -> None:
        """Takes in the share of its work that is done, from 0 to 1, and what else there is."""


class ShowProgress(pl.Callback):
    """Step, losses, steps per second and time left: a bar, or a few lines.

    Args:
        steps: the last step.
        console: a terminal, or a notebook with ipywidgets, draws the bar; a notebook without them
            prints lines; None or anything else means log lines.
        lines: how many lines at most where there is no bar; the first and last step count.
        overall: where the run is one of several, what follows how far all of them are; then there
            is nothing else.
    """

    def __init__(
        self,
        steps: int,
        *,
        console: Console | None = None,
        lines: int = 11,
        overall: Watcher | None = None,
    ) -> None:
        self._steps = steps
        self._every = max(1, math.ceil(steps / max(1, lines - 1)))
        self._overall = overall
        self._plan: Sequence[Scale] = ()
        has_bar = overall is None and console is not None and _can_draw(console)
        self._bar = _bar(console) if console is not None and has_bar else None
        self._say = console.print if console is not None and console.is_jupyter else logger.info
        self._losses = ""
        self._due = False
        self._began: float | None = None
        self._done_before = 0

    def follow(self, plan: Sequence[Scale]) -> None:
        """Takes in the sizes that are to be painted, for steps differ in what they cost."""
        self._plan = plan

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock, and the bar if there is one."""
        if self._began is not None:
            return  # a further size of the same run
        assert isinstance(pl_module, StyleTransferModule)
        self._began, self._done_before = time.monotonic(), pl_module.completed
        if self._bar:
            self._bar.start()
            self._task = self._bar.add_task("", total=self._steps, losses="", speed="", left="")

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Moves on by a step; numbers are read from the device at logged steps only."""
        assert isinstance(pl_module, StyleTransferModule)
        step, report = pl_module.completed, pl_module.report
        if report:
            self._losses = "  ".join(f"{name} {report.losses[name]:.4g}" for name in MAIN_LOSSES)
        assert self._began is not None
        seconds = time.monotonic() - self._began
        speed = f"{(step - self._done_before) / seconds:.2f} steps/s"
        share = self._share(step)
        if self._overall:
            self._overall.show(share, f"{self._losses}  {speed}")
            return
        done_here = share - self._share(self._done_before)
        left = f"{_in_words(seconds * (1 - share) / done_here)} left"
        if self._bar:
            self._bar.update(
                self._task, completed=step, losses=self._losses, speed=speed, left=left
            )
            return
        self._due = self._due or step % self._every == 0
        if step in (1, self._steps) or (self._due and report):
            self._due = False
            self._say(f"step {step}/{self._steps}  {self._losses}  {speed}  {left}")

    def _share(self, step: int) -> float:
        """Of the work, from 0 to 1, that is done after a step."""
        return share_of_work(self._plan, step) if self._plan else step / self._steps

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


class Overall:
    """How far several runs are, one or more at a time: one bar, or a line after each.

    Args:
        total: how many there are.
        done: how many of them were done before.
        at_once: how many are under way at a time.
        console: a terminal draws the bar; None or anything else means log lines.
    """

    def __init__(
        self, total: int, *, done: int = 0, at_once: int = 1, console: Console | None = None
    ) -> None:
        self._total = total
        self._done = self._done_before = done
        self._at_once = at_once
        self._began = time.monotonic()
        self._shares: dict[int, float] = {}  # of the runs under way, by their numbers
        self._bar = None
        if console is not None and _can_draw(console):
            self._bar = Progress(
                TextColumn("{task.fields[count]}/{task.total:.0f} pictures"),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[told]}"),
                TextColumn("{task.fields[left]}"),
                console=console,
            )

    def __enter__(self) -> Overall:
        if self._bar:
            self._bar.start()
            self._task = self._bar.add_task(
                "", total=self._total, completed=self._done, count=self._done, told="", left=""
            )
        return self

    def __exit__(self, *raised: object) -> None:
        if self._bar:
            self._bar.stop()

    def begin(self) -> None:
        """Starts the clock, where something else took time until now."""
        self._began = time.monotonic()

    def show(self, share: float, told: str, *, number: int = 0) -> None:
        """Moves on within a run.

        Args:
            share: of its work that is done, from 0 to 1.
            told: what else there is to say.
            number: of the run, where several are under way.
        """
        self._shares[number] = share
        if self._bar:
            self._bar.update(self._task, completed=self._work, told=told, left=self._left())

    def count(self, number: int = 0) -> None:
        """Moves on by a run."""
        self._done += 1
        self._shares.pop(number, None)
        if self._bar:
            self._bar.update(self._task, completed=self._work, count=self._done, left=self._left())
            return
        logger.info("%d/%d pictures  %s", self._done, self._total, self._left())

    @property
    def _work(self) -> float:
        """Runs that are done, and what is done of others."""
        return self._done + sum(self._shares.values())

    def _left(self) -> str:
        """The time left, by what was done here so far."""
        done_here = self._work - self._done_before
        if not done_here:
            return ""
        # Each takes so long with as many others beside it as there are.
        each = (time.monotonic() - self._began) / done_here * self._at_once
        ends = [each * (1 - share) for share in self._shares.values()]
        waiting = self._total - self._done - len(ends)
        ends += [0.0] * (self._at_once - len(ends))
        heapq.heapify(ends)
        for _ in range(waiting):
            heapq.heapreplace(ends, ends[0] + each)
        return f"{_in_words(max(ends))} left"


def _in_words(seconds: float) -> str:
    """A time as one says it: `40 s`, `12 min`, `3 h 20 min`."""
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _can_draw(console: Console) -> bool:
    """Whether there is a place that can be drawn over again."""
    has_widgets = importlib.util.find_spec("ipywidgets") is not None
    return console.is_terminal or (console.is_jupyter and has_widgets)


def _bar(console: Console) -> Progress:
    return Progress(
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[losses]}"),
        TextColumn("{task.fields[speed]}"),
        TextColumn("{task.fields[left]}"),
        console=console,
    )
