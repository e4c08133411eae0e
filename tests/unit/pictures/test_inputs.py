from __future__ import annotations

import logging
import os
import re
import threading
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from conftest import make_picture, quickly
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from overpaint.errors import ImageError
from overpaint.pictures.colour.keeping import brought_to
from overpaint.pictures.deep.picture import DeepPicture, in_8_bits
from overpaint.pictures.inputs import Inputs, load_inputs, require_edges
from overpaint.pictures.io import read_bytes
from overpaint.pictures.masks import Masks, RegionMask


def inputs(
    content: tuple[int, int], *styles: tuple[int, int], start: Image.Image | None = None
) -> Inputs:
    """Pictures of these (width, height)."""
    names = ("photo.png", *(f"painting{i}.png" for i in range(len(styles))))
    pictures = [Image.new("RGB", size) for size in (content, *styles)]
    return Inputs(pictures[0], pictures[1:], start, names)


def test_pictures_are_read_in_the_sizes_of_their_files(tmp_path: Path) -> None:
    colours = {"photo": (9, 0, 0), "first": (0, 9, 0), "second": (0, 0, 9), "start": (9, 9, 9)}
    for width, (name, colour) in enumerate(colours.items(), 2):
        Image.new("RGB", (width, 3), colour).save(tmp_path / f"{name}.png")
    paths = {name: str(tmp_path / f"{name}.png") for name in colours}
    read = load_inputs(paths["photo"], [paths["first"], paths["second"]], start=paths["start"])
    assert read.start is not None
    pictures = [read.content, *read.styles, read.start]
    assert [picture.size for picture in pictures] == [(2, 3), (3, 3), (4, 3), (5, 3)]
    assert [picture.getpixel((0, 0)) for picture in pictures] == list(colours.values())
    assert read.names == (paths["photo"], paths["first"], paths["second"])
    assert load_inputs(paths["photo"], [paths["first"]]).start is None


def test_each_file_is_read_once_and_its_hash_is_that_of_the_bytes_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {str(tmp_path / f"{name}.png"): name for name in ("photo", "painting")}
    for path in files:
        Image.new("RGB", (2, 3), (len(path), 0, 0)).save(path)
    opened = []

    def counted(path: str) -> bytes:
        opened.append(path)
        return read_bytes(path)

    monkeypatch.setattr("overpaint.pictures.inputs.read_bytes", counted)
    photo, painting = files
    read = load_inputs(photo, [painting, photo, painting], start=painting)
    assert opened == [photo, painting]
    assert read.hashes == {path: sha256(Path(path).read_bytes()).hexdigest() for path in files}
    assert read.styles[0].getpixel((0, 0)) == read.styles[2].getpixel((0, 0))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_read_as_a_picture(tmp_path: Path, photo: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(photo.read_bytes()))
    writer.start()
    read = load_inputs(str(pipe), [str(photo)], start=str(pipe))
    writer.join()
    assert read.content.tobytes() == read.styles[0].tobytes()
    assert read.hashes[str(pipe)] == read.hashes[str(photo)]


def test_a_start_that_is_missing_is_named(photo: Path, painting: Path) -> None:
    with pytest.raises(ImageError, match=r"'gone\.png': no such file"):
        load_inputs(str(photo), [str(painting)], start="gone.png")


def test_photo_and_paintings_are_brought_to_one_longer_edge() -> None:
    sized = inputs((64, 48), (10, 40), (200, 100)).at(32)
    assert sized.content.size == (32, 24)
    assert [style.size for style in sized.styles] == [(8, 32), (32, 16)]
    assert sized.start is None


@pytest.mark.parametrize(("scale", "edge"), [(2.0, 64), (0.5, 16), (0.01, 1)])
def test_a_style_scale_resizes_the_paintings_alone(scale: float, edge: int) -> None:
    sized = inputs((64, 48), (100, 100)).at(32, style_scale=scale)
    assert sized.content.size == (32, 24)
    assert sized.styles[0].size == (edge, edge)


@pytest.mark.parametrize("size", [(64, 16), (16, 64), (8, 6)])
def test_the_start_covers_the_photo_and_is_cropped_around_its_middle(
    size: tuple[int, int],
) -> None:
    levels = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    middle = (slice(size[1] // 2 - 2, size[1] // 2 + 2), slice(size[0] // 2 - 2, size[0] // 2 + 2))
    levels[middle] = 255
    sized = inputs((64, 48), (9, 9), start=Image.fromarray(levels)).at(32)
    assert sized.start is not None
    assert sized.start.size == (32, 24)
    shown = np.asarray(sized.start, float)
    assert shown[11:13, 15:17].min() > 200
    np.testing.assert_allclose(shown, shown[::-1, ::-1], atol=1)  # nothing shifted
    assert shown[0, 0].max() == 0


@pytest.mark.parametrize("size", [(64, 16), (16, 64), (8, 6)])
def test_a_start_of_16_bits_is_cropped_as_one_of_8(size: tuple[int, int]) -> None:
    shallow = make_picture(size, seed=3).point(lambda level: 64 + level // 2)  # none is clipped
    levels = np.asarray(shallow).transpose(2, 0, 1).astype(np.uint16) * 257
    deep = DeepPicture(np.ascontiguousarray(levels))
    starts = [
        Inputs(Image.new("RGB", (64, 48)), [], one, ("photo",)).at(32).start
        for one in (shallow, deep)
    ]
    assert isinstance(starts[1], DeepPicture)
    shown = [np.asarray(in_8_bits(one), float) for one in starts if one is not None]
    assert np.abs(shown[0] - shown[1]).max() <= 1.1


def large_jpeg(path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A photo of 800x600 where 100 000 pixels are called large."""
    monkeypatch.setattr("overpaint.pictures.decoding._LARGE", 100_000)
    make_picture((800, 600), seed=1).save(path / "large.jpg", quality=95)
    return str(path / "large.jpg")


@pytest.mark.parametrize(
    ("edge", "decoded"),
    [(30, (100, 75)), (37, (100, 75)), (38, (200, 150)), (75, (200, 150)), (151, (800, 600))],
)
def test_a_large_jpeg_is_decoded_to_twice_the_size_needed_or_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edge: int, decoded: tuple[int, int]
) -> None:
    name = large_jpeg(tmp_path, monkeypatch)
    read = load_inputs(name, [name], edge=edge)
    assert read.content.size == decoded
    assert load_inputs(name, [name]).content.size == (800, 600)
    shown = [np.asarray(one.at(edge).content, float) for one in (read, load_inputs(name, [name]))]
    assert np.abs(shown[0] - shown[1]).mean() < 0.7


def test_a_jpeg_of_usual_size_is_decoded_whole(tmp_path: Path) -> None:
    make_picture((800, 600), seed=1).save(tmp_path / "x.jpg")
    name = str(tmp_path / "x.jpg")
    assert load_inputs(name, [name], edge=30).content.size == (800, 600)


def test_a_file_of_more_pixels_than_allowed_is_refused(photo: Path, painting: Path) -> None:
    names = str(photo), [str(painting)]
    assert load_inputs(*names, max_pixels=64 * 60).content.size == (64, 48)
    with pytest.raises(ImageError, match=r"photo\.png': too many pixels .*image\.max_pixels is 99"):
        load_inputs(*names, max_pixels=99)


def test_what_is_carried_is_of_the_photo(tmp_path: Path) -> None:
    for name, dots in (("photo", 300), ("painting", 96)):
        make_picture((20, 20), seed=1).save(tmp_path / f"{name}.png", dpi=(dots, dots))
    read = load_inputs(str(tmp_path / "photo.png"), [str(tmp_path / "painting.png")])
    assert read.carried.resolution == pytest.approx((300, 300), abs=0.02)


def test_the_pictures_as_read_are_left_alone() -> None:
    read = inputs((64, 48), (10, 40), start=Image.new("RGB", (7, 7)))
    read.at(16, style_scale=3.0)
    assert read.start is not None
    assert [one.size for one in (read.content, *read.styles, read.start)] == [
        (64, 48),
        (10, 40),
        (7, 7),
    ]


@pytest.mark.parametrize(
    ("content", "style", "scale", "edge"),
    [
        ((64, 64), (64, 64), 1.0, 16),
        ((64, 32), (64, 64), 1.0, 32),  # the photo's shorter edge
        ((64, 64), (20, 60), 1.0, 48),  # the painting's
        ((64, 64), (64, 64), 0.5, 32),  # the painting is half as large
        ((64, 32), (64, 64), 2.0, 32),  # and here twice; the photo counts
    ],
)
def test_the_smallest_edge_is_that_of_the_narrowest_picture(
    content: tuple[int, int], style: tuple[int, int], scale: float, edge: int
) -> None:
    assert inputs(content, (50, 50), style).smallest_edge(16, style_scale=scale) == edge


sides = st.integers(4, 40)


@quickly
@given(sides, sides, sides, sides, st.sampled_from([1, 2, 4, 8, 16]), st.floats(0.2, 3))
def test_pictures_at_the_smallest_edge_are_large_enough(
    width: int, height: int, wide: int, high: int, minimum: int, scale: float
) -> None:
    read = inputs((width, height), (wide, high))
    sized = read.at(read.smallest_edge(minimum, style_scale=scale), style_scale=scale)
    assert min(*sized.content.size, *sized.styles[0].size) >= minimum


@pytest.mark.parametrize(
    ("content", "styles", "name"),
    [
        ((64, 20), [(64, 64)], r"photo\.png': 64x20 becomes 32x10"),
        ((64, 64), [(64, 64), (20, 64)], r"painting1\.png': 20x64 becomes 10x32"),
    ],
)
def test_a_picture_too_narrow_for_the_encoder_is_named(
    content: tuple[int, int], styles: list[tuple[int, int]], name: str
) -> None:
    read = inputs(content, *styles)
    with pytest.raises(ImageError, match=rf"{name} pixels, .* need 16 ") as caught:
        require_edges(read, read.at(32), 16)
    require_edges(read, read.at(32), 10)
    (enough,) = re.findall(r"image\.size=(\d+)", str(caught.value))
    assert int(enough) > 32
    require_edges(read, read.at(int(enough)), 16)


def test_the_size_that_would_do_does_so_for_small_paintings_too() -> None:
    read = inputs((64, 64), (64, 32))
    with pytest.raises(ImageError, match=r"painting0\.png'.*image\.size=64\b"):
        require_edges(read, read.at(40, style_scale=0.5), 16, style_scale=0.5)
    require_edges(read, read.at(64, style_scale=0.5), 16, style_scale=0.5)


@pytest.mark.parametrize(("width", "told"), [(63, True), (64, False), (65, False)])
def test_a_photo_that_is_enlarged_is_told(
    caplog: pytest.LogCaptureFixture, width: int, told: bool
) -> None:
    read = inputs((width, 32), (8, 8))  # a painting may be enlarged
    with caplog.at_level(logging.INFO, "overpaint"):
        require_edges(read, read.at(64), 16)
    expected = "photo.png is 63x32 and is enlarged to 64x33; a smaller image.size costs less."
    assert caplog.messages == ([expected] if told else [])


def coloured(keep: str, **options: object) -> Inputs:
    """A photo, two paintings and the first of them as the start, from which colours are kept."""
    photo, *styles = (make_picture(size, seed) for seed, size in enumerate(SIZES))
    return Inputs(photo, styles, styles[0], ("p", "a", "b"), keep=keep, **options)  # type: ignore[arg-type]


SIZES = ((40, 30), (30, 36), (50, 20))


def test_every_painting_is_brought_to_the_photos_colours_at_the_size_compared() -> None:
    for keep in ("statistics", "histogram"):
        sized, plain = coloured(keep).at(20), coloured("none").at(20)
        assert sized.content.tobytes() == plain.content.tobytes()
        assert sized.photo is sized.content
        assert sized.colours is None
        for found, painting in zip(sized.styles, plain.styles, strict=True):
            assert found.tobytes() == brought_to(plain.content, painting, keep).tobytes()
            assert found.tobytes() != painting.tobytes()
        assert plain.start is not None
        assert sized.start is not None
        brought = brought_to(plain.content, plain.start, keep)
        assert sized.start.tobytes() == brought.tobytes(), "a painting to start from too"


def test_a_start_of_its_own_keeps_its_colours() -> None:
    start = make_picture((40, 30), seed=9)
    for keep in ("statistics", "histogram"):
        found = replace(coloured(keep), start=start).at(40).start
        assert found is not None
        assert found.tobytes() == start.tobytes()


def test_in_luminance_everything_is_grey_but_the_photos_colours_that_are_kept() -> None:
    sized, plain = coloured("luminance").at(20), coloured("none").at(20)
    assert sized.start is not None
    for picture in (sized.content, *sized.styles, sized.start):
        assert np.ptp(np.asarray(picture), axis=-1).max() <= 1
    assert sized.colours is sized.photo
    assert sized.photo.tobytes() == plain.content.tobytes()
    matched = coloured("luminance", match_lightness=True).at(20)
    means = [np.asarray(one.styles[0]).mean() for one in (sized, matched)]
    photo = np.asarray(sized.content).mean()
    assert abs(means[1] - photo) < 3 < abs(means[0] - photo)


def half(size: tuple[int, int], *, left: bool) -> Image.Image:
    """A mask of (width, height), white at one side."""
    mask = Image.new("L", size, 0 if left else 255)
    mask.paste(255 if left else 0, (0, 0, size[0] // 2, size[1]))
    return mask


def red_and_blue(keep: str, *, match_lightness: bool = False) -> Inputs:
    """A photo of a dark red and a light blue half, and one greyish painting in both."""
    noise = np.random.default_rng(1).normal(0, 12, (32, 48, 1))
    levels = np.zeros((32, 48, 3)) + noise
    levels[:, :24] += (150, 40, 40)
    levels[:, 24:] += (110, 150, 230)
    photo = Image.fromarray(levels.clip(0, 255).astype(np.uint8))
    painting = Image.blend(make_picture((40, 30), 3), Image.new("RGB", (40, 30), "grey"), 0.7)
    painting.paste("white", (30, 0, 40, 30))
    left, right = (half(photo.size, left=side) for side in (True, False))
    regions = (
        RegionMask(left, 0, Image.new("L", (40, 30), 255), weight=2.0),
        RegionMask(right, None),
        RegionMask(right, 0, half((40, 30), left=True)),
    )
    return Inputs(
        *(photo, [painting], None, ("photo", "painting")),
        keep=keep,
        match_lightness=match_lightness,
        masks=Masks(regions),
    )


@pytest.mark.parametrize("keep", ["statistics", "histogram"])
def test_a_painting_in_two_regions_has_the_photos_colours_of_each(keep: str) -> None:
    read = red_and_blue(keep)
    sized = read.at(48)
    assert [region.painting for region in sized.masks.regions] == [0, None, 1]
    assert [region.weight for region in sized.masks.regions] == [2.0, 1.0, 1.0]
    photo = np.asarray(sized.content, float)
    left, right = (np.asarray(style, float) for style in sized.styles)
    for found, wanted in ((left, photo[:, :24]), (right[:, :24], photo[:, 24:])):
        gap = found.mean((0, 1)) - wanted.mean((0, 1))
        assert np.abs(gap).max() < 4, "levels, of what is in its style_mask"
    small = read.at(20)
    assert [style.size for style in small.styles] == [(20, 15)] * 2
    assert [style.size for style in replace(read, keep="none").at(20).styles] == [(20, 15)]


def test_a_painting_in_two_regions_is_as_light_as_the_photo_in_each() -> None:
    sized = red_and_blue("luminance", match_lightness=True).at(48)
    photo = np.asarray(sized.content, float)
    left, right = (np.asarray(style, float) for style in sized.styles)
    for found, wanted in ((left, photo[:, :24]), (right[:, :24], photo[:, 24:])):
        assert found.mean() == pytest.approx(wanted.mean(), abs=4)
        assert found.std() == pytest.approx(wanted.std(), abs=4)


def test_edges_are_those_of_every_painting_whatever_regions_take_of_it() -> None:
    read = red_and_blue("statistics")
    require_edges(read, read.at(24), 16)
    with pytest.raises(ImageError, match="'painting': 40x30 becomes 20x15 pixels"):
        require_edges(read, read.at(48), 16, style_scale=20 / 48)
