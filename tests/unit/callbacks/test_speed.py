from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytest
import pytorch_lightning as pl
from fits import MakeModule, fit

from overpaint.callbacks.speed import MeasureSpeed
from overpaint.tracking import keys

Told = list[tuple[int, Mapping[str, float]]]


class Clock:
    """Stands in for time.perf_counter; goes on when it is told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class TakeTime(pl.Callback):
    """Each step takes so long; what is before the first one, far longer."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock, self._seconds = clock, seconds

    def setup(self, *args: Any, **kwargs: Any) -> None:
        self._clock.now += 1000

    def on_train_batch_start(self, *args: Any, **kwargs: Any) -> None:
        self._clock.now += self._seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", clock)
    return clock


def test_the_speed_is_of_the_steps_since_the_logged_one_before(
    make_module: MakeModule, clock: Clock
) -> None:
    told: Told = []
    speed = MeasureSpeed(lambda step, numbers: told.append((step, numbers)))
    fit(make_module(steps=7, log_every=3), 7, TakeTime(clock, 0.25), speed)
    assert [step for step, _ in told] == [1, 3, 6, 7]
    assert [numbers[keys.SPEED] for _, numbers in told] == pytest.approx([4.0] * 4)


def test_a_second_size_counts_on_and_its_preparation_is_in_no_step(
    make_module: MakeModule, clock: Clock
) -> None:
    told: Told = []
    speed = MeasureSpeed(lambda step, numbers: told.append((step, numbers)))
    fit(make_module(steps=9, log_every=3), 4, TakeTime(clock, 0.5), speed)
    larger = make_module(steps=9, log_every=3)
    larger.first_step = 4
    fit(larger, 5, TakeTime(clock, 0.125), speed)
    assert [step for step, _ in told] == [1, 3, 6, 9]
    assert [numbers[keys.SPEED] for _, numbers in told] == pytest.approx([2.0, 2.0, 8.0, 8.0])


def test_the_memory_is_told_where_it_is_known(
    make_module: MakeModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    for known in (300 * 2**20, None):
        told: Told = []
        monkeypatch.setattr("overpaint.callbacks.speed.peak_memory_bytes", lambda _, one=known: one)
        fit(
            make_module(steps=1),
            1,
            MeasureSpeed(lambda step, numbers, told=told: told.append((step, numbers))),  # type: ignore[misc]
        )
        ((_, numbers),) = told
        assert numbers.get(keys.PEAK_MEMORY) == (known and 300.0)
