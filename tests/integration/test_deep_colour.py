"""16 bits per channel, profiles, resolution and EXIF, from the photo to what a run leaves."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from overpaint.errors import ConfigError, ImageError
from overpaint.pictures.deep.picture import DeepPicture, in_8_bits
from overpaint.pictures.deep.profiles import srgb_profile
from overpaint.pictures.io import read_png_text, read_whole, save_picture
from overpaint.runs.like import config_like
from overpaint.runs.paint import paint
from overpaint.runs.stylize import stylize
from overpaint.settings.schema import Config

MakeConfig = Callable[..., Config]
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def gradient(tmp_path: Path) -> Path:
    """A photo of 16 bits with soft gradients, at 300 dpi, that says who took it where."""
    y, x = np.mgrid[0:48, 0:64]
    planes = [0.3 + 0.004 * x, 0.4 + 0.003 * y, 0.5 + 0.001 * (x + y)]
    exif = Image.Exif()
    exif[ExifTags.Base.Model] = "Camera 7"
    exif[ExifTags.IFD.GPSInfo] = {ExifTags.GPS.GPSAreaInformation: b"HERE WE ARE"}
    path = tmp_path / "gradient.png"
    save_picture(
        DeepPicture(np.rint(np.stack(planes) * 65535).astype(np.uint16)),
        path,
        resolution=(300, 300),
        exif=exif.tobytes(),
    )
    assert b"HERE WE ARE" in path.read_bytes()
    return path


def test_a_run_with_16_bits_leaves_16_bits_and_says_how_it_was_made(
    make_config: MakeConfig, tmp_path: Path, gradient: Path
) -> None:
    copy = tmp_path / "copy.tif"
    config = make_config(
        content__image=str(gradient), output__depth=16, output__copy=str(copy), init__mode="content"
    )
    result = stylize(config)
    assert result.deep is not None
    read = read_whole(result.folder / "result.png")
    assert isinstance(read, DeepPicture)
    np.testing.assert_array_equal(read.levels, result.deep.levels)
    assert all(len(np.unique(plane)) > 256 for plane in read.levels)
    copied = read_whole(copy)
    assert isinstance(copied, DeepPicture)
    np.testing.assert_array_equal(copied.levels, read.levels)
    assert in_8_bits(read).tobytes() == result.image.tobytes()
    assert "overpaint settings" in read_png_text(result.folder / "result.png")
    again = config_like(result.folder / "result.png")
    assert again.output.depth == 16
    assert again.content.image == str(gradient)
    facts = json.loads((result.folder / "environment.json").read_text())
    assert "deep" not in facts


def test_a_photo_of_16_bits_is_painted_from_all_of_them(
    make_config: MakeConfig, gradient: Path
) -> None:
    """At the start's size nothing is resampled: one tiny step leaves the photo nearly as it was."""
    config = make_config(
        *("schedule.steps=1", "schedule.scales=[1.0]", "optimizer.lr=1.0e-7", "image.size=64"),
        content__image=str(gradient),
        output__depth=16,
        init__mode="content",
    )
    result = stylize(config)
    photo = read_whole(gradient)
    assert isinstance(photo, DeepPicture)
    assert result.deep is not None
    assert np.abs(result.deep.levels.astype(int) - photo.levels).max() <= 1


@pytest.mark.parametrize("depth", [8, 16])
def test_results_say_the_colours_the_resolution_and_no_place(
    make_config: MakeConfig, tmp_path: Path, gradient: Path, depth: int
) -> None:
    copy = tmp_path / "copy.tif"
    told = {"content__image": str(gradient), "output__copy": str(copy), "output__depth": depth}
    for exif in (False, True):
        folder = stylize(make_config(**told, output__exif=exif)).folder
        for path in (folder / "result.png", copy):
            assert b"HERE WE ARE" not in path.read_bytes()
            with Image.open(path) as picture:
                assert picture.info["icc_profile"] == srgb_profile()
                assert picture.info["dpi"] == pytest.approx((300, 300), abs=0.02)
                assert (picture.getexif().get(ExifTags.Base.Model) == "Camera 7") == exif


def test_16_bits_that_nothing_here_can_write_are_refused_before_the_first_step(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(output__depth=16)
    monkeypatch.setitem(sys.modules, "pyvips", None)
    with pytest.raises(ConfigError, match=r"output\.depth: 16 needs libvips.*pip install"):
        stylize(config)
    assert not (tmp_path / "runs").exists()


def test_snapshots_stay_small_and_of_8_bits(make_config: MakeConfig, gradient: Path) -> None:
    config = make_config(
        content__image=str(gradient), output__depth=16, snapshots__max_edge=16, image__size=48
    )
    snapshots = sorted((stylize(config).folder / "snapshots").iterdir())
    assert len(snapshots) == 2
    for path in snapshots:
        assert path.read_bytes()[24] == 8
        assert path.stat().st_size < 3000
    with Image.open(snapshots[-1]) as last:  # the first is of a smaller size
        assert last.size == (16, 12)


def test_tensors_and_files_of_8_bits_are_painted_alike(
    photo: Path, painting: Path, vgg_file: Path
) -> None:
    from overpaint.pictures.tensors import load_picture

    words = ("image.size=64", "schedule.steps=2", f"encoder.weights={vgg_file}")
    from_files = paint(photo, painting, *words, progress=False)
    from_tensors = paint(load_picture(photo), load_picture(painting), *words, progress=False)
    assert from_files.image.tobytes() == from_tensors.image.tobytes()


def test_paint_reads_no_more_pixels_than_the_setting_allows(photo: Path, painting: Path) -> None:
    with pytest.raises(ImageError, match=r"photo\.png': too many pixels .*image\.max_pixels is 99"):
        paint(photo, painting, "image.max_pixels=99", progress=False)
