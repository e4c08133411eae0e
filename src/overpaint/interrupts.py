"""Ctrl-C and SIGTERM: which of them ends a run, and when they have to wait."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_INTERRUPTS = (signal.SIGINT, signal.SIGTERM)

_Handler = Callable[[int, FrameType | None], Any]


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


class Interrupts:
    """The interrupts of one run: the first one may be held back, the second ends it at once.

    Args:
        patient: a second one ends nothing either. What starts several processes passes a signal on
            to those that the terminal has sent it to, and has patience and an end of its own.
    """

    def __init__(self, *, patient: bool = False) -> None:
        self._is_patient = patient
        self.asked = False
        """Whether there was one."""
        self.at_once = False
        """Whether there was another one after it."""
        self._is_held = False
        self._handlers: dict[int, Any] = {}

    def listen(self) -> None:
        """Takes the signals, again if another library has taken them meanwhile.

        A signal that nobody handles in Python is left to the system: without a handler SIGTERM ends
        the process. In threads other than the main one Python delivers none.
        """
        for number in _INTERRUPTS:
            handler = self._handlers.setdefault(number, signal.getsignal(number))
            if callable(handler):
                _handle(number, self._receive)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Only notes a first interrupt, for what is inside ends by itself in moments."""
        before, self._is_held = self._is_held, True
        try:
            yield
        finally:
            self._is_held = before

    @contextmanager
    def raised(self) -> Iterator[None]:
        """Lets an interrupt raise KeyboardInterrupt at once, also one that was held back before."""
        before, self._is_held = self._is_held, False
        try:
            if self.asked:
                raise KeyboardInterrupt
            yield
        finally:
            self._is_held = before

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.asked, self.at_once = True, self.asked and not self._is_patient
        try:
            self._handlers[number](number, frame)
        except KeyboardInterrupt:
            if self.at_once or not self._is_held:
                raise


@contextmanager
def followed_interrupts(*, patient: bool = False) -> Iterator[Interrupts]:
    """Follows what comes while a run goes on, and calls the handlers that there are.

    Args:
        patient: of `Interrupts`.

    Yields:
        What came, and a way to hold the first one back.
    """
    interrupts = Interrupts(patient=patient)
    with _handlers_restored():
        interrupts.listen()
        yield interrupts


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


def _handle(number: int, handler: _Handler | int) -> None:
    if threading.current_thread() is threading.main_thread():  # Python allows no other
        signal.signal(number, handler)
