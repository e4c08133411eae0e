from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest

from overpaint.interrupts import (
    followed_interrupts,
    interrupts_ignored,
    sigterm_as_interrupt,
)

CONTEXTS = [sigterm_as_interrupt, followed_interrupts, interrupts_ignored]


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


def test_the_first_interrupt_waits_where_it_is_held_and_the_second_does_not() -> None:
    with sigterm_as_interrupt() as received, followed_interrupts() as interrupts:
        with interrupts.held():
            sigterm()
            assert (interrupts.asked, interrupts.at_once) == (True, False)
            with pytest.raises(KeyboardInterrupt):
                sigterm()
        assert interrupts.at_once
        assert received == [signal.SIGTERM] * 2


def test_who_starts_several_processes_may_say_it_twice() -> None:
    with sigterm_as_interrupt(), followed_interrupts(patient=True) as interrupts:
        with interrupts.held():
            sigterm()
            sigterm()
        assert (interrupts.asked, interrupts.at_once) == (True, False)


def test_an_interrupt_elsewhere_counts_as_the_first() -> None:
    with sigterm_as_interrupt(), followed_interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt):
            sigterm()
        assert not interrupts.at_once
        with interrupts.held(), pytest.raises(KeyboardInterrupt):
            sigterm()
        assert interrupts.at_once


def test_what_was_held_back_is_raised_where_something_may_be_cut_short() -> None:
    with sigterm_as_interrupt(), followed_interrupts() as interrupts, interrupts.held():
        with interrupts.raised():
            entered = True
        sigterm()
        with pytest.raises(KeyboardInterrupt), interrupts.raised():
            entered = False
        assert entered
        assert not interrupts.at_once
    with sigterm_as_interrupt(), followed_interrupts() as interrupts, interrupts.held():
        with pytest.raises(KeyboardInterrupt), interrupts.raised():
            sigterm()
        assert interrupts.asked


def test_ctrl_c_and_sigterm_count_together() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with sigterm_as_interrupt() as received, followed_interrupts() as interrupts:
        with interrupts.held():
            signal.raise_signal(signal.SIGINT)
            assert interrupts.asked
            with pytest.raises(KeyboardInterrupt):
                sigterm()
        assert received == [signal.SIGTERM]
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler


def test_a_library_that_takes_a_signal_loses_it_again() -> None:
    with sigterm_as_interrupt(), followed_interrupts() as interrupts:
        signal.signal(signal.SIGTERM, lambda number, frame: None)
        interrupts.listen()
        with interrupts.held():
            sigterm()
        assert interrupts.asked


@pytest.mark.parametrize("handler", [signal.SIG_DFL, signal.SIG_IGN])
def test_sigterm_that_nobody_handles_is_left_to_the_system(handler: signal.Handlers) -> None:
    before = signal.signal(signal.SIGTERM, handler)
    with followed_interrupts():
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
