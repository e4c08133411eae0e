"""What the process of a batch and those that paint for it tell each other, through pipes."""

from __future__ import annotations

import enum
import pickle
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

from overpaint.headroom import Sharing
from overpaint.settings.schema import Config
from overpaint.sweeps.trials import Trial


@dataclass(frozen=True)
class Beginning:
    """What a process has to know before its first picture."""

    command: list[str]
    """As the user typed it, for messages and records."""
    group: str
    """Of the W&B runs."""
    sharing: Sharing


@dataclass(frozen=True)
class Picture:
    """One that a process is to paint."""

    trial: Trial
    config: Config

    def settings(self, trial: Trial) -> Config:
        """Those of its trial, which is the only one."""
        return self.config


class Order(enum.Enum):
    """What else a process may be told."""

    STOP = "keep the picture that is under way, and end"
    END = "there are no more pictures"


class Ready:
    """What a process says once it can be told to stop."""


@dataclass(frozen=True)
class Progress:
    """How far a process is with its picture."""

    share: float
    told: str


def read_message(stream: BinaryIO) -> Any:
    """The next message; None where no further one comes, for the other side is gone."""
    try:
        return pickle.load(stream)
    except Exception:  # of a message that was cut short anywhere, too
        return None


def write_message(stream: BinaryIO, message: object) -> bool:
    """Writes a message whole; returns whether the other side is still there."""
    data = pickle.dumps(message)
    try:
        stream.write(data)
        stream.flush()
    except (OSError, ValueError):
        return False
    return True


class Mouth:
    """Says messages one after the other, from whichever thread.

    They are written by a thread of its own: an interrupt may come in the middle of any line of the
    main thread, and a message that is cut short would be the last one.

    Args:
        stream: to the other side.
        when_gone: is called where nobody listens any more.
    """

    def __init__(self, stream: BinaryIO, when_gone: Callable[[], object]) -> None:
        self._messages: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._stream, self._when_gone = stream, when_gone
        self._thread = threading.Thread(target=self._write, name="overpaint-mouth", daemon=True)
        self._thread.start()

    def put_nowait(self, message: object) -> None:
        """Says a message, as a queue of `logging.handlers.QueueHandler` does."""
        self._messages.put(message)

    def close(self) -> None:
        """Waits until all is said."""
        self._messages.put(None)
        self._thread.join()

    def _write(self) -> None:
        while (message := self._messages.get()) is not None:
            if not write_message(self._stream, message):
                self._when_gone()
                return
