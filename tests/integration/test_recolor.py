"""`overpaint recolor`: finished pictures in the colours of a photo."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import make_picture
from PIL import Image

from overpaint.cli import run
from overpaint.pictures.colour.keeping import recolored_after
from overpaint.pictures.deep.picture import DeepPicture
from overpaint.pictures.io import (
    read_picture,
    read_png_text,
    read_whole,
    resize,
    save_picture,
    size_of,
)
from overpaint.runs.like import config_like
from overpaint.runs.recolor import recolor
from overpaint.runs.stylize import stylize
from overpaint.settings.schema import Config

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def painted(tmp_path: Path) -> Path:
    """A picture half as large as the photo."""
    path = tmp_path / "painted.png"
    make_picture((32, 24), seed=7).save(path)
    return path


@pytest.mark.parametrize("keep", ["luminance", "statistics", "histogram"])
def test_a_picture_takes_the_colours_of_a_photo_of_another_size(
    painted: Path, photo: Path, tmp_path: Path, keep: str
) -> None:
    out = tmp_path / "out.png"
    assert run(["recolor", str(painted), str(photo), "--keep", keep, "-o", str(out)]) == 0
    small = resize(read_picture(photo), (24, 32))
    assert size_of(small) == (24, 32)
    wanted = recolored_after(read_picture(painted), small, keep)
    assert read_picture(out).tobytes() == wanted.tobytes()
    assert read_picture(out).tobytes() != read_picture(painted).tobytes()


@pytest.mark.parametrize("ending", [".jpg", ".webp", ".tif"])
def test_other_formats_are_written(painted: Path, photo: Path, tmp_path: Path, ending: str) -> None:
    found = read_picture(recolor(painted, photo, tmp_path / f"out{ending}"))
    exact = read_picture(recolor(painted, photo, tmp_path / "out.png"))
    assert np.abs(np.asarray(found, float) - np.asarray(exact, float)).mean() < 12


@pytest.mark.parametrize("keep", ["luminance", "statistics", "histogram"])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bits_and_resolution_stay(
    painted: Path, photo: Path, tmp_path: Path, keep: str, suffix: str
) -> None:
    shallow = np.asarray(read_picture(painted), np.uint16)
    levels = (shallow.transpose(2, 0, 1) * 257).clip(max=65000) + 40  # between two levels of 8 bits
    deep = tmp_path / f"deep{suffix}"
    save_picture(DeepPicture(np.ascontiguousarray(levels)), deep, resolution=(300, 300))
    out = recolor(deep, photo, tmp_path / f"out{suffix}", keep=keep)
    found = read_whole(out)
    assert isinstance(found, DeepPicture)
    assert len(np.unique(found.levels)) > 300
    with Image.open(out) as file:
        assert file.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    save_picture(read_picture(deep), deep)
    exact = np.asarray(read_picture(recolor(deep, photo, tmp_path / "out.png", keep=keep)), int)
    assert np.median(np.abs((found.levels / 257).transpose(1, 2, 0) - exact)) < 8


def test_a_run_folder_has_its_photo_and_its_png_keeps_what_it_says(
    make_config: Callable[..., Config], photo: Path, tmp_path: Path
) -> None:
    folder = stylize(make_config("seed=5")).folder
    out = recolor(folder, None, tmp_path / "out.png")
    by_hand = recolor(folder / "result.png", photo, tmp_path / "by_hand.png")
    assert read_picture(out).tobytes() == read_picture(by_hand).tobytes()
    before, after = read_png_text(folder / "result.png"), read_png_text(out)
    assert after == {**before, "overpaint recolor": "luminance of photo.png"}
    assert config_like(out).seed == 5


def test_a_photo_of_another_shape_gives_its_palette_but_not_its_places(
    painted: Path, tmp_path: Path
) -> None:
    tall = tmp_path / "tall.png"
    make_picture((20, 60), seed=8).save(tall)
    words = ["recolor", str(painted), str(tall), "-o", str(tmp_path / "out.png")]
    assert run([*words, "--keep", "histogram"]) == 0
    assert run(words) == 2


def test_transparent_pictures_lie_on_white(painted: Path, photo: Path, tmp_path: Path) -> None:
    clear, white = tmp_path / "clear.png", tmp_path / "white.png"
    picture = read_picture(photo).convert("RGBA")
    picture.putalpha(Image.new("L", picture.size, 0))
    picture.save(clear)
    Image.new("RGB", picture.size, "white").save(white)
    found = [recolor(painted, one, tmp_path / f"on_{one.name}") for one in (clear, white)]
    assert read_picture(found[0]).tobytes() == read_picture(found[1]).tobytes()
    chroma = np.ptp(np.asarray(read_picture(found[0]), int), axis=-1)
    assert chroma.max() <= 1, "the colours of white are greys"


@pytest.mark.parametrize("size", [(1, 1), (3, 2)])
@pytest.mark.parametrize("keep", ["luminance", "statistics", "histogram"])
def test_tiny_pictures_are_pictures(tmp_path: Path, size: tuple[int, int], keep: str) -> None:
    names = ("a.png", "b.png")
    for seed, name in enumerate(names):
        make_picture(size, seed=seed).save(tmp_path / name)
    out = recolor(tmp_path / "a.png", tmp_path / "b.png", tmp_path / "c.png", keep=keep)
    assert read_picture(out).size == size


def test_it_answers_at_once_without_pytorch(painted: Path, photo: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from overpaint.runs.recolor import recolor; recolor(*sys.argv[1:4]); "
        "print([name for name in ('torch', 'scipy', 'wandb') if name in sys.modules])"
    )
    words = [str(painted), str(photo), str(tmp_path / "out.png")]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
