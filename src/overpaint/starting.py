"""The first and last moments of a command's process, in which an interrupt has nothing to keep."""

from __future__ import annotations

import atexit
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

_INTERRUPTED = 130


def begin() -> None:
    """Lets Ctrl-C end the process at once and quietly; a terminal that is closed does not end it.

    For the imports of the command itself. As an exception, an interrupt would come out of whatever
    library is being imported, as a traceback, as another error, or not at all.

    A process that ignores Ctrl-C, as one in the background of a script does, goes on ignoring it.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return
    signal.signal(signal.SIGINT, _quit)
    # Runs last, for it is registered first; behind it Python lets Ctrl-C end it by the signal.
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as under nohup: the picture is worth it


def end(status: int) -> None:
    """Lets Ctrl-C end the process with this status, for from now on there is only to clear away."""
    if signal.getsignal(signal.SIGINT) is _quit:
        signal.signal(signal.SIGINT, lambda number, frame: os._exit(status))


@contextmanager
def interrupts_raise() -> Iterator[None]:
    """Lets Ctrl-C raise KeyboardInterrupt again inside, where there may be something to keep."""
    if signal.getsignal(signal.SIGINT) is not _quit or not _is_main_thread():
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, _quit)


@contextmanager
def interrupts_quit() -> Iterator[None]:
    """Lets Ctrl-C and SIGTERM end the process at once inside, for further imports."""
    handlers: dict[int, Callable[[int, FrameType | None], Any] | int] = {
        signal.SIGINT: _quit,
        signal.SIGTERM: signal.SIG_DFL,
    }
    before = {number: signal.getsignal(number) for number in handlers}
    changed = [number for number in handlers if callable(before[number]) and _is_main_thread()]
    for number in changed:
        signal.signal(number, handlers[number])
    try:
        yield
    finally:
        for number in changed:
            signal.signal(number, before[number])


def _quit(number: int, frame: FrameType | None) -> None:
    with suppress(OSError):
        os.write(2, b"Interrupted.\n")
    os._exit(_INTERRUPTED)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
