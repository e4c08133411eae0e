from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest

from overpaint.interrupts import (
    first_interrupt_only,
    interrupts_ignored,
    sigterm_as_interrupt,
)

CONTEXTS = [sigterm_as_interrupt, first_interrupt_only, interrupts_ignored]


@pytest.fixture(autouse=True)
def no_harm_to_the_tests() -> Iterator[None]:
    """A signal that gets through to here fails the test instead of ending it all."""

    def got_through(number: int, frame: object) -> None:
        raise RuntimeError(f"signal {number} got through")

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, got_through) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        assert signal.signal(number, handler) is got_through


def sigterm() -> None:
    signal.raise_signal(signal.SIGTERM)


def test_sigterm_interrupts_each_time() -> None:
    with sigterm_as_interrupt() as received:
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                sigterm()
    assert received == [signal.SIGTERM] * 2
    with pytest.raises(RuntimeError, match="got through"):
        sigterm()


def test_the_second_sigterm_waits_and_the_third_after_it_counts_again() -> None:
    with sigterm_as_interrupt() as received:
        with first_interrupt_only():
            with pytest.raises(KeyboardInterrupt):
                sigterm()
            sigterm()
        assert len(received) == 1
        with pytest.raises(KeyboardInterrupt):
            sigterm()


def test_sigterm_after_ctrl_c_waits_too() -> None:
    with sigterm_as_interrupt() as received, first_interrupt_only():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as Lightning does after Ctrl-C
        sigterm()
    assert received == []


def test_sigterm_counts_where_ctrl_c_was_never_on() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does for background jobs
    with (
        sigterm_as_interrupt(),
        first_interrupt_only(),
        pytest.raises(KeyboardInterrupt),
    ):
        sigterm()
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("handler", [signal.SIG_DFL, signal.SIG_IGN])
def test_sigterm_that_nobody_handles_is_left_to_the_system(handler: signal.Handlers) -> None:
    before = signal.signal(signal.SIGTERM, handler)
    with first_interrupt_only():
        assert signal.getsignal(signal.SIGTERM) is handler
    signal.signal(signal.SIGTERM, before)


def test_nothing_interrupts_while_files_are_written() -> None:
    with interrupts_ignored():
        sigterm()
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("context", CONTEXTS, ids=lambda context: context.__name__)
def test_another_thread_can_run_it_all(context: type[AbstractContextManager[object]]) -> None:
    entered = []

    def run() -> None:
        with context():
            entered.append(context)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert entered
