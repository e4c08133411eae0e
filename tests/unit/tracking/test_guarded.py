from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pytorch_lightning.loggers import Logger

from overpaint.tracking.guarded import GuardedTracker
from overpaint.tracking.patience import Patience
from overpaint.tracking.port import Source, Tracker
from overpaint.tracking.wandb.surroundings import environment

PICTURE = Image.new("RGB", (4, 3))

CALLS: dict[str, tuple[Any, ...]] = {
    "log_inputs": (PICTURE, [PICTURE]),
    "log_sources": ([Source("photo", PICTURE, "photo.png", "0" * 64)],),
    "log_numbers": (1, {"a": 1.0}),
    "log_snapshot": (1, PICTURE),
    "log_curves": ({"a": (1.0, 2.0)},),
    "log_study": ((["a"], [[1]]), {"chart": Path("chart.png")}, {"b": 2}),
    "log_warning": ("diverged", "It broke."),
    "log_result": ({"a": 1}, [Path("result.png")]),
    "log_row": ({"a": 1},),
    "summarise": ({"a": 1},),
}


class Numbers(Logger):
    """A Lightning logger that notes its calls, and fails at those that it is told."""

    def __init__(self, service: Service) -> None:
        super().__init__()
        self._service = service

    @property
    def name(self) -> str:
        return "numbers"

    @property
    def version(self) -> str:
        return "7"

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        self._service.take("log_metrics", metrics, step)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        self._service.take("log_hyperparams", *args)

    def save(self) -> None:
        self._service.take("save")

    def finalize(self, status: str) -> None:
        self._service.take("finalize", status)


class Service(Tracker):
    """Notes what it is told, and fails at what it is told to."""

    def __init__(self, fails_at: str = "") -> None:
        self.mode = "online"
        self.message = "W&B: online"
        self.run_id = "abc"
        self.loggers = (Numbers(self),)
        self.told: list[tuple[Any, ...]] = []
        self.fails_at = fails_at
        for name in (*CALLS, "finish"):
            setattr(self, name, lambda *given, name=name: self.take(name, *given))

    def take(self, name: str, *given: Any) -> None:
        self.told.append((name, *given))
        if name == self.fails_at:
            raise TypeError(f"no {name}\nand more")


def call_all(run: Tracker) -> None:
    for name, given in CALLS.items():
        getattr(run, name)(*given)
    (logger,) = run.loggers
    logger.log_metrics({"a": 1.0}, step=3)
    logger.log_hyperparams({"b": 2})
    logger.save()
    logger.finalize("success")


def test_everything_reaches_the_tracker() -> None:
    service = Service()
    run = GuardedTracker(service, "W&B")
    assert (run.mode, run.message, run.run_id) == ("online", "W&B: online", "abc")
    assert (run.loggers[0].name, run.loggers[0].version) == ("numbers", "7")
    call_all(run)
    run.finish(130)
    assert service.told == [
        *((name, *given) for name, given in CALLS.items()),
        ("log_metrics", {"a": 1.0}, 3),
        ("log_hyperparams", {"b": 2}),
        ("save",),
        ("finalize", "success"),
        ("finish", 130),
    ]


def test_each_of_a_tracker_is_guarded() -> None:
    own = {name for name, one in vars(Tracker).items() if callable(one)}
    assert own == {*CALLS, "finish"}
    assert own <= vars(GuardedTracker).keys()


@pytest.mark.parametrize("fails_at", [*CALLS, "log_metrics", "log_hyperparams", "save", "finalize"])
def test_a_failure_is_one_warning_and_nothing_more_is_told(
    caplog: pytest.LogCaptureFixture, fails_at: str
) -> None:
    service = Service(fails_at)
    run = GuardedTracker(service, "W&B")
    call_all(run)
    call_all(run)
    run.finish(0)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == f"W&B failed (no {fails_at}); the run goes on without it."
    assert [name for name, *_ in service.told].count(fails_at) == 1
    assert [name for name, *_ in service.told[-2:]] == [fails_at, "finish"]
    assert run.mode == "disabled"


def test_a_failure_to_close_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    run = GuardedTracker(Service("finish"), "W&B")
    run.finish(0)
    (record,) = caplog.records
    assert record.getMessage() == "W&B was not closed well (no finish)."


def test_an_interrupt_is_no_failure() -> None:
    service = Service()
    run = GuardedTracker(service, "W&B")

    def interrupt(exit_code: int) -> None:
        raise KeyboardInterrupt

    service.finish = interrupt  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        run.finish(0)


@pytest.mark.parametrize("before", [None, "mine"])
def test_calls_have_their_surroundings_and_the_process_keeps_its_own(
    monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    if before:
        monkeypatch.setenv("SOME_FOLDER", before)
    service, seen = Service(), []
    service.summarise = lambda summary: seen.append(os.environ.get("SOME_FOLDER"))  # type: ignore
    changes = {"SOME_FOLDER": "here"}
    run = GuardedTracker(service, "W&B", surroundings=lambda: environment(changes))
    run.summarise({})
    assert seen == ["here"]
    assert os.environ.get("SOME_FOLDER") == before


WAITING = ["log_sources", "log_study", "log_result", "log_row"]


@pytest.mark.parametrize("stuck", [*WAITING, "finish"])
def test_a_service_that_does_not_answer_costs_patience_and_two_lines(
    caplog: pytest.LogCaptureFixture, stuck: str
) -> None:
    service, over = Service(), threading.Event()
    setattr(service, stuck, lambda *_: over.wait())
    run = GuardedTracker(
        service, "W&B", patience=Patience(0.05), closing_s=0.05, rescue="bring it there"
    )
    call_all(run)
    run.finish(0)
    over.set()
    how = "was not closed well" if stuck == "finish" else "does not answer"
    assert caplog.messages[0].startswith(f"W&B {how} (it took longer than 0 s)")
    assert caplog.messages[1:] == ["W&B: bring it there"]


@pytest.mark.parametrize("fails_at", WAITING)
def test_what_needs_no_answer_is_told_on_where_none_comes(fails_at: str) -> None:
    service = Service(fails_at)
    run = GuardedTracker(service, "W&B", patience=Patience(60), rescue="bring it there")
    call_all(run)
    run.finish(0)
    told = [name for name, *_ in service.told]
    waited = WAITING[: WAITING.index(fails_at)]
    assert set(CALLS) - set(WAITING) | {"log_metrics", "finish"} <= set(told)
    assert [name for name in told if name in WAITING and name != fails_at] == waited
    summaries = {"log_sources": 3, "log_study": 3, "log_result": 2, "log_row": 1}
    assert told.count("summarise") == summaries[fails_at]
    assert run.mode == "online"


def test_a_run_that_went_well_is_not_told_how_to_rescue_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    run = GuardedTracker(Service(), "W&B", patience=Patience(60), rescue="bring it there")
    call_all(run)
    run.finish(0)
    assert not caplog.messages
