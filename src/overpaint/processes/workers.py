"""Processes that are started beside this one, on its machine."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from overpaint.processes.places import Place, as_text

logger = logging.getLogger(__name__)

_LOOKS = 0.3  # seconds between two looks at the others
# What a process that waits for a GPU cannot be told; it is ended after so many seconds.
_PATIENCE = 30.0
_FAILED = 1


def start_module(
    words: Sequence[str],
    *,
    stdin: int,
    stdout: int,
    stderr: int | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Starts a module as a program that finds this package, in a session of its own.

    Ctrl-C does not reach it there; who starts it has to tell it.

    Args:
        words: the name of the module, and what it is told.
        stdin: as `subprocess.Popen` takes it.
        stdout: likewise.
        stderr: likewise; None: that of this process.
        env: further environment variables.
    """
    source = str(Path(__file__).resolve().parents[2])
    paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        [sys.executable, "-m", *words],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), **(env or {})},
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
    )


def ending(status: int) -> str:
    """How a process ended, by its exit status: `with status 3`, `by SIGKILL`."""
    if status >= 0:
        return f"with status {status}"
    try:
        return f"by {signal.Signals(-status).name}"
    except ValueError:  # one of the system's that Python has no name for
        return f"by signal {-status}"


class Workers:
    """Processes that paint along, until they are done or `close` ends them.

    They have a session of their own, so that Ctrl-C reaches the first process alone, which tells
    them. If one of them ends before it is done, the first process meets an error where it waits for
    it. On a GPU it may wait for ever: then it is ended from here, and what is kept is the last
    checkpoint.

    Args:
        words: the name of the module that runs in them, and what it is told beside its place.
        places: of each.
    """

    def __init__(self, words: Sequence[str], places: Sequence[Place]) -> None:
        nothing = subprocess.DEVNULL
        self._processes = [
            (place, start_module([*words, as_text(place)], stdin=nothing, stdout=nothing))
            for place in places
        ]
        self._is_closed = threading.Event()
        threading.Thread(target=self._watch, name="overpaint-workers", daemon=True).start()

    def lost(self) -> str | None:
        """Which of them ended before it was done, and how; None: none of them."""
        for place, process in self._processes:
            status = process.poll()
            if status:
                return f"process {place.number + 1} of {place.processes} ended {ending(status)}"
        return None

    def close(self, patience: float = 10.0) -> None:
        """Waits for all of them to end, and ends those that do not.

        Args:
            patience: seconds.
        """
        self._is_closed.set()
        until = time.monotonic() + patience
        for _, process in self._processes:
            try:
                process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _watch(self) -> None:
        while (lost := self.lost()) is None:
            if self._is_closed.wait(_LOOKS):
                return
        if self._is_closed.wait(_PATIENCE):
            return
        logger.error("error: %s; what was painted since the last checkpoint is lost.", lost)
        for _, process in self._processes:
            process.kill()
        os._exit(_FAILED)


def end_with_the_first() -> None:
    """Ends this process when the one that started it does."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOKS)
        os._exit(_FAILED)

    threading.Thread(target=watch, name="overpaint-first", daemon=True).start()
