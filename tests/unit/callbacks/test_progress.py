from __future__ import annotations

import io
import itertools
import logging
import re
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from fits import MakeModule, fit
from rich.console import Console

import overpaint.callbacks.progress
from overpaint.callbacks.progress import Overall, ShowProgress
from overpaint.optimisation.schedule import Scale


def lines_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "overpaint.callbacks.progress"]


@pytest.mark.parametrize(
    "console", [None, Console(file=io.StringIO(), force_terminal=False)], ids=["none", "a file"]
)
def test_progress_without_a_terminal_is_a_few_log_lines(
    make_module: MakeModule, caplog: pytest.LogCaptureFixture, console: Console | None
) -> None:
    with caplog.at_level(logging.INFO, logger="overpaint"):
        fit(make_module(steps=6), 6, ShowProgress(6, console=console, lines=3))
    lines = lines_of(caplog)
    assert lines[0].startswith("step 1/6  total ")
    assert lines[-1].startswith("step 6/6  total ")
    assert lines[-1].endswith("0 s left")
    number = r"\d[\d.e+-]*"
    for line in lines:
        assert re.fullmatch(
            rf"step \d/6  total {number}  content {number}  style {number}"
            rf"  {number} steps/s  \d+ s left",
            line,
        )
    if console is not None:
        assert console.file.getvalue() == ""  # type: ignore[attr-defined]


def test_the_time_left_reckons_with_the_sizes_to_come(
    make_module: MakeModule, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(0, 10)  # seconds a step
    monkeypatch.setattr(
        overpaint.callbacks.progress, "time", SimpleNamespace(monotonic=lambda: next(clock))
    )
    progress = ShowProgress(4, lines=5)
    progress.follow([Scale(16, 0, 2), Scale(64, 2, 2)])
    with caplog.at_level(logging.INFO, logger="overpaint"):
        fit(make_module(steps=4), 4, progress)
    # Of 34 parts of the work a step makes 1, 1, 16 and 16.
    assert [re.findall(r"(\S+ \S+) left", line)[0] for line in lines_of(caplog)] == [
        "6 min",  # 10 s, 33 parts
        "5 min",
        "27 s",
        "0 s",
    ]


def test_progress_shows_the_losses_of_its_step(
    make_module: MakeModule, caplog: pytest.LogCaptureFixture
) -> None:
    module = make_module(steps=1)
    with torch.no_grad():
        terms = module(module.image)
    with caplog.at_level(logging.INFO, logger="overpaint"):
        fit(module, 1, ShowProgress(1))
    total, content, style = (float(x) for x in (terms.total, terms.content, terms.style))
    assert f"total {total:.4g}  content {content:.4g}  style {style:.4g}" in lines_of(caplog)[0]


@pytest.mark.parametrize(
    ("steps", "lines", "log_every"),
    [(1, 10, 1), (7, 3, 1), (10, 10, 1), (20, 5, 3), (15, 2, 4)],
)
def test_progress_logs_no_more_lines_than_asked(
    make_module: MakeModule,
    caplog: pytest.LogCaptureFixture,
    steps: int,
    lines: int,
    log_every: int,
) -> None:
    module = make_module(steps=steps, log_every=log_every)
    with caplog.at_level(logging.INFO, logger="overpaint"):
        fit(module, steps, ShowProgress(steps, lines=lines))
    shown = [int(line.split("/")[0].removeprefix("step ")) for line in lines_of(caplog)]
    assert shown == sorted(set(shown))
    assert {1, steps} <= set(shown)
    assert all(module.is_logged(step) for step in shown), "with losses that belong to the step"
    assert len(shown) <= lines


HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Console:
    monkeypatch.setenv("TERM", "xterm-256color")
    return Console(force_terminal=True, file=io.StringIO(), width=140)


def test_progress_on_a_terminal_is_a_bar(
    make_module: MakeModule, terminal: Console, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="overpaint"):
        fit(make_module(steps=4), 4, ShowProgress(4, console=terminal))
    drawn = terminal.file.getvalue()  # type: ignore[attr-defined]
    last = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", drawn).splitlines()[-1]
    assert "━" in last
    assert re.search(r"4/4 total \d\S*  content \d\S*  style \d\S* [\d.]+ steps/s", last)
    assert lines_of(caplog) == []


def test_the_terminal_is_given_back_at_the_end(make_module: MakeModule, terminal: Console) -> None:
    fit(make_module(steps=2), 2, ShowProgress(2, console=terminal))
    drawn = terminal.file.getvalue()  # type: ignore[attr-defined]
    assert drawn.rindex(SHOW_CURSOR) > drawn.rindex(HIDE_CURSOR)


def test_the_terminal_is_given_back_after_an_error(
    make_module: MakeModule, terminal: Console
) -> None:
    class Fails(pl.Callback):
        def on_train_batch_end(self, *args: Any) -> None:
            raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space left"):
        fit(make_module(steps=4), 4, Fails(), ShowProgress(4, console=terminal))
    drawn = terminal.file.getvalue()  # type: ignore[attr-defined]
    assert drawn.rindex(SHOW_CURSOR) > drawn.rindex(HIDE_CURSOR)


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(overpaint.callbacks.progress.time, "monotonic", lambda: self.now)


def test_the_time_left_of_runs_is_that_of_those_to_come(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock(monkeypatch)
    with caplog.at_level(logging.INFO, logger="overpaint"):
        overall = Overall(10, done=5)
        for seconds in (10, 20):
            clock.now += seconds
            overall.count()
    assert lines_of(caplog) == ["6/10 pictures  40 s left", "7/10 pictures  45 s left"]


def test_of_several_runs_at_a_time_it_is_until_the_last_one_is_done(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock(monkeypatch)
    with caplog.at_level(logging.INFO, logger="overpaint"):
        overall = Overall(5, at_once=2)
        clock.now += 7
        overall.begin()  # until now they were being started
        clock.now += 10
        overall.show(1.0, "", number=2)
        overall.count(1)
        overall.count(2)
        clock.now += 5
        overall.show(0.5, "", number=3)
        overall.show(0.5, "", number=4)
        clock.now += 5
        overall.show(1.0, "", number=4)
        overall.count(3)
        overall.count(4)
    assert lines_of(caplog) == [
        "1/5 pictures  20 s left",
        "2/5 pictures  20 s left",
        "3/5 pictures  10 s left",
        "4/5 pictures  10 s left",
    ]


def test_a_terminal_shows_the_share_of_several_runs_in_one_bar(
    terminal: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    with Overall(4, done=1, at_once=2, console=terminal) as overall:
        clock.now += 30
        overall.show(0.5, "2 at a time", number=2)
        overall.show(0.25, "2 at a time", number=3)
        assert overall._bar is not None
        assert overall._bar.tasks[0].completed == 1.75
    drawn = terminal.file.getvalue()
    last = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", drawn).splitlines()[-1]
    assert re.search(r"1/4 pictures ━.* 2 at a time 2 min left", last), last
