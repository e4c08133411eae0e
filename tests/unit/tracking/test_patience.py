from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import NoReturn

import pytest

from overpaint.tracking.patience import Patience, within


@pytest.fixture
def never() -> Iterator[threading.Event]:
    """What does not happen while the test goes on."""
    event = threading.Event()
    yield event
    event.set()


def test_what_takes_too_long_is_left_to_itself(never: threading.Event) -> None:
    with pytest.raises(TimeoutError, match="it took longer than 0 s"):
        within(0.05, never.wait)


def test_what_is_done_in_time_is_returned_or_raised() -> None:
    def fail() -> NoReturn:
        raise ValueError("mine")

    assert within(60, lambda: 7) == 7
    with pytest.raises(ValueError, match="mine"):
        within(60, fail)


def test_an_end_without_limit_stays_in_its_thread() -> None:
    assert within(float("inf"), threading.current_thread) is threading.current_thread()
    assert within(60, threading.current_thread) is not threading.current_thread()


def test_several_waits_share_one_patience(never: threading.Event) -> None:
    patience = Patience(0.2)
    with patience.counted():
        never.wait(0.1)
    assert 0 < patience.left_s <= 0.1
    with pytest.raises(TimeoutError):
        patience.spend(never.wait)
    assert patience.left_s == 0
    with pytest.raises(TimeoutError):
        patience.spend(lambda: never.wait(60))


def test_an_end_has_its_time_where_none_is_left() -> None:
    patience = Patience(0.0)
    assert patience.spend(lambda: 7, at_least=60) == 7
    assert patience.left_s == 0
