"""`color.keep` and `overpaint recolor` on what they have to refuse, through the real command."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import make_picture
from refusals import refused

from overpaint.files import file_sha256


def nothing(folder: Path) -> None:
    """The run is as it was left."""


def without_photo(folder: Path) -> None:
    (folder / "photo.png").unlink()


def with_another_photo(folder: Path) -> None:
    make_picture((64, 48), seed=9).save(folder / "photo.png")


def without_settings(folder: Path) -> None:
    (folder / "run" / "config.yaml").unlink()


def without_result(folder: Path) -> None:
    (folder / "run" / "result.png").unlink()


def with_a_list_for_settings(folder: Path) -> None:
    (folder / "run" / "config.yaml").write_text("content: [1, 2]")


def cut_short(folder: Path) -> None:
    path = folder / "painted.png"
    path.write_bytes(path.read_bytes()[:50])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A photo, a picture of it, and what a run leaves."""
    make_picture((64, 48), seed=1).save(tmp_path / "photo.png")
    make_picture((48, 64), seed=1).save(tmp_path / "tall.png")
    make_picture((32, 24), seed=2).save(tmp_path / "painted.png")
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "a.png").mkdir()
    run = tmp_path / "run"
    (run / "snapshots").mkdir(parents=True)
    make_picture((32, 24), seed=3).save(run / "result.png")
    (run / "config.yaml").write_text(f"content: {{image: {tmp_path}/photo.png}}")
    facts = {"steps": 4, "inputs": {"content.image": file_sha256(tmp_path / "photo.png")}}
    (run / "environment.json").write_text(json.dumps(facts))
    return tmp_path


RECOLOR: list[tuple[str, Callable[[Path], None], str, str]] = [
    ("no file", nothing, "painted.png photo.png", "required: -o/--output"),
    ("no result", nothing, "gone.png photo.png -o x.png", "'gone.png': no such file"),
    ("no photo", nothing, "painted.png gone.png -o x.png", "'gone.png': no such file"),
    ("no photo named", nothing, "painted.png -o x.png", "recolor: name the photo behind the resu"),
    ("a long name to read", nothing, f"{'x' * 5000} photo.png -o x.png", "File name too long"),
    ("a long photo", nothing, f"painted.png {'x' * 5000} -o x.png", "File name too long"),
    ("a long folder", nothing, f"painted.png photo.png -o {'x' * 5000}/x.png", "no such folder"),
    ("no name", nothing, "'' photo.png -o x.png", "recolor: a name is empty"),
    ("no name of a photo", nothing, "painted.png '' -o x.png", "recolor: a name is empty"),
    ("a folder of no result", nothing, "a.png photo.png -o x.png", "'a.png' is a folder without"),
    ("no picture", nothing, "text.png photo.png -o x.png", "'text.png': not a picture"),
    ("a photo that is none", nothing, "painted.png text.png -o x.png", "'text.png': not a pic"),
    ("a damaged result", cut_short, "painted.png photo.png -o x.png", "it may be damaged"),
    ("another shape", nothing, "painted.png tall.png -o x.png", "which is another shape; name"),
    ("another way", nothing, "painted.png photo.png --keep lumi -o x.png", "did you mean 'lumina"),
    (
        "none to keep",
        nothing,
        "painted.png photo.png --keep none -o x.png",
        "unknown --keep 'no",
    ),
    ("no such option", nothing, "painted.png photo.png --keeep luminance -o x.png", "--keeep"),
    ("a third picture", nothing, "painted.png photo.png tall.png -o x.png", "tall.png"),
    ("another format", nothing, "painted.png photo.png -o x.gif", "must end in one of .png"),
    ("no format", nothing, "painted.png photo.png -o x", "must end in one of .png"),
    ("a folder for it", nothing, "painted.png photo.png -o a.png", "'a.png' is a folder"),
    ("no folder for it", nothing, "painted.png photo.png -o no/x.png", "no such folder: 'no'"),
    ("no place", nothing, "painted.png photo.png -o /proc/x.png", "cannot be written"),
    (
        "a long name",
        nothing,
        f"painted.png photo.png -o {'x' * 300}.png",
        "cannot be written (",
    ),
    ("the photo itself", nothing, "painted.png photo.png -o photo.png", "would be overwritten"),
    ("the result itself", nothing, "painted.png photo.png -o painted.png", "would be overwritten"),
    ("a folder of no run", nothing, "a.png -o x.png", "'a.png' holds no result of a run"),
    ("no such folder", nothing, "gone -o x.png", "name the photo behind the result"),
    ("a run without settings", without_settings, "run -o x.png", "'run' holds no result of a run"),
    ("odd settings", with_a_list_for_settings, "run -o x.png", "'run' holds no result of a run"),
    ("a run without a result", without_result, "run -o x.png", "'run' holds no result of a run"),
    (
        "the photo of a run gone",
        without_photo,
        "run -o x.png",
        "photo.png', is gone; name it: ",
    ),
    ("another photo", with_another_photo, "run -o x.png", "is not the photo that the run read"),
]


@pytest.mark.parametrize(
    ("spoil", "words", "told"), [row[1:] for row in RECOLOR], ids=[row[0] for row in RECOLOR]
)
def test_what_cannot_be_recoloured_is_refused(
    folder: Path, spoil: Callable[[Path], None], words: str, told: str
) -> None:
    spoil(folder)
    assert told in refused(["recolor", *shlex.split(words)], cwd=folder)


KEEP = [
    ("another way", "color.keep=luma", "color.keep: expected one of 'none', 'luminance', 'histogr"),
    ("nothing", "color.keep=null", "color.keep: expected one of 'none', 'luminance', 'histogram'"),
    ("a list", "color.keep=[luminance]", "color.keep: expected one of 'none', 'luminance'"),
    ("another name", "color.kept=luminance", "color.kept"),
    ("another spelling", "colour.keep=luminance", "colour"),
    ("no truth", "color.match_lightness=much", "color.match_lightness: expected true or false"),
    ("light of nothing", "color.match_lightness=true", "is for color.keep=luminance; none leaves"),
]


@pytest.mark.parametrize(("word", "told"), [row[1:] for row in KEEP], ids=[row[0] for row in KEEP])
def test_settings_of_colours_that_mean_nothing_are_refused(
    folder: Path, word: str, told: str
) -> None:
    words = ["photo.png", "painted.png", word, "tracking.mode=disabled"]
    assert told in refused(words, cwd=folder)
