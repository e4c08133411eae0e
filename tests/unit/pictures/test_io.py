from __future__ import annotations

import contextlib
import io
import logging
import re
import struct
import warnings
import zlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from conftest import quickly
from hypothesis import given, settings
from hypothesis import strategies as st
from icc import SRGB_PRIMARIES, cmyk_profile, grey_profile, rgb_profile
from PIL import Image, TiffImagePlugin

from overpaint.errors import ImageError, WriteError
from overpaint.pictures.io import (
    fit_size,
    read_picture,
    require_edge,
    resize,
    save_picture,
    size_of,
)

FORMATS = ("jpg", "png", "webp", "tif", "bmp", "gif")


def soft_levels(height: int = 48, width: int = 64) -> np.ndarray:
    """Waves of different lengths in the three channels, levels 20 to 235."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / 9), np.cos(y / 7), np.sin((x + y) / 11)]
    return np.round(127.5 + 107 * np.stack(waves, axis=-1)).astype(np.uint8)


def save(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


def loaded_colour(path: Path) -> tuple[int, int, int]:
    """The only colour of a flat picture."""
    colours = np.unique(np.asarray(read_picture(path)).reshape(-1, 3), axis=0)
    assert len(colours) == 1
    red, green, blue = (int(level) for level in colours[0])
    return red, green, blue


def png(depth: int, colour_type: int, samples: np.ndarray, transparent: bytes = b"") -> bytes:
    """A PNG file, also of kinds that Pillow reads but does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    height, width = samples.shape[:2]
    rows = samples.astype(">u2" if depth == 16 else "u1")
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            chunk(b"tRNS", transparent) if transparent else b"",
            chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))),
            chunk(b"IEND", b""),
        ]
    )


def srgb_level(light: float) -> float:
    """The 8-bit sRGB level of linear light in [0, 1], IEC 61966-2-1."""
    return 255 * (12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize(
    ("suffix", "options", "tolerance"),
    [
        ("png", {}, 0.0),
        ("bmp", {}, 0.0),
        ("tif", {}, 0.0),
        ("webp", {"lossless": True}, 0.0),
        ("webp", {"quality": 95}, 3.0),
        ("jpg", {"quality": 95, "subsampling": 0}, 1.5),
        ("gif", {}, 10.0),  # 256 colours
    ],
)
def test_every_format_is_read(
    tmp_path: Path, suffix: str, options: dict[str, object], tolerance: float
) -> None:
    levels = soft_levels()
    picture = read_picture(save(Image.fromarray(levels), tmp_path / f"x.{suffix}", **options))
    assert picture.mode == "RGB"
    assert picture.size == (64, 48)
    assert np.abs(np.asarray(picture, float) - levels).mean() <= tolerance


def test_a_path_may_be_a_string(tmp_path: Path) -> None:
    path = save(Image.new("RGB", (2, 3), (1, 2, 3)), tmp_path / "x.png")
    assert read_picture(str(path)).getpixel((1, 2)) == (1, 2, 3)


def test_the_content_decides_the_format_and_not_the_ending(tmp_path: Path) -> None:
    path = save(Image.new("RGB", (2, 3), (1, 2, 3)), tmp_path / "x.jpg", format="PNG")
    assert loaded_colour(path) == (1, 2, 3)


def test_grey_becomes_three_equal_channels(tmp_path: Path) -> None:
    grey = soft_levels()[..., 0]
    picture = read_picture(save(Image.fromarray(grey), tmp_path / "grey.png"))
    np.testing.assert_array_equal(np.asarray(picture), np.stack([grey] * 3, axis=-1))


def test_one_bit_becomes_black_and_white(tmp_path: Path) -> None:
    bits = np.array([[True, False, True], [False, False, True]])
    picture = read_picture(save(Image.fromarray(bits), tmp_path / "bits.png"))
    np.testing.assert_array_equal(np.asarray(picture), np.stack([bits * 255] * 3, axis=-1))


def palette_picture() -> tuple[Image.Image, np.ndarray, np.ndarray]:
    """A picture of mode P, its indices and its palette."""
    palette = np.array([[250, 10, 20], [0, 200, 100], [30, 60, 240], [90, 90, 0]], dtype=np.uint8)
    indices = np.arange(24, dtype=np.uint8).reshape(4, 6) % 4
    image = Image.fromarray(indices).convert("P")
    image.putdata(indices.ravel().tolist())
    image.putpalette(palette.ravel().tolist())
    return image, indices, palette


def test_palette_picture_shows_its_palettes_colours(tmp_path: Path) -> None:
    image, indices, palette = palette_picture()
    picture = read_picture(save(image, tmp_path / "palette.png"))
    np.testing.assert_array_equal(np.asarray(picture), palette[indices])


@pytest.mark.parametrize(
    ("transparency", "alphas"),
    [(bytes([0, 255, 128, 51]), [0, 255, 128, 51]), (2, [255, 255, 0, 255])],
)
def test_palette_picture_with_transparency_lies_over_white(
    tmp_path: Path, transparency: bytes | int, alphas: list[int]
) -> None:
    image, indices, palette = palette_picture()
    path = save(image, tmp_path / "palette.png", transparency=transparency)
    alpha = np.array(alphas)[indices][..., None] / 255
    expected = palette[indices] * alpha + 255 * (1 - alpha)
    assert np.abs(np.asarray(read_picture(path)) - expected).max() <= 1


@pytest.mark.parametrize("alpha", [0, 64, 255])
@pytest.mark.parametrize(("mode", "colour"), [("LA", (100,)), ("RGBA", (10, 200, 100))])
def test_transparency_lies_over_white(
    tmp_path: Path, mode: str, colour: tuple[int, ...], alpha: int
) -> None:
    path = save(Image.new(mode, (3, 3), (*colour, alpha)), tmp_path / "x.png")
    expected = [(level * alpha + 255 * (255 - alpha)) / 255 for level in colour]
    assert loaded_colour(path) == pytest.approx(expected * (3 // len(colour)), abs=1)


@pytest.mark.parametrize(
    ("mode", "colour", "key"), [("L", 100, 100), ("RGB", (1, 2, 3), (1, 2, 3)), ("1", 0, 0)]
)
def test_a_colour_declared_transparent_is_white(
    tmp_path: Path, mode: str, colour: int | tuple[int, ...], key: int | tuple[int, ...]
) -> None:
    path = save(Image.new(mode, (3, 3), colour), tmp_path / "x.png", transparency=key)
    assert loaded_colour(path) == (255, 255, 255)


def test_transparent_webp_lies_over_white(tmp_path: Path) -> None:
    path = save(Image.new("RGBA", (3, 3), (10, 200, 100, 0)), tmp_path / "x.webp", lossless=True)
    assert loaded_colour(path) == (255, 255, 255)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey_is_scaled_to_8_bits(tmp_path: Path, suffix: str) -> None:
    deep = np.linspace(0, 65535, 48 * 64).astype(np.uint16).reshape(48, 64)
    picture = read_picture(save(Image.fromarray(deep), tmp_path / f"deep.{suffix}"))
    shown = np.asarray(picture, float)
    assert shown.shape == (48, 64, 3)
    assert np.abs(shown - deep[..., None] / 257).max() <= 0.5
    assert shown[0, 0].tolist() == [0, 0, 0]
    assert shown[-1, -1].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    ("colour_type", "samples", "expected"),
    [
        (2, (10000, 30000, 60000), (38.9, 116.7, 233.5)),
        (4, (10000, 32768), (147.0, 147.0, 147.0)),
        (6, (10000, 30000, 60000, 32768), (147.0, 185.9, 244.2)),
    ],
    ids=["RGB", "grey and alpha", "RGBA"],
)
def test_other_16_bit_pngs_are_read_to_a_grey_level(
    tmp_path: Path, colour_type: int, samples: tuple[int, ...], expected: tuple[float, ...]
) -> None:
    path = tmp_path / "deep.png"
    path.write_bytes(png(16, colour_type, np.tile(samples, (2, 3, 1))))
    assert loaded_colour(path) == pytest.approx(expected, abs=1)


def test_float_grey_runs_from_0_to_1(tmp_path: Path) -> None:
    grey = np.array([[0.0, 0.2], [0.6, 1.0]], dtype=np.float32)
    picture = read_picture(save(Image.fromarray(grey), tmp_path / "float.tif"))
    assert np.asarray(picture)[..., 1].tolist() == [[0, 51], [153, 255]]


@pytest.mark.parametrize(
    ("values", "limit"), [([[-0.5]], "1"), ([[1.5]], "1"), ([[np.nan]], "1"), ([[70000]], "65535")]
)
def test_grey_of_unknown_scale_is_refused(
    tmp_path: Path, values: list[list[float]], limit: str
) -> None:
    array = np.array(values, dtype=np.int32 if limit == "65535" else np.float32)
    path = save(Image.fromarray(array), tmp_path / "odd.tif")
    with pytest.raises(ImageError, match=rf"odd\.tif.* outside 0 to {limit}\b"):
        read_picture(path)


@pytest.mark.parametrize(
    ("inks", "colour"),
    [
        ((0, 0, 0, 0), (255, 255, 255)),
        ((0, 255, 255, 0), (255, 0, 0)),
        ((255, 0, 0, 0), (0, 255, 255)),
        ((0, 0, 0, 255), (0, 0, 0)),
    ],
)
def test_cmyk_jpeg_shows_its_colours(
    tmp_path: Path, inks: tuple[int, ...], colour: tuple[int, ...]
) -> None:
    path = save(Image.new("CMYK", (16, 16), inks), tmp_path / "inks.jpg", quality=95)
    assert loaded_colour(path) == pytest.approx(colour, abs=3)


def test_an_animation_shows_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    path = save(frames[0], tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    with Image.open(path) as image:
        assert image.n_frames == 2
    assert loaded_colour(path) == (255, 0, 0)


# What the EXIF standard says about row 0 and column 0, as array operations on the stored picture.
UPRIGHT = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].transpose(1, 0, 2),
    8: lambda stored: np.rot90(stored, 1),
}


@pytest.mark.parametrize(
    ("orientation", "suffix"),
    [*((orientation, "png") for orientation in UPRIGHT), (6, "jpg"), (6, "tif"), (6, "webp")],
)
def test_a_turned_photo_stands_upright(tmp_path: Path, orientation: int, suffix: str) -> None:
    stored = np.zeros((16, 32, 3), dtype=np.uint8)
    stored[:8, :8] = (240, 30, 30)
    stored[:8, 24:] = (30, 240, 30)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, object] = {"jpg": {"quality": 95}, "webp": {"lossless": True}}.get(
        suffix, {}
    )
    path = save(Image.fromarray(stored), tmp_path / f"x.{suffix}", exif=exif, **options)
    shown = np.asarray(read_picture(path), float)
    expected = UPRIGHT[orientation](stored)
    assert shown.shape == expected.shape
    assert np.abs(shown - expected).mean() <= (4 if suffix == "jpg" else 0)


@pytest.mark.parametrize("orientation", [0, 9])
def test_an_orientation_that_does_not_exist_turns_nothing(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(Image.new("RGB", (3, 2)), tmp_path / "x.png", exif=exif)
    assert read_picture(path).size == (3, 2)


COLOUR = (20, 100, 200)
LINEAR_AS_SRGB = tuple(srgb_level(level / 255) for level in COLOUR)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
def test_linear_light_is_converted_to_srgb(tmp_path: Path, suffix: str) -> None:
    assert list(LINEAR_AS_SRGB) == pytest.approx([79.1, 168.1, 229.1], abs=0.1)
    options = {"webp": {"lossless": True}}.get(suffix, {})
    path = tmp_path / f"x.{suffix}"
    save(Image.new("RGB", (16, 16), COLOUR), path, icc_profile=rgb_profile(1.0), **options)
    assert loaded_colour(path) == pytest.approx(LINEAR_AS_SRGB, abs=2)


def test_exchanged_primaries_exchange_the_channels(tmp_path: Path) -> None:
    profile = rgb_profile(2.2, SRGB_PRIMARIES[::-1])
    path = save(Image.new("RGB", (4, 4), COLOUR), tmp_path / "x.png", icc_profile=profile)
    expected = [srgb_level((level / 255) ** 2.2) for level in reversed(COLOUR)]
    assert expected == pytest.approx([201.3, 100.0, 12.1], abs=0.1)
    assert loaded_colour(path) == pytest.approx(expected, abs=2)


def test_the_profile_counts_below_transparency(tmp_path: Path) -> None:
    image = Image.new("RGBA", (4, 4), (*COLOUR, 102))
    path = save(image, tmp_path / "x.png", icc_profile=rgb_profile(1.0))
    expected = [0.4 * level + 0.6 * 255 for level in LINEAR_AS_SRGB]
    assert loaded_colour(path) == pytest.approx(expected, abs=2)


def test_the_profile_counts_for_a_palette(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4))
    image.putpalette(COLOUR)
    path = save(image, tmp_path / "x.png", icc_profile=rgb_profile(1.0))
    assert loaded_colour(path) == pytest.approx(LINEAR_AS_SRGB, abs=2)


def test_the_profile_counts_for_a_turned_photo(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "x.png"
    save(Image.new("RGB", (4, 2), COLOUR), path, exif=exif, icc_profile=rgb_profile(1.0))
    assert read_picture(path).size == (2, 4)
    assert loaded_colour(path) == pytest.approx(LINEAR_AS_SRGB, abs=2)


@pytest.mark.parametrize(
    ("mode", "colour"), [("L", 50), ("LA", (50, 255)), ("I;16", 50 * 257)], ids=["L", "LA", "I;16"]
)
def test_the_profile_counts_for_grey(
    tmp_path: Path, mode: str, colour: int | tuple[int, int]
) -> None:
    image = Image.new(mode, (4, 4), colour)
    path = save(image, tmp_path / "x.png", icc_profile=grey_profile(1.0))
    assert loaded_colour(path) == pytest.approx([122.4] * 3, abs=1.5)


def test_inks_are_converted_by_their_profile(tmp_path: Path) -> None:
    path = tmp_path / "inks.jpg"
    profile = cmyk_profile((128, 128, 128))  # L* = 50.2, neutral
    save(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), path, icc_profile=profile)
    luminance = ((128 * 100 / 255 + 16) / 116) ** 3
    assert loaded_colour(path) == pytest.approx([srgb_level(luminance)] * 3, abs=3)


@pytest.mark.parametrize(
    "profile", [b"no profile at all" * 20, grey_profile(1.0)], ids=["garbage", "of another mode"]
)
def test_a_useless_profile_is_ignored_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, profile: bytes
) -> None:
    path = save(Image.new("RGB", (4, 4), COLOUR), tmp_path / "x.png", icc_profile=profile)
    assert loaded_colour(path) == COLOUR
    levels = [record.levelno for record in caplog.records]
    assert levels == [logging.WARNING]
    assert "profile ignored" in caplog.text


def refused(path: Path) -> str:
    with pytest.raises(ImageError, match=re.escape(str(path))) as caught:
        read_picture(path)
    return str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "missing.png")


def test_an_empty_file_is_called_empty(tmp_path: Path) -> None:
    path = tmp_path / "empty.jpg"
    path.touch()
    assert "empty" in refused(path)


@pytest.mark.parametrize("text", ["not a picture\n" * 50, "picture: 1", "\0" * 99])
def test_a_text_file_is_no_picture(tmp_path: Path, text: str) -> None:
    path = tmp_path / "notes.jpg"
    path.write_text(text)
    assert "not a picture" in refused(path)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert "directory" in refused(tmp_path).lower()


def test_a_path_through_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused(tmp_path / "file" / "x.png")


@pytest.mark.parametrize("share", [0.3, 0.9])
@pytest.mark.parametrize("suffix", FORMATS)
def test_a_truncated_file_is_called_damaged(tmp_path: Path, suffix: str, share: float) -> None:
    path = save(Image.fromarray(soft_levels(96, 128)), tmp_path / f"half.{suffix}")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    assert "damaged" in refused(path)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(suffix=st.sampled_from(FORMATS), data=st.data())
def test_damage_anywhere_is_survived_or_refused(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, data: st.DataObject
) -> None:
    buffer = io.BytesIO()
    kind = {"jpg": "JPEG", "tif": "TIFF"}.get(suffix, suffix)
    Image.fromarray(soft_levels(8, 9)).save(buffer, kind, icc_profile=rgb_profile(2.2))
    damaged = bytearray(buffer.getvalue())
    spots = st.lists(st.tuples(st.integers(0, len(damaged) - 1), st.integers(0, 255)), max_size=9)
    for position, value in data.draw(spots):
        damaged[position] = value
    path = tmp_path_factory.mktemp("damaged") / f"x.{suffix}"
    path.write_bytes(damaged)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow remarks on metadata that it skips
        with contextlib.suppress(ImageError):
            assert read_picture(path).mode == "RGB"


def test_a_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(Image.new("RGB", (32, 32)), tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    assert "too many pixels" in refused(path)


def test_a_large_picture_below_the_limit_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(Image.new("RGB", (32, 32)), tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 600)  # Pillow only warns up to twice of it
    assert read_picture(path).size == (32, 32)


edges = st.integers(1, 20_000)


@quickly
@given(edges, edges, st.integers(1, 4096))
def test_the_longer_edge_fits_exactly_and_the_aspect_stays(
    height: int, width: int, long_edge: int
) -> None:
    fitted = fit_size((height, width), long_edge)
    exact = [Fraction(edge * long_edge, max(height, width)) for edge in (height, width)]
    assert max(fitted) == long_edge
    assert min(fitted) >= 1
    for edge, wanted in zip(fitted, exact, strict=True):
        assert edge == 1 or abs(edge - wanted) <= Fraction(1, 2) + Fraction(1, 10**6)


@pytest.mark.parametrize(
    ("size", "long_edge", "expected"),
    [
        ((480, 640), 512, (384, 512)),
        ((640, 480), 512, (512, 384)),
        ((100, 100), 512, (512, 512)),
        ((1, 100_000), 512, (1, 512)),
        ((3, 4), 4, (3, 4)),
    ],
)
def test_sizes_are_height_and_width(
    size: tuple[int, int], long_edge: int, expected: tuple[int, int]
) -> None:
    assert fit_size(size, long_edge) == expected


def test_a_pictures_size_is_height_and_width() -> None:
    assert size_of(Image.new("RGB", (64, 48))) == (48, 64)


@pytest.mark.parametrize("size", [(10, 20), (96, 64), (1, 1)])
def test_resizing_gives_the_height_and_width_asked_for(size: tuple[int, int]) -> None:
    picture = resize(Image.new("RGB", (64, 48), (9, 99, 199)), size)
    assert picture.size == (size[1], size[0])
    assert picture.getcolors() == [(size[0] * size[1], (9, 99, 199))]


def test_resizing_keeps_left_and_right() -> None:
    halves = Image.new("RGB", (64, 48), (0, 0, 0))
    halves.paste((255, 255, 255), (0, 0, 32, 48))
    small = resize(halves, (12, 16))
    assert small.getpixel((1, 6)) == (255, 255, 255)
    assert small.getpixel((14, 6)) == (0, 0, 0)


def test_a_picture_of_the_right_size_is_not_resampled() -> None:
    levels = soft_levels()
    np.testing.assert_array_equal(np.asarray(resize(Image.fromarray(levels), (48, 64))), levels)


@pytest.mark.parametrize("size", [(15, 512), (512, 15)])
def test_a_picture_too_small_for_the_layers_is_refused(size: tuple[int, int]) -> None:
    image = Image.new("RGB", (2 * size[1], 2 * size[0]))
    became = rf"{image.width}x{image.height} becomes {size[1]}x{size[0]} .* need 16 "
    with pytest.raises(ImageError, match=rf"'thin\.png': {became}"):
        require_edge(image, size, 16, "thin.png", enough=547)


@pytest.mark.parametrize(("enough", "told"), [(547, True), (8192, True), (8193, False)])
def test_the_size_that_would_do_is_told_if_it_is_a_usual_one(enough: int, told: bool) -> None:
    with pytest.raises(ImageError, match=r"crop the picture") as caught:
        require_edge(Image.new("RGB", (64, 2)), (15, 512), 16, "thin.png", enough=enough)
    assert (f"use image.size={enough}, " in str(caught.value)) == told
    assert ("image.size" in str(caught.value)) == told


@pytest.mark.parametrize("size", [(16, 512), (512, 16), (16, 16)])
def test_a_picture_just_large_enough_passes(size: tuple[int, int]) -> None:
    require_edge(Image.new("RGB", (1, 1)), size, 16, "thin.png", enough=547)


@pytest.mark.parametrize(
    ("name", "kind", "tolerance"),
    [
        ("x.png", "PNG", 0.0),
        ("X.PNG", "PNG", 0.0),
        ("x.tif", "TIFF", 0.0),
        ("x.tiff", "TIFF", 0.0),
        ("x.jpg", "JPEG", 1.5),
        ("x.JPEG", "JPEG", 1.5),
        ("x.webp", "WEBP", 3.0),
        ("a.b.png", "PNG", 0.0),
    ],
)
def test_the_ending_chooses_the_format(
    tmp_path: Path, name: str, kind: str, tolerance: float
) -> None:
    levels, path = soft_levels(), tmp_path / name
    save_picture(Image.fromarray(levels), path, {"Software": "test"})
    with Image.open(path) as image:
        assert image.format == kind
        assert image.mode == "RGB"
        assert np.abs(np.asarray(image, float) - levels).mean() <= tolerance
    assert list(tmp_path.iterdir()) == [path]


def test_tiff_is_compressed(tmp_path: Path) -> None:
    save_picture(Image.new("RGB", (64, 64)), tmp_path / "x.tif")
    with Image.open(tmp_path / "x.tif") as image:
        assert isinstance(image, TiffImagePlugin.TiffImageFile)
        assert image.info["compression"] == "tiff_lzw"


def test_png_text_is_read_back(tmp_path: Path) -> None:
    text = {"Software": "overpaint 1", "settings": "seed: 0\n# grün, 緑\n", "empty": ""}
    save_picture(Image.new("RGB", (4, 4)), tmp_path / "x.png", text)
    with Image.open(tmp_path / "x.png") as image:
        assert dict(image.text) == text


def test_png_without_text_has_none(tmp_path: Path) -> None:
    save_picture(Image.new("RGB", (4, 4)), tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as image:
        assert image.text == {}


def test_saving_replaces_an_older_picture(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    for colour in ((1, 2, 3), (4, 5, 6)):
        save_picture(Image.new("RGB", (4, 4), colour), str(path))
    assert loaded_colour(path) == (4, 5, 6)


@pytest.mark.parametrize(("name", "suffix"), [("x.bmp", ".bmp"), ("x", ""), ("x.png.txt", ".txt")])
def test_an_unknown_ending_is_refused(tmp_path: Path, name: str, suffix: str) -> None:
    with pytest.raises(ImageError, match=rf"{re.escape(name)}': cannot write '{suffix}'"):
        save_picture(Image.new("RGB", (4, 4)), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "x.png"
    with pytest.raises(WriteError, match=rf"{re.escape(str(path))}': cannot be written \(No such"):
        save_picture(Image.new("RGB", (4, 4)), path)


@pytest.mark.parametrize(("suffix", "reason"), [(".webp", "16383"), (".jpg", "broken data")])
def test_a_picture_too_wide_for_its_format_is_refused(
    tmp_path: Path, suffix: str, reason: str
) -> None:
    with pytest.raises(WriteError, match=rf"wide{suffix}': cannot be written \(.*{reason}"):
        save_picture(Image.new("RGB", (65536, 1)), tmp_path / f"wide{suffix}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("older", [None, (1, 2, 3)])
def test_a_failed_write_leaves_only_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, older: tuple[int, int, int] | None
) -> None:
    path = tmp_path / "x.png"
    if older:
        save_picture(Image.new("RGB", (4, 4), older), path)

    def fill_the_disk(target: Path, data: bytes) -> None:
        target.write_text("half a picture")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fill_the_disk)
        with pytest.raises(WriteError, match=r"x\.png': cannot be written \(No space left"):
            save_picture(Image.new("RGB", (4, 4), (9, 9, 9)), path)
    assert list(tmp_path.iterdir()) == ([path] if older else [])
    if older:
        assert loaded_colour(path) == older
