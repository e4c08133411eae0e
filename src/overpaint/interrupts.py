"""Ctrl-C and SIGTERM: which of them ends a run, and when they have to wait."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_INTERRUPTS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def sigterm_as_interrupt() -> Iterator[list[int]]:
    """Lets SIGTERM interrupt what runs inside, as Ctrl-C does.

    Yields:
        The SIGTERMs received so far.
    """
    received: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        received.append(number)
        raise KeyboardInterrupt

    with _handlers_restored():
        _handle(signal.SIGTERM, interrupt)
        yield received


@contextmanager
def first_interrupt_only() -> Iterator[None]:
    """Lets one interrupt end the steps; further ones are dropped, and count again at the end.

    Lightning itself drops each Ctrl-C after the first. SIGTERM is looked after here, and only if
    somebody handles it: otherwise it ends the process, or does as Lightning does.
    """
    before = signal.getsignal(signal.SIGINT)
    handler = signal.getsignal(signal.SIGTERM)
    seen = False

    def once(number: int, frame: FrameType | None) -> None:
        nonlocal seen
        if not seen and signal.getsignal(signal.SIGINT) == before:  # else Ctrl-C was the first
            seen = True
            assert callable(handler)
            handler(number, frame)

    with _handlers_restored():
        if callable(handler):
            _handle(signal.SIGTERM, once)
        yield


@contextmanager
def interrupts_ignored() -> Iterator[None]:
    """Lets nothing cut short what takes moments and keeps a finished picture from its file."""
    with _handlers_restored():
        for number in _INTERRUPTS:
            _handle(number, signal.SIG_IGN)
        yield


@contextmanager
def _handlers_restored() -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in _INTERRUPTS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if handler is not None:  # None: not set by Python, which cannot set it again
                _handle(number, handler)


def _handle(number: int, handler: Callable[[int, FrameType | None], Any] | int) -> None:
    if threading.current_thread() is threading.main_thread():  # Python allows no other
        signal.signal(number, handler)
