"""`--like`: runs repeated from their PNG alone."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_picture
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from overpaint.cli import run
from overpaint.pictures.io import read_png_text
from overpaint.runs.like import config_like
from overpaint.runs.stylize import stylize
from overpaint.settings.schema import Config

pytestmark = pytest.mark.usefixtures("untuned", "one_thread")

MakeConfig = Callable[..., Config]


@pytest.fixture
def painted(make_config: MakeConfig, tmp_path: Path) -> Path:
    """The PNG of a run, kept outside of its folder."""
    path = tmp_path / "painted.png"
    stylize(make_config("init.mode=noise", "seed=7", f"output.copy={path}"))
    return path


def pixels(path: Path) -> Any:
    with Image.open(path) as picture:
        return np.asarray(picture)


def rewritten(path: Path, target: Path, **options: Any) -> Path:
    """The same pixels, saved with other texts."""
    with Image.open(path) as picture:
        picture.save(target, **options)
    return target


def without(path: Path, keyword: str) -> Path:
    """The same picture without one of its texts."""
    info = PngInfo()
    for name, text in read_png_text(path).items():
        if name != keyword:
            info.add_itxt(name, text)
    return rewritten(path, path, pnginfo=info)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.message for one in caplog.records if one.levelno >= logging.WARNING]


def test_a_run_is_repeated_from_its_png_bit_for_bit(painted: Path, tmp_path: Path) -> None:
    before = painted.read_bytes()
    assert run(["--like", str(painted), "-o", str(tmp_path / "again.png")]) == 0
    np.testing.assert_array_equal(pixels(tmp_path / "again.png"), pixels(painted))
    assert read_png_text(tmp_path / "again.png") == read_png_text(painted)
    assert painted.read_bytes() == before


def test_words_change_settings_of_the_run(painted: Path, photo: Path) -> None:
    config = config_like(painted, ["style.weight=3", "schedule.steps=2"])
    assert (config.style.weight, config.schedule.steps, config.seed) == (3, 2, 7)
    assert config.content.image == str(photo)


def test_a_png_says_which_files_the_run_read(painted: Path) -> None:
    hashes = json.loads(read_png_text(painted)["overpaint inputs"])
    assert sorted(hashes) == ["content.image", "style.images[0]"]
    assert all(len(one) == 64 for one in hashes.values())


@pytest.mark.parametrize("place", ["beside", "current folder", "below the png"])
def test_pictures_are_found_where_they_may_be(
    make_config: MakeConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    photo: Path,
    painting: Path,
    place: str,
) -> None:
    (tmp_path / "in").mkdir()
    photo.rename(tmp_path / "in" / "photo.png")
    painting.rename(tmp_path / "in" / "painting.png")
    monkeypatch.chdir(tmp_path)
    stylize(
        make_config(
            "content.image=in/photo.png", "style.images=in/painting.png", "output.copy=painted.png"
        )
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "painted.png").rename(elsewhere / "painted.png")
    if place == "below the png":
        (tmp_path / "in").rename(elsewhere / "in")
    elif place == "beside":
        for name in ("photo.png", "painting.png"):
            (tmp_path / "in" / name).rename(elsewhere / name)
    config = config_like("elsewhere/painted.png")
    folder = {"below the png": elsewhere / "in", "beside": elsewhere, "current folder": Path("in")}
    assert os.path.samefile(config.content.image, folder[place] / "photo.png")
    assert os.path.samefile(config.style.images[0], folder[place] / "painting.png")


def test_a_picture_of_the_same_name_is_passed_over_for_the_right_one(
    painted: Path, photo: Path, tmp_path: Path
) -> None:
    (tmp_path / "away").mkdir()
    painted = painted.rename(tmp_path / "away" / "painted.png")
    photo.rename(tmp_path / "away" / "photo.png")
    make_picture((64, 48), seed=9).save(photo)
    assert config_like(painted).content.image == str(tmp_path / "away" / "photo.png")


def test_samples_are_found_in_any_installation(make_config: MakeConfig, tmp_path: Path) -> None:
    path = tmp_path / "painted.png"
    stylize(make_config("content.image=assets/content/rocket.jpg", f"output.copy={path}"))
    text = read_png_text(path)
    name = config_like(path).content.image
    info = PngInfo()
    for keyword, one in text.items():
        info.add_itxt(keyword, one.replace(name, "/gone/overpaint/assets/content/rocket.jpg"))
    rewritten(path, path, pnginfo=info)
    assert "/gone/" in read_png_text(path)["overpaint settings"]
    assert config_like(path).content.image == name


def test_other_pictures_may_take_the_place_of_the_run_s(
    painted: Path, photo: Path, tmp_path: Path
) -> None:
    photo.unlink()
    other = tmp_path / "other.png"
    make_picture((40, 50), seed=3).save(other)
    again = tmp_path / "again.png"
    assert run(["--like", str(painted), str(other), "-o", str(again)]) == 0
    assert pixels(again).shape == (32, 26, 3)
    assert config_like(painted, [f"content.image={other}"]).content.image == str(other)
    both = config_like(painted, values={"content.image": other, "style.images": [other, other]})
    assert both.style.images == (str(other), str(other))


def test_a_picture_in_place_of_the_run_s_is_held_against_nothing(
    painted: Path, photo: Path
) -> None:
    make_picture((64, 48), seed=9).save(photo)
    assert config_like(painted, values={"content.image": str(photo)}).content.image == str(photo)


def test_a_start_from_a_file_is_found_too(make_config: MakeConfig, tmp_path: Path) -> None:
    start, path = tmp_path / "start.png", tmp_path / "painted.png"
    make_picture((64, 48), seed=4).save(start)
    stylize(make_config("init.mode=file", f"init.file={start}", f"output.copy={path}"))
    start.rename(tmp_path / "moved.png")
    assert config_like(path, ["init.mode=content"]).init.mode == "content"
    moved = config_like(path, [f"init.file={tmp_path / 'moved.png'}"])
    assert moved.init.file == str(tmp_path / "moved.png")
    start.write_bytes((tmp_path / "moved.png").read_bytes())
    assert config_like(path).init.file == str(start)


def test_an_older_png_is_repeated_with_a_note(
    painted: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = config_like(painted)
    assert warnings(caplog) == []
    assert config_like(without(painted, "overpaint inputs")) == before
    (told,) = warnings(caplog)
    assert "was made by an older version, without hashes of its pictures" in told


def test_other_versions_are_told_in_a_line(painted: Path, caplog: pytest.LogCaptureFixture) -> None:
    info = PngInfo()
    for name, text in read_png_text(painted).items():
        versions = json.dumps({**json.loads(text), "torch": "1.0"}) if "versions" in name else text
        info.add_itxt(name, versions)
    config_like(rewritten(painted, painted, pnginfo=info))
    (told,) = warnings(caplog)
    assert "Made with torch 1.0 (here " in told


@pytest.mark.parametrize("kind", ["tEXt", "zTXt", "iTXt", "iTXt packed"])
def test_any_of_png_s_texts_is_read(painted: Path, tmp_path: Path, kind: str) -> None:
    before, info = config_like(painted), PngInfo()
    for name, text in read_png_text(painted).items():
        if kind.startswith("iTXt"):
            info.add_itxt(name, text, zip=kind.endswith("packed"))
        else:
            info.add_text(name, text, zip=kind == "zTXt")
    path = rewritten(painted, tmp_path / "other.png", pnginfo=info)
    assert kind[:4].encode() in path.read_bytes()
    assert config_like(path) == before


def test_texts_behind_the_pixels_are_read(painted: Path) -> None:
    """As some programs that optimise a PNG put them."""
    data = painted.read_bytes()
    parts, at = [data[:8]], 8
    while at < len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        parts.append(data[at:end])
        at = end
    before = config_like(painted)
    texts = [part for part in parts if part[4:8] == b"iTXt"]
    others = [part for part in parts if part[4:8] != b"iTXt"]
    assert len(texts) == 5
    painted.write_bytes(b"".join([*others[:-1], *texts, others[-1]]))
    assert config_like(painted) == before


def test_a_png_that_is_cut_short_behind_its_texts_will_do(painted: Path) -> None:
    before = config_like(painted)
    painted.write_bytes(painted.read_bytes()[:-200])
    assert config_like(painted) == before


def test_the_settings_can_be_looked_at(painted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--like", str(painted), "--print-config", "style.weight=3"]) == 0
    shown = capsys.readouterr().out
    assert "seed: 7" in shown
    assert "weight: 3.0" in shown
