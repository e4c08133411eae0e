"""What another process of a batch does, in this one: its orders and answers are pipes."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

import overpaint.sweeps.several.painting
from overpaint.building.shelf import Siblings
from overpaint.headroom import Sharing, sharing
from overpaint.settings.schema import Config
from overpaint.sweeps.several.messages import (
    Beginning,
    Order,
    Picture,
    Progress,
    Ready,
    read_message,
    write_message,
)
from overpaint.sweeps.several.painting import paint_as_told
from overpaint.sweeps.trials import Outcome, Trial

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

BEGINNING = Beginning(["overpaint", "batch"], "my pictures", Sharing(4, 2))
ONE, TWO = (Trial(number, {}, Path("nowhere"), name=f"p{number}") for number in (1, 2))


class Pipes:
    """Both sides of a conversation."""

    def __init__(self) -> None:
        self.orders, self._tell = (
            os.fdopen(one, mode) for one, mode in zip(os.pipe(), ("rb", "wb"), strict=True)
        )
        self._hear, self.answers = (
            os.fdopen(one, mode) for one, mode in zip(os.pipe(), ("rb", "wb"), strict=True)
        )
        self.gone = threading.Event()

    def tell(self, *messages: object) -> None:
        for message in messages:
            assert write_message(self._tell, message)

    def hang_up(self) -> None:
        self._tell.close()
        assert self.gone.wait(10), "nobody noticed"

    def heard(self) -> list[Any]:
        """All that was answered."""
        self.answers.close()
        return [*iter(lambda: read_message(self._hear), None)]


@pytest.fixture
def pipes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipes]:
    made = Pipes()
    monkeypatch.setattr(overpaint.sweeps.several.painting, "_end_at_once", made.gone.set)
    monkeypatch.setattr(overpaint.sweeps.several.painting, "keep_freed_memory", lambda: True)
    monkeypatch.setattr("overpaint.headroom._sharing", Sharing())
    monkeypatch.setattr("logging.raiseExceptions", True)
    monkeypatch.setattr(sys, "argv", ["pytest"])
    yield made
    if not made.gone.is_set():
        made.hang_up()
    for stream in (made.orders, made.answers, made._hear):
        stream.close()


def play(
    monkeypatch: pytest.MonkeyPatch, act: Callable[[Trial, Siblings], object] = lambda *_: None
) -> list[tuple[str, Siblings]]:
    """Lets runs be what is given; the list has what was run."""
    begun: list[tuple[str, Siblings]] = []

    def run_trial(trial: Trial, settings: Any, *, console: object, siblings: Siblings) -> Outcome:
        assert settings(trial) == Config()
        assert console is None
        begun.append((trial.title, siblings))
        act(trial, siblings)
        return Outcome(trial, "done", {"steps": 3})

    monkeypatch.setattr(overpaint.sweeps.several.painting, "run_trial", run_trial)
    return begun


def test_pictures_are_painted_as_they_come_and_all_is_answered(
    pipes: Pipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act(trial: Trial, siblings: Siblings) -> None:
        assert sharing() == Sharing(4, 2)
        assert sys.argv == ["overpaint", "batch"]
        logging.getLogger("overpaint.runs.some").warning("%s is at it", trial.title)
        assert siblings.overall is not None
        for share in (0.25, 0.5, 1.0):
            siblings.overall.show(share, "total 1")

    begun = play(monkeypatch, act)
    pipes.tell(BEGINNING, Picture(ONE, Config()), Picture(TWO, Config()), Order.END)
    assert paint_as_told(pipes.orders, pipes.answers) == 0
    assert [title for title, _ in begun] == ["p1", "p2"]
    (siblings,) = {id(one): one for _, one in begun}.values()
    assert siblings.group == "my pictures"
    assert siblings.shelf is not None, "one encoder for all"
    heard = pipes.heard()
    assert isinstance(heard[0], Ready)
    said = [one.getMessage() for one in heard if isinstance(one, logging.LogRecord)]
    assert said == ["p1 is at it", "p2 is at it"]
    assert [one for one in heard if isinstance(one, Outcome)] == [
        Outcome(one, "done", {"steps": 3}) for one in (ONE, TWO)
    ]
    shares = [one.share for one in heard if isinstance(one, Progress)]
    assert shares.count(1.0) == 2
    assert len(shares) < 6, "not each step"


def test_told_to_stop_it_begins_no_further_picture(
    pipes: Pipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act(trial: Trial, siblings: Siblings) -> None:
        pipes.tell(Order.STOP)
        threading.Event().wait(20)  # a step that takes long; what follows it is its interrupt

    begun = play(monkeypatch, act)
    pipes.tell(BEGINNING, Picture(ONE, Config()), Picture(TWO, Config()))
    assert paint_as_told(pipes.orders, pipes.answers) == 130
    assert [title for title, _ in begun] == ["p1"]
    assert not [one for one in pipes.heard() if isinstance(one, Outcome)], "nothing was kept"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_it_notices_when_nobody_waits_for_it_any_more(
    pipes: Pipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    noticed: list[bool] = []

    def act(trial: Trial, siblings: Siblings) -> None:
        pipes.hang_up()
        noticed.append(pipes.gone.is_set())
        signal.raise_signal(signal.SIGINT)  # where the process would have ended

    play(monkeypatch, act)
    pipes.tell(BEGINNING, Picture(ONE, Config()))
    paint_as_told(pipes.orders, pipes.answers)
    assert noticed == [True]


def test_a_message_that_was_cut_short_is_none(tmp_path: Path) -> None:
    path = tmp_path / "pipe"

    def cut(stream: BinaryIO) -> None:
        stream.truncate(stream.tell() - 3)

    with path.open("wb") as stream:
        assert write_message(stream, BEGINNING)
        assert write_message(stream, BEGINNING)
        cut(stream)
    with path.open("rb") as read:
        assert read_message(read) == BEGINNING
        assert read_message(read) is None
