"""`overpaint film` on what no film can be made of, through the real command."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import make_picture
from refusals import refused


def nothing(run: Path) -> None:
    """The run is as it was left."""


def without_snapshots(run: Path) -> None:
    for path in (run / "snapshots").iterdir():
        path.unlink()


def damaged(run: Path) -> None:
    for path in [*run.rglob("*.png")]:
        path.write_bytes(path.read_bytes()[:40])


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """What a run leaves that counts for a film."""
    folder = tmp_path / "run"
    (folder / "snapshots").mkdir(parents=True)
    for name in ("result", "snapshots/step_00001", "snapshots/step_00004"):
        make_picture((64, 48), seed=1).save(folder / f"{name}.png")
    (folder / "environment.json").write_text('{"steps": 4}')
    (tmp_path / "a.webp").mkdir()
    return folder


ROWS: list[tuple[str, Callable[[Path], None], list[str], str]] = [
    ("no run", nothing, ["gone"], "no such folder: 'gone'"),
    ("a file", nothing, ["run/result.png"], "no such folder: 'run/result.png'"),
    ("a folder of runs", nothing, ["."], "holds no snapshots"),
    ("no snapshots", without_snapshots, ["run"], "holds no snapshots"),
    ("damaged pictures", damaged, ["run"], "holds no snapshots"),
    ("another format", nothing, ["run", "-o", "film.gif"], "must end in one of .mp4, .webp"),
    ("no format", nothing, ["run", "-o", "film"], "must end in one of"),
    ("a folder for it", nothing, ["run", "-o", "a.webp"], "'a.webp' is a folder"),
    ("no folder for it", nothing, ["run", "-o", "no/film.mp4"], "no such folder: 'no'"),
    ("a long name", nothing, ["run", "-o", "x" * 300 + ".mp4"], "cannot be written (File name"),
    ("no place", nothing, ["run", "-o", "/proc/film.mp4"], "cannot be written"),
]


@pytest.mark.parametrize(
    ("spoil", "words", "told"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_what_no_film_can_be_made_of_is_refused(
    run: Path, spoil: Callable[[Path], None], words: list[str], told: str
) -> None:
    spoil(run)
    assert told in refused(["film", *words], cwd=run.parent)


def test_h264_without_its_encoder_says_what_to_install(run: Path, tmp_path: Path) -> None:
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "av.py").write_text("raise ImportError('no library')")
    words = ["film", "run", "-o", "film.mp4"]
    path = os.pathsep.join([str(modules), os.environ.get("PYTHONPATH", "")])
    told = refused(words, cwd=run.parent, env={"PYTHONPATH": path})
    assert "pip install 'overpaint[film]'; or name a .webp" in told
