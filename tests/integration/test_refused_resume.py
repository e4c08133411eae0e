"""`--resume` on what cannot go on, through the real command."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import InterruptAfter, make_picture
from refusals import refused

from overpaint.runs.stylize import stylize
from overpaint.settings.schema import Config

MakeConfig = Callable[..., Config]
Spoil = Callable[[Path], object]


def write(name: str, content: str) -> Spoil:
    return lambda run: (run / name).write_text(content)


def without(name: str) -> Spoil:
    return lambda run: (run / name).unlink()


def without_checkpoints(run: Path) -> None:
    shutil.rmtree(run / "checkpoints")


def diverged(run: Path) -> None:
    facts = json.loads((run / "environment.json").read_text())
    facts |= {"diverged": "The loss became infinite at step 3.", "interrupted": False}
    (run / "environment.json").write_text(json.dumps(facts))
    without_checkpoints(run)


def half_a_result(run: Path) -> None:
    whole = (run / "result.png").read_bytes()
    (run / "result.png").write_bytes(whole[:100])
    without_checkpoints(run)


def another_photo(run: Path) -> None:
    make_picture((64, 48), seed=9).save(run.parent / "photo.png")


def nothing(run: Path) -> None:
    """The run is as it was left."""


@pytest.fixture
def stopped(make_config: MakeConfig, tmp_path: Path) -> Path:
    """A run that was stopped after its second step, beside its pictures."""
    folder = stylize(make_config(), callbacks=[InterruptAfter(2)]).folder
    return folder.rename(tmp_path / "stopped")


WITHOUT_PYTORCH = [
    ("a photo beside it", nothing, ["photo.png"], "the run has its pictures"),
    ("settings beside it", nothing, ["--config", "paper"], "the run has its pictures"),
    ("a question beside it", nothing, ["--print-config"], "the run has its pictures"),
]
WITH_PYTORCH = [
    ("another setting", nothing, ["style.weight=3"], "style.weight: 3.0, but the run began"),
    ("fewer steps", nothing, ["schedule.steps=3"], "schedule.steps: 3 is less than 4"),
    ("an unknown setting", nothing, ["style.wieght=3"], "did you mean"),
    (
        "settings that are none",
        write("checkpoints/settings.yaml", "{"),
        [],
        "damaged or was edited",
    ),
    ("settings of nothing", write("checkpoints/settings.yaml", ""), [], "damaged or was edited"),
    ("no beginning", without("checkpoints/origin.json"), [], "origin.json' cannot be read"),
    ("half a beginning", write("checkpoints/origin.json", "{"), [], "origin.json' cannot be read"),
    ("no photo", lambda run: (run.parent / "photo.png").unlink(), [], "no such file"),
    ("another photo", another_photo, [], "content.image: not the picture that the run began"),
    ("no checkpoints", without_checkpoints, [], "was interrupted after step 2"),
    ("a divergence", diverged, [], "start a new one with another rate"),
    ("half a result", half_a_result, [], "no folder of a run that can go on"),
    ("no facts", lambda run: (diverged(run), without("environment.json")(run)), [], "no folder"),
]


@pytest.mark.parametrize(("spoil", "words", "told"), [row[1:] for row in WITHOUT_PYTORCH])
def test_what_a_run_has_is_not_asked_for(
    stopped: Path, spoil: Spoil, words: list[str], told: str
) -> None:
    spoil(stopped)
    assert told in refused(["--resume", "stopped", *words], cwd=stopped.parent)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "words", "told"),
    [row[1:] for row in WITH_PYTORCH],
    ids=[row[0] for row in WITH_PYTORCH],
)
def test_a_run_that_cannot_go_on_says_why(
    stopped: Path, spoil: Spoil, words: list[str], told: str
) -> None:
    spoil(stopped)
    assert told in refused(["--resume", "stopped", *words], cwd=stopped.parent)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nothing", "photo.png", "empty"])
def test_what_is_no_run_is_refused(photo: Path, name: str) -> None:
    (photo.parent / "empty").mkdir()
    assert "no folder of a run" in refused(["--resume", name], cwd=photo.parent)
