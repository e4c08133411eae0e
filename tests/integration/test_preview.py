"""`--preview`: in a file, in terminals that show pictures, and nowhere else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import InterruptAfter
from PIL import Image

import overpaint.callbacks.preview
from overpaint.cli import run
from overpaint.errors import WriteError
from overpaint.runs.resume import resume
from overpaint.runs.stylize import stylize
from overpaint.settings.schema import Config
from overpaint.settings.writing import to_yaml

MakeConfig = Callable[..., Config]


@pytest.fixture
def make_run(make_config: MakeConfig, slim_file: Path) -> MakeConfig:
    """A run of the smallest network, with a snapshot of every other step."""
    words = ("encoder.name=vgg19_slim", f"encoder.weights={slim_file}", "snapshots.every=2")
    return lambda *more: make_config(*words, *more)


def same(first: Path, second: Path) -> bool:
    with Image.open(first) as one, Image.open(second) as two:
        return np.array_equal(np.asarray(one), np.asarray(two))


def test_the_file_is_the_newest_snapshot_and_nothing_else_changes(make_run: MakeConfig) -> None:
    plain, shown = stylize(make_run()), stylize(make_run("output.preview=true"))
    assert not (plain.folder / "preview.png").exists()
    assert same(shown.folder / "preview.png", shown.folder / "result.png")
    assert same(shown.folder / "result.png", plain.folder / "result.png")
    assert {path.name for path in shown.folder.iterdir()} == {
        *(path.name for path in plain.folder.iterdir()),
        "preview.png",
    }


def test_it_is_replaced_at_each_snapshot_and_kept_at_an_interrupt(make_run: MakeConfig) -> None:
    config = make_run("output.preview=true", "schedule.steps=9", "schedule.scales=[1.0]")
    with pytest.MonkeyPatch.context() as patch:
        seen: list[int] = []
        show = overpaint.callbacks.preview.Preview.show

        def showing(self: object, step: int, picture: Image.Image) -> None:
            seen.append(step)
            show(self, step, picture)  # type: ignore[arg-type]

        patch.setattr(overpaint.callbacks.preview.Preview, "show", showing)
        stopped = stylize(config, callbacks=[InterruptAfter(5)])
        assert seen == [1, 2, 4]
        assert stopped.interrupted
        preview = stopped.folder / "preview.png"
        assert same(preview, stopped.folder / "snapshots" / "step_00004.png")
        assert not same(preview, stopped.folder / "result.png")  # of step 5
        went_on = resume(stopped.folder, "output.preview=false")
        assert went_on is not None
        assert seen == [1, 2, 4]
        assert same(preview, stopped.folder / "snapshots" / "step_00004.png")


def test_large_pictures_are_made_smaller_for_it(
    make_run: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overpaint.callbacks.preview, "LONG_EDGE", 20)
    folder = stylize(make_run("output.preview=true")).folder
    with Image.open(folder / "preview.png") as preview, Image.open(folder / "result.png") as result:
        assert (preview.size, result.size) == ((20, 15), (32, 24))


def test_a_full_disk_costs_one_warning(
    make_run: MakeConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(image: Image.Image, path: Path) -> None:
        raise WriteError(28, "No space left on device", str(path))

    monkeypatch.setattr(overpaint.callbacks.preview, "save_picture", failing)
    result = stylize(make_run("output.preview=true"))
    assert (result.folder / "result.png").is_file()
    told = [r.getMessage() for r in caplog.records if "No space left" in r.getMessage()]
    assert len(told) == 1
    assert "preview.png" in told[0]


def test_the_option_is_the_setting(
    make_run: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Config] = []

    class Done:
        interrupted = False

    def keep(config: Config, **options: object) -> type[Done]:
        made.append(config)
        return Done

    monkeypatch.setattr("overpaint.runs.stylize.stylize", keep)
    monkeypatch.setattr("overpaint.optimisation.memory.keep_freed_memory", lambda: True)
    monkeypatch.setattr("gc.freeze", lambda: None)
    settings = tmp_path / "settings.yaml"
    settings.write_text(to_yaml(make_run()), encoding="utf-8")
    assert run(["--config", str(settings), "--preview"]) == 0
    assert run(["--config", str(settings)]) == 0
    assert [config.output.preview for config in made] == [True, False]


def on_a_terminal(words: Sequence[str], **variables: str) -> str:
    """What the command writes to a terminal that never answers anything."""
    ours, theirs = os.openpty()
    own = ("TERM", "TMUX", "STY", "KITTY_", "LC_TERMINAL", "COLUMNS", "LINES", "NEURAL_STYLE_PR")
    inherited = {key: one for key, one in os.environ.items() if not key.startswith(own)}
    process = subprocess.Popen(
        [sys.executable, "-m", "overpaint", *words],
        env={**inherited, "COLUMNS": "100", "LINES": "40", **variables},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    seen = b""
    try:
        while read := os.read(ours, 1 << 16):
            seen += read
    except OSError:  # the other end is closed
        pass
    finally:
        os.close(ours)
    assert process.wait(timeout=120) == 0, seen.decode(errors="replace")
    return seen.decode()


def words_of(config: Config, folder: Path) -> list[str]:
    settings = folder / "settings.yaml"
    settings.write_text(to_yaml(config), encoding="utf-8")
    return ["--config", str(settings), "--preview"]


# What begins and ends a picture.
PROTOCOLS = {
    "kitty": ({"TERM": "xterm-kitty"}, "\x1b_G", "\x1b\\\x1b8"),
    "iterm": ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "\x1b]1337;", "\x07\x1b8"),
    "sixel": ({"TERM": "foot"}, "\x1bP", "\x1b\\\x1b8"),
}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX")
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_terminal_that_shows_pictures_gets_one_for_each_snapshot(
    protocol: str, make_run: MakeConfig, tmp_path: Path
) -> None:
    variables, begin, end = PROTOCOLS[protocol]
    config = make_run("schedule.scales=[1.0]")
    seen = on_a_terminal(words_of(config, tmp_path), **variables)
    pictures = seen.split("\x1b7")[1:]
    assert len(pictures) == 3  # after steps 1, 2 and 4
    for step, picture in zip((1, 2, 4), pictures, strict=True):
        drawing = picture[picture.index("A") + 1 :]  # behind the way up
        assert drawing.startswith(begin)
        assert end in drawing
        assert f"step {step}\r\n" in seen
    assert "steps/s" in pictures[-1]  # the bar is drawn again below
    assert "\x1b[c" not in seen  # no question is asked
    for other in set(PROTOCOLS) - {protocol}:
        assert PROTOCOLS[other][1] not in seen


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX")
@pytest.mark.parametrize(
    "variables",
    [
        {"TERM": "dumb"},
        {"TERM": "xterm-256color"},
        {"TERM": "tmux-256color", "TMUX": "/tmp/x", "TERM_PROGRAM": "tmux", "KITTY_PID": "1"},
    ],
    ids=lambda one: one["TERM"],
)
def test_a_terminal_that_does_not_gets_the_usual_lines(
    variables: dict[str, str], make_run: MakeConfig, tmp_path: Path
) -> None:
    seen = on_a_terminal(words_of(make_run(), tmp_path), **variables)
    assert "Preview: " in seen
    assert not any(begin in seen for _, begin, _ in PROTOCOLS.values())
    assert "\x1b7" not in seen


@pytest.mark.slow
def test_a_pipe_gets_no_pictures_whatever_is_said(make_run: MakeConfig, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "overpaint", *words_of(make_run(), tmp_path)],
        env={
            **os.environ,
            **{"TERM": "xterm-kitty", "FORCE_COLOR": "1", "NEURAL_STYLE_PREVIEW": "kitty"},
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
        check=True,
    )
    assert done.stdout == b""
    assert b"\x1b_G" not in done.stderr
    assert b"Preview: " in done.stderr
