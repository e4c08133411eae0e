"""Several processes for the pictures of a batch, each with one of its own at a time."""

from __future__ import annotations

import logging
import os
import queue
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch

from overpaint.callbacks.progress import Overall
from overpaint.errors import brief
from overpaint.exits import INTERRUPTED
from overpaint.headroom import Sharing
from overpaint.interrupts import Interrupts
from overpaint.processes.workers import ending
from overpaint.records.environment import read_facts
from overpaint.settings.schema import Config
from overpaint.sweeps.pairs import CONTENT
from overpaint.sweeps.several.messages import Beginning, Progress, Ready
from overpaint.sweeps.several.painter import Ended, Painter, Printed
from overpaint.sweeps.trials import Outcome, Trial

logger = logging.getLogger(__name__)

_LOOKS = 0.2  # seconds between two looks whether somebody has interrupted
_LEAVING = 10.0  # seconds that processes may take to end when all is done
_LOST = 3  # processes in a row without a picture in between; then none takes their place
_KILLED = -9  # by SIGKILL, which nobody can catch
_VISIBLE = "CUDA_VISIBLE_DEVICES"
_THREADS = "OMP_NUM_THREADS"


class Crew:
    """Processes that paint pictures, handed out to whichever of them is free.

    Args:
        trials: to be painted; at least one.
        settings: makes those of a trial.
        at_once: processes; there are no more of them than pictures.
        group: of the W&B runs.
        tell: is given what became of each.
        overall: shows how far all are.
    """

    def __init__(
        self,
        trials: Sequence[Trial],
        settings: Callable[[Trial], Config],
        *,
        at_once: int,
        group: str,
        tell: Callable[[Outcome], None],
        overall: Overall,
    ) -> None:
        self._waiting = [*trials]
        self._settings = settings
        self._at_once = min(at_once, len(trials))
        self._devices = torch.cuda.device_count()
        self._beginning = Beginning(
            command=[*sys.argv],
            group=group,
            sharing=Sharing(self._at_once, -(-self._at_once // max(1, self._devices))),
        )
        self._tell = tell
        self._overall = overall
        self._heard: queue.SimpleQueue[tuple[Painter, Any]] = queue.SimpleQueue()
        self._painters: list[Painter] = []
        self._lost = 0
        self._has_begun = False
        self._is_stopping = False
        self._is_cut_short = False

    def paint(self, interrupts: Interrupts) -> bool:
        """Paints all of them, or until an interrupt, after which those under way are kept.

        Returns:
            Whether it was interrupted before all were done.

        Raises:
            KeyboardInterrupt: at a second interrupt; then nothing more is kept.
        """
        try:
            with interrupts.held():
                for number in range(self._at_once):
                    self._hire(number)
                while any(one.trial for one in self._painters):
                    if interrupts.asked and not self._is_stopping:
                        self._stop()
                    try:
                        painter, message = self._heard.get(timeout=_LOOKS)
                    except queue.Empty:
                        continue
                    self._take(painter, message)
                for painter in self._painters:
                    painter.wait(_LEAVING)
        finally:
            for painter in self._painters:
                painter.kill()
        if self._waiting and not self._is_stopping:
            logger.error(
                "error: %d processes ended one after the other; %d pictures were not begun. Give "
                "the same command again, with fewer --jobs if memory is short.",
                *(self._lost, len(self._waiting)),
            )
        return self._is_cut_short

    def _hire(self, number: int) -> None:
        """Starts a process; where the system allows no further one, those that there are do."""
        env = surroundings(
            number,
            self._at_once,
            devices=self._devices,
            threads=torch.get_num_threads(),
            given=os.environ,
        )
        try:
            painter = Painter(number, self._beginning, env=env, heard=self._heard)
        except OSError as error:
            if not self._painters:
                raise
            logger.warning("No further process can be started (%s).", brief(error))
            return
        self._painters.append(painter)
        self._give(painter)

    def _give(self, painter: Painter) -> None:
        """Gives a process the next picture, or lets it end."""
        others = [one.trial for one in self._painters if one is not painter and one.trial]
        last, painter.trial = painter.trial, None
        if not self._waiting or self._is_stopping:
            painter.end()
            return
        trial = next_trial(self._waiting, last, others)
        self._waiting.remove(trial)
        words = " ".join(f"{key}={value}" for key, value in trial.point.items())
        logger.info("%s: %s", trial.title, words)
        painter.give(trial, self._settings(trial))

    def _stop(self) -> None:
        self._is_stopping = True
        self._is_cut_short = self._is_cut_short or bool(self._waiting)
        logger.warning("Interrupted; keeping the pictures that are under way.")
        for painter in self._painters:
            painter.stop()

    def _take(self, painter: Painter, message: object) -> None:
        if isinstance(message, logging.LogRecord):
            _log(message, painter.trial)
        elif isinstance(message, Printed):
            logger.warning("%s", _titled(message.line, painter.trial))
        elif isinstance(message, Progress):
            if painter.trial is not None:
                told = f"{sum(one.trial is not None for one in self._painters)} at a time"
                self._overall.show(message.share, told, number=painter.trial.number)
        elif isinstance(message, Ready):
            if not self._has_begun:
                self._overall.begin()  # their start counts for no picture
                self._has_begun = True
            painter.is_ready = True
        elif isinstance(message, Outcome):
            self._conclude(painter, message)
        elif isinstance(message, Ended):
            self._lose(painter, message.status)

    def _conclude(self, painter: Painter, outcome: Outcome) -> None:
        self._lost = 0
        self._tell(outcome)
        if outcome.status == "interrupted":
            self._is_cut_short = True
            if not self._is_stopping:  # somebody has interrupted that process alone
                self._stop()
        self._give(painter)

    def _lose(self, painter: Painter, status: int) -> None:
        """Lets another process take the place of one that is gone."""
        self._painters.remove(painter)
        trial = painter.trial
        if trial is None:
            return
        if self._is_stopping and (status == INTERRUPTED or not painter.is_ready):
            self._is_cut_short = True  # without anything to keep
            return
        self._lost += 1
        why = ", as systems end what takes too much memory" if status == _KILLED else ""
        error = f"its process ended {ending(status)}{why}; give the same command again."
        logger.warning("%s failed: %s", trial.title, error)
        self._tell(Outcome(trial, "failed", read_facts(trial.folder), error))
        if self._waiting and not self._is_stopping and self._lost < _LOST:
            self._hire(painter.number)


def next_trial(waiting: Sequence[Trial], last: Trial | None, others: Collection[Trial]) -> Trial:
    """The picture that a process is to paint next.

    One with the painting that it has measured already, or else with one that no other process is
    at, or else the first.

    Args:
        waiting: at least one.
        last: what the process has painted last.
        others: what the other processes are at.
    """
    same = [one for one in waiting if last is not None and _own(one) == _own(last)]
    taken = [_own(one) for one in others]
    return [*same, *(one for one in waiting if _own(one) not in taken), *waiting][0]


def _own(trial: Trial) -> dict[str, Any]:
    """What a picture has of its own beside its photo."""
    return {key: value for key, value in trial.point.items() if key != CONTENT}


def surroundings(
    number: int, at_once: int, *, devices: int, threads: int, given: Mapping[str, str]
) -> dict[str, str]:
    """The environment variables by which a process takes its share of the machine.

    Args:
        number: of the process, from 0.
        at_once: processes.
        devices: NVIDIA GPUs that this process sees; they are dealt out in turn.
        threads: that one process alone would have.
        given: the environment of this process, whose choices stand.
    """
    found = {} if _THREADS in given else {_THREADS: str(max(1, threads // at_once))}
    if devices > 1:
        visible = given[_VISIBLE].split(",") if given.get(_VISIBLE) else range(devices)
        found[_VISIBLE] = str(visible[number % devices]).strip()
    return found


def _log(record: logging.LogRecord, trial: Trial | None) -> None:
    """Shows what a process has to say."""
    record.msg, record.args = _titled(record.getMessage(), trial), None
    target = logging.getLogger(record.name)
    if target.isEnabledFor(record.levelno):
        target.handle(record)


def _titled(text: str, trial: Trial | None) -> str:
    """Lines with the picture that they are about."""
    if trial is None or text.startswith(trial.title):
        return text
    return "\n".join(f"{trial.title}: {line}" for line in text.splitlines())
