"""Who paints which picture, and what becomes of those whose process is lost; nothing is started."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import overpaint.sweeps.several.crew
from overpaint.callbacks.progress import Overall
from overpaint.exits import INTERRUPTED
from overpaint.headroom import Sharing
from overpaint.interrupts import Interrupts
from overpaint.sweeps.several.crew import Crew, next_trial, surroundings
from overpaint.sweeps.several.messages import Beginning, Ready
from overpaint.sweeps.several.painter import Ended, Printed
from overpaint.sweeps.trials import Outcome, Status, Trial


def trial(number: int, style: str = "s", **own: str) -> Trial:
    point = {"content.image": f"photo{number}", "style.images": style, **own}
    return Trial(number, point, Path("nowhere", str(number)), name=f"p{number}")


class Played:
    """Processes that do at once what a script says, in the place of real ones."""

    def __init__(self, script: Callable[[Played.Painter], list[object]]) -> None:
        self.script = script
        self.all: list[Played.Painter] = []

    class Painter:
        def __init__(self, number: int, beginning: Beginning, env: Any, heard: Any) -> None:
            self.number, self.beginning, self.env, self.heard = number, beginning, env, heard
            self.trial: Trial | None = None
            self.is_ready = False
            self.told: list[str] = []
            self.painted: list[int] = []
            self.script: Callable[[Played.Painter], list[object]]

        def give(self, trial: Trial, config: Any) -> None:
            self.trial = trial
            self.painted.append(trial.number)
            for message in self.script(self):
                self.heard.put((self, message))

        def stop(self) -> None:
            self.told.append("stop")
            if self.trial is not None:
                self.heard.put((self, Outcome(self.trial, "interrupted")))

        def end(self) -> None:
            self.told.append("end")

        def wait(self, seconds: float) -> None:
            self.told.append("wait")

        def kill(self) -> None:
            self.told.append("kill")

    def make(self, number: int, beginning: Beginning, *, env: Any, heard: Any) -> Painter:
        painter = Played.Painter(number, beginning, env, heard)
        painter.script = self.script
        self.all.append(painter)
        return painter


def done(painter: Played.Painter, status: Status = "done") -> list[object]:
    assert painter.trial is not None
    return [Ready(), Outcome(painter.trial, status)]


@pytest.fixture
def paint(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[bool, list[Outcome], Played]]:
    """Paints pictures by a script."""

    def painted(
        trials: list[Trial],
        script: Callable[[Played.Painter], list[object]],
        *,
        at_once: int,
        interrupts: Interrupts | None = None,
    ) -> tuple[bool, list[Outcome], Played]:
        played, outcomes = Played(script), []
        monkeypatch.setattr(overpaint.sweeps.several.crew, "Painter", played.make)
        crew = Crew(
            *(trials, lambda one: one),
            at_once=at_once,
            group="g",
            tell=outcomes.append,
            overall=Overall(len(trials)),
        )
        cut_short = crew.paint(interrupts or Interrupts())
        return cut_short, outcomes, played

    return painted


def test_no_more_processes_are_started_than_there_are_pictures(paint: Any) -> None:
    cut_short, outcomes, played = paint([trial(1), trial(2)], done, at_once=5)
    assert not cut_short
    assert len(played.all) == 2
    assert [one.status for one in outcomes] == ["done", "done"]
    assert all(one.told == ["end", "wait", "kill"] for one in played.all)
    assert played.all[0].beginning.sharing == Sharing(2, 2)
    assert played.all[0].beginning.group == "g"


def test_a_process_that_is_free_takes_the_next_picture(paint: Any) -> None:
    slow: list[Played.Painter] = []

    def script(painter: Played.Painter) -> list[object]:
        if painter.number == 0:
            slow.append(painter)
            return [Ready()]
        assert painter.trial is not None
        if painter.trial.number == 6:
            slow[0].heard.put((slow[0], Outcome(trial(1), "done")))
        return done(painter)

    _, outcomes, played = paint([trial(i) for i in range(1, 7)], script, at_once=2)
    assert [one.painted for one in played.all] == [[1], [2, 3, 4, 5, 6]]
    assert sorted(one.trial.number for one in outcomes) == [1, 2, 3, 4, 5, 6]


def test_a_process_keeps_to_the_painting_that_it_has_measured() -> None:
    a1, a2, b1, b2 = trial(1, "a"), trial(2, "a"), trial(3, "b"), trial(4, "b")
    assert next_trial([a2, b1, b2], b1, []) is b1
    assert next_trial([a2, b2], b1, [a1]) is b2
    assert next_trial([a1, a2, b1, b2], None, [a1]) is b1, "the second process"
    assert next_trial([a2], b2, [a1]) is a2, "helps with what is left"
    own = trial(5, "a", **{"style.weight": "5"})
    assert next_trial([own, b1, a2], a1, []) is a2


def test_a_lost_process_costs_its_picture_and_another_takes_its_place(
    paint: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def script(painter: Played.Painter) -> list[object]:
        assert painter.trial is not None
        return [Ready(), Ended(-9)] if painter.trial.number == 2 else done(painter)

    with caplog.at_level(logging.WARNING, logger="overpaint"):
        cut_short, outcomes, played = paint([trial(i) for i in range(1, 5)], script, at_once=1)
    assert not cut_short
    assert [one.status for one in outcomes] == ["done", "failed", "done", "done"]
    assert outcomes[1].error is not None
    assert outcomes[1].error.startswith("its process ended by SIGKILL, as systems end what takes")
    assert outcomes[1].error.endswith("; give the same command again.")
    assert [one.painted for one in played.all] == [[1, 2], [3, 4]]
    assert [one.number for one in played.all] == [0, 0], "on the same device"
    assert "p2 failed: its process ended by SIGKILL" in caplog.text


def test_processes_that_end_again_and_again_are_not_started_for_ever(
    paint: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def script(painter: Played.Painter) -> list[object]:
        return [Ended(1)]

    _, outcomes, played = paint([trial(i) for i in range(1, 100)], script, at_once=2)
    assert len(played.all) == len(outcomes) == 4
    assert {one.status for one in outcomes} == {"failed"}
    assert "4 processes ended one after the other; 95 pictures were not begun" in caplog.text
    assert "fewer --jobs" in caplog.text


def test_processes_that_are_lost_now_and_then_are_always_replaced(paint: Any) -> None:
    def script(painter: Played.Painter) -> list[object]:
        assert painter.trial is not None
        return [Ended(-9)] if painter.trial.number % 2 else done(painter)

    _, outcomes, _ = paint([trial(i) for i in range(1, 13)], script, at_once=1)
    assert [one.status for one in outcomes] == 6 * ["failed", "done"]


def test_an_interrupt_keeps_what_is_under_way_and_begins_nothing(paint: Any) -> None:
    interrupts = Interrupts()

    def script(painter: Played.Painter) -> list[object]:
        interrupts.asked = painter.number == 1
        return [Ready()]

    cut_short, outcomes, played = paint(
        [trial(i) for i in range(1, 5)], script, at_once=2, interrupts=interrupts
    )
    assert cut_short
    assert [one.status for one in outcomes] == ["interrupted", "interrupted"]
    assert [one.painted for one in played.all] == [[1], [2]]


@pytest.mark.parametrize("ended", [Ended(INTERRUPTED), Ended(-15)], ids=["told", "not begun"])
def test_a_picture_of_which_there_is_nothing_yet_is_not_listed(paint: Any, ended: Ended) -> None:
    interrupts = Interrupts()

    def script(painter: Played.Painter) -> list[object]:
        interrupts.asked = True
        painter.stop = lambda: painter.heard.put((painter, ended))
        return [Ready()] if ended.status == INTERRUPTED else []

    cut_short, outcomes, _ = paint([trial(1)], script, at_once=1, interrupts=interrupts)
    assert cut_short
    assert not outcomes


def test_an_interrupt_after_the_last_picture_comes_too_late(paint: Any) -> None:
    interrupts = Interrupts()

    def script(painter: Played.Painter) -> list[object]:
        painter.stop = lambda: None
        interrupts.asked = True
        return done(painter)

    cut_short, outcomes, _ = paint([trial(1)], script, at_once=1, interrupts=interrupts)
    assert not cut_short
    assert [one.status for one in outcomes] == ["done"]


def test_an_interrupt_of_one_process_alone_ends_all(paint: Any) -> None:
    def script(painter: Played.Painter) -> list[object]:
        return done(painter, "interrupted") if painter.number else [Ready()]

    cut_short, outcomes, played = paint([trial(i) for i in range(1, 5)], script, at_once=2)
    assert cut_short
    assert {one.status for one in outcomes} == {"interrupted"}
    assert "stop" in played.all[0].told


def test_where_no_further_process_can_be_started_those_there_are_do(
    paint: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    make = Played.make

    def limited(self: Played, number: int, *arguments: Any, **options: Any) -> Any:
        if number == 1:
            raise OSError("Resource temporarily unavailable")
        return make(self, number, *arguments, **options)

    monkeypatch.setattr(Played, "make", limited)
    _, outcomes, _ = paint([trial(1), trial(2)], done, at_once=2)
    assert len(outcomes) == 2
    assert "No further process can be started (Resource temporarily unavailable)" in caplog.text


def test_each_line_says_which_picture_it_is_about(
    paint: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def record(text: str, level: int = logging.INFO) -> logging.LogRecord:
        return logging.LogRecord("overpaint.runs.x", level, "", 0, text, (), None)

    def script(painter: Played.Painter) -> list[object]:
        said = [record("100 % of it\nand more"), record("p1 failed: no"), Printed("a warning")]
        return [Ready(), *said, record("unasked", logging.DEBUG), *done(painter)[1:]]

    with caplog.at_level(logging.INFO, logger="overpaint"):
        paint([trial(1)], script, at_once=1)
    told = [one.getMessage() for one in caplog.records]
    assert told[1:4] == ["p1: 100 % of it\np1: and more", "p1 failed: no", "p1: a warning"]
    assert "unasked" not in caplog.text


@pytest.mark.parametrize(
    ("devices", "given", "expected"),
    [
        (0, {}, [{"OMP_NUM_THREADS": "2"}] * 3),
        (1, {"CUDA_VISIBLE_DEVICES": "3"}, [{"OMP_NUM_THREADS": "2"}] * 3),
        (0, {"OMP_NUM_THREADS": "8"}, [{}] * 3),
        (
            2,
            {"OMP_NUM_THREADS": "8"},
            [{"CUDA_VISIBLE_DEVICES": one} for one in ("0", "1", "0")],
        ),
        (
            2,
            {"OMP_NUM_THREADS": "8", "CUDA_VISIBLE_DEVICES": "GPU-a, GPU-b"},
            [{"CUDA_VISIBLE_DEVICES": one} for one in ("GPU-a", "GPU-b", "GPU-a")],
        ),
    ],
)
def test_processes_share_the_cores_and_are_dealt_over_the_gpus(
    devices: int, given: Mapping[str, str], expected: list[dict[str, str]]
) -> None:
    found = [surroundings(i, 3, devices=devices, threads=7, given=given) for i in range(3)]
    assert found == expected


def test_more_processes_than_cores_have_a_thread_each() -> None:
    found = surroundings(0, 9, devices=0, threads=2, given={})
    assert found["OMP_NUM_THREADS"] == "1"


def test_processes_on_several_gpus_share_memory_with_those_on_their_own(
    paint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    _, _, played = paint([trial(i) for i in range(1, 6)], done, at_once=5)
    assert played.all[0].beginning.sharing == Sharing(machine=5, device=3)


def test_nothing_is_left_running_after_an_error(paint: Any) -> None:
    made: list[Played.Painter] = []

    def script(painter: Played.Painter) -> list[object]:
        made.append(painter)
        if len(made) == 3:
            raise ZeroDivisionError
        return done(painter)

    with pytest.raises(ZeroDivisionError):
        paint([trial(i) for i in range(1, 5)], script, at_once=2)
    assert [one.told[-1] for one in made] == ["kill", "kill", "kill"]
