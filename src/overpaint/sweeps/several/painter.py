"""A process that paints one picture after the other, as the process of the batch sees it."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from overpaint.processes.workers import start_module
from overpaint.settings.schema import Config
from overpaint.sweeps.several.messages import (
    Beginning,
    Order,
    Picture,
    read_message,
    write_message,
)
from overpaint.sweeps.trials import Trial

_WORKER = "overpaint.sweeps.several.worker"


@dataclass(frozen=True)
class Ended:
    """The last that is heard of a process."""

    status: int
    """Of its exit; negative: the signal that ended it."""


@dataclass(frozen=True)
class Printed:
    """A line that a process, or a library in it, wrote on standard error."""

    line: str


class Painter:
    """Such a process; nothing of it blocks whoever calls.

    Args:
        number: among those of the batch, from 0.
        beginning: what it has to know.
        env: further environment variables.
        heard: takes this object with each message, in their order; `Ended` is the last one.
    """

    def __init__(
        self,
        number: int,
        beginning: Beginning,
        *,
        env: Mapping[str, str],
        heard: queue.SimpleQueue[tuple[Painter, Any]],
    ) -> None:
        self.number = number
        self.trial: Trial | None = None
        """What it is at."""
        self.is_ready = False
        """Whether it has begun to listen."""
        pipe = subprocess.PIPE
        self._process = start_module([_WORKER], env=env, stdin=pipe, stdout=pipe, stderr=pipe)
        self._heard = heard
        for listen in (self._hear, self._hear_errors):
            threading.Thread(target=listen, name="overpaint-painter", daemon=True).start()
        self._tell(beginning)

    def give(self, trial: Trial, config: Config) -> None:
        """Lets it paint a picture, once it is done with the one before."""
        self.trial = trial
        self._tell(Picture(trial, config))

    def stop(self) -> None:
        """Lets it keep the picture that is under way, and end."""
        if self.is_ready:
            self._tell(Order.STOP)
        else:  # there is nothing to keep
            self.kill()

    def end(self) -> None:
        """Lets it end, for there are no more pictures."""
        self._tell(Order.END)

    def wait(self, seconds: float) -> None:
        """Waits for its end, but no longer than this."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return

    def kill(self) -> None:
        """Ends it at once, with all that it has started."""
        if self._process.poll() is not None:
            return
        if hasattr(os, "killpg"):
            os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.kill()
        self._process.wait()

    def _tell(self, message: object) -> None:
        assert self._process.stdin is not None
        write_message(cast(Any, self._process.stdin), message)  # or its end is heard of

    def _hear(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stdin is not None
        with self._process.stdout as stream:
            while (message := read_message(cast(Any, stream))) is not None:
                self._heard.put((self, message))
        status = self._process.wait()
        with suppress(OSError):
            self._process.stdin.close()
        self._heard.put((self, Ended(status)))

    def _hear_errors(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stream:
            for line in stream:
                text = line.decode("utf-8", "backslashreplace").rstrip()
                if text:
                    self._heard.put((self, Printed(text)))
