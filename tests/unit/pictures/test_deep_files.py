from __future__ import annotations

import io
import logging
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from icc import grey_profile, rgb_profile, table_profile
from numpy.typing import NDArray
from PIL import Image

from overpaint.errors import ImageError, NotEnoughMemoryError
from overpaint.pictures.decoding import decoded, decoded_whole
from overpaint.pictures.deep.picture import DeepPicture, Picture, in_8_bits
from overpaint.pictures.deep.profiles import srgb_profile
from overpaint.pictures.io import read_picture, read_png_text, read_whole, save_picture

Samples = NDArray[np.uint16]


def draw(channels: int, height: int = 13, width: int = 17, seed: int = 0) -> Samples:
    samples = np.random.default_rng(seed).integers(0, 65536, (height, width, channels))
    return samples.astype(np.uint16)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(samples: Samples, *, before: bytes = b"", filters: int = 0) -> bytes:
    """A PNG of 16 bits; `filters` 2 writes each row as its difference to the one above."""
    height, width, channels = samples.shape
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = samples.astype(">u2").view(np.uint8).reshape(height, -1)
    if filters == 2:
        rows = np.diff(rows, axis=0, prepend=np.zeros_like(rows[:1]))
    body = b"".join(bytes([filters]) + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            before,
            chunk(b"IDAT", zlib.compress(body)),
            chunk(b"IEND", b""),
        ]
    )


def tiff(
    samples: Samples,
    *,
    order: str = "<",
    deflated: bool = False,
    extra: int | None = None,
    more: bytes = b"",
    size: tuple[int, int] | None = None,
    orientation: int = 1,
) -> bytes:
    """A TIFF of 16 bits by the specification, one strip behind the header.

    Args:
        samples: (H, W, C).
        order: `<` or `>`.
        deflated: with the horizontal predictor.
        extra: what the last channel is: 1 alpha that colours are multiplied by, 2 alpha.
        more: bytes at the end, for a second page.
        size: (height, width) that it says, instead of its own.
        orientation: as EXIF counts.
    """
    height, width, channels = samples.shape
    pixels = samples
    if deflated:
        pixels = np.diff(samples, axis=1, prepend=np.zeros_like(samples[:, :1]))
    strip = pixels.astype(f"{order}u2").tobytes()
    strip = zlib.compress(strip) if deflated else strip
    strip += bytes(len(strip) % 2)
    bits = struct.pack(f"{order}{channels}H", *[16] * channels)
    bits_at = 8 + len(strip)
    height, width = size or (height, width)
    tags = [
        *[(256, 4, 1, width), (257, 4, 1, height)],
        (258, 3, channels, bits_at if channels > 2 else None),
        *[(259, 3, 1, 8 if deflated else 1), (262, 3, 1, 2 if channels > 2 else 1)],
        *[(273, 4, 1, 8), (274, 3, 1, orientation), (277, 3, 1, channels)],
        *[(278, 4, 1, height), (279, 4, 1, len(strip)), (317, 3, 1, 2 if deflated else 1)],
        *([(338, 3, 1, extra)] if extra is not None else []),
    ]
    table = struct.pack(f"{order}H", len(tags))
    for tag, kind, count, value in tags:
        packed = (
            bits.ljust(4, b"\0")
            if value is None
            else struct.pack(f"{order}{'H2x' if kind == 3 and count == 1 else 'I'}", value)
        )
        table += struct.pack(f"{order}HHI", tag, kind, count) + packed
    mark = b"II*\0" if order == "<" else b"MM\0*"
    head = mark + struct.pack(f"{order}I", bits_at + len(bits))
    return head + strip + bits + table + bytes(4) + more


def levels_of(picture: Picture) -> Samples:
    """(H, W, 3)."""
    assert isinstance(picture, DeepPicture)
    return picture.levels.transpose(1, 2, 0)


@pytest.mark.parametrize(
    "make",
    [
        png,
        lambda samples: png(samples, filters=2),
        tiff,
        lambda samples: tiff(samples, order=">"),
        lambda samples: tiff(samples, deflated=True),
        lambda samples: tiff(samples, deflated=True, order=">"),
    ],
    ids=["png", "png filtered", "tiff", "big-endian", "deflated", "deflated big-endian"],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_16_bits_are_read_to_the_last(make: object, channels: int) -> None:
    assert callable(make)
    samples = draw(channels)
    read = levels_of(decoded_whole(make(samples), "x"))
    np.testing.assert_array_equal(read, np.broadcast_to(samples, (13, 17, 3)))


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("make", [png, lambda samples: tiff(samples, extra=2)], ids=["png", "tiff"])
def test_transparency_of_16_bits_lies_over_white(make: object, channels: int) -> None:
    assert callable(make)
    samples = draw(channels)
    samples[0, :3, -1] = 0, 65535, 32768
    colours, alpha = samples[..., :-1].astype(float), samples[..., -1:] / 65535
    exact = np.broadcast_to(colours * alpha + 65535 * (1 - alpha), (13, 17, 3))
    read = levels_of(decoded_whole(make(samples), "x"))
    assert np.abs(read - exact).max() <= 0.51
    assert read[0, 0].tolist() == [65535] * 3


def test_alpha_that_colours_are_multiplied_by_is_taken_out() -> None:
    samples = np.array([[[20000, 10000, 5000, 30000]]], np.uint16)
    read = levels_of(decoded_whole(tiff(samples, extra=1), "x"))
    exact = samples[..., :3] + 65535.0 - 30000
    assert np.abs(read - exact).max() <= 2


def test_a_16_bit_colour_declared_transparent_is_white_and_its_neighbours_keep_16_bits() -> None:
    samples = np.array([[[10000, 30000, 257], [10000, 30000, 258]]], np.uint16)
    key = chunk(b"tRNS", struct.pack(">3H", 10000, 30000, 257))
    read = levels_of(decoded_whole(png(samples, before=key), "x"))
    assert read.tolist() == [[[65535] * 3, [10000, 30000, 258]]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_picture_of_16_bits_stands_upright(orientation: int) -> None:
    samples = draw(3)
    samples[:] &= 0xFF00
    read = decoded_whole(tiff(samples, orientation=orientation), "x")
    stored = Image.fromarray((samples >> 8).astype(np.uint8))
    data, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    stored.save(data, "PNG", exif=exif)
    np.testing.assert_array_equal(
        levels_of(read) >> 8, np.asarray(decoded(data.getvalue(), "x")).astype(np.uint16)
    )
    grey_and_alpha = draw(2)  # which Pillow cannot open, and so not turn
    grey_and_alpha[..., 1] = 65535
    shown = decoded_whole(tiff(grey_and_alpha, extra=2, orientation=orientation), "x")
    assert shown.size == read.size


def test_the_first_page_of_several_counts() -> None:
    first, second = draw(3, seed=1), draw(3, seed=2)
    pages = [Image.fromarray((one[..., 0]).copy()) for one in (first, second)]
    data = io.BytesIO()
    pages[0].save(data, "TIFF", save_all=True, append_images=pages[1:], compression="tiff_lzw")
    read = levels_of(decoded_whole(data.getvalue(), "x"))
    np.testing.assert_array_equal(read, np.broadcast_to(first[..., :1], read.shape))


@pytest.mark.parametrize(
    ("values", "kind"),
    [([[0.0, 0.2], [0.6, 1.0]], np.float32), ([[0, 13107], [39321, 65535]], np.int32)],
)
def test_float_and_long_grey_keep_16_bits(values: list[list[float]], kind: type) -> None:
    data = io.BytesIO()
    Image.fromarray(np.array(values, dtype=kind)).save(data, "TIFF")
    read = levels_of(decoded_whole(data.getvalue(), "x"))
    assert read[..., 1].tolist() == [[0, 13107], [39321, 65535]]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP"])
@pytest.mark.parametrize("profile", [None, srgb_profile()], ids=["plain", "sRGB"])
def test_8_bits_in_srgb_are_read_as_ever(kind: str, profile: bytes | None) -> None:
    data = io.BytesIO()
    image = Image.fromarray((draw(3) >> 8).astype(np.uint8))
    image.save(data, kind, **({"icc_profile": profile} if profile else {}))
    whole, before = decoded_whole(data.getvalue(), "x"), decoded(data.getvalue(), "x")
    assert isinstance(whole, Image.Image)
    assert whole.mode == "RGB"
    assert whole.tobytes() == before.tobytes()


@pytest.mark.parametrize("suffix", ["png", "tif", "tiff"])
def test_what_is_written_in_16_bits_is_read_back_to_the_last(tmp_path: Path, suffix: str) -> None:
    picture = DeepPicture(np.ascontiguousarray(draw(3, 40, 61).transpose(2, 0, 1)))
    path = tmp_path / f"x.{suffix}"
    save_picture(picture, path)
    read = read_whole(path)
    assert isinstance(read, DeepPicture)
    np.testing.assert_array_equal(read.levels, picture.levels)
    with Image.open(path) as image:  # another reader sees the upper bytes, and the profile
        upper = np.asarray(image).transpose(2, 0, 1)
        assert image.info["icc_profile"] == srgb_profile()
    assert np.abs(upper.astype(int) - (picture.levels >> 8)).max() <= 1
    assert list(tmp_path.iterdir()) == [path]
    assert read_picture(path).mode == "RGB"


def test_the_bits_of_a_png_are_written_most_significant_first(tmp_path: Path) -> None:
    picture = DeepPicture(np.array([[[0x0102]], [[0x0304]], [[0x0506]]], np.uint16))
    save_picture(picture, tmp_path / "x.png")
    data = (tmp_path / "x.png").read_bytes()
    assert data[24:26] == b"\x10\x02"  # 16 bits, red, green and blue
    at = data.index(b"IDAT")
    (length,) = struct.unpack(">I", data[at - 4 : at])
    assert zlib.decompress(data[at + 4 : at + 4 + length])[1:] == bytes([1, 2, 3, 4, 5, 6])


def test_a_png_of_16_bits_has_texts_before_its_pixels(tmp_path: Path) -> None:
    text = {"Software": "overpaint 1", "settings": "seed: 0\n# grün, 緑\n" * 50}
    save_picture(DeepPicture(np.zeros((3, 4, 5), np.uint16)), tmp_path / "x.png", text)
    assert read_png_text(tmp_path / "x.png").items() >= text.items()
    data = (tmp_path / "x.png").read_bytes()
    kinds, at = [], 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kinds.append(data[at + 4 : at + 8])
        assert struct.unpack_from(">I", data, at + 8 + length)[0] == zlib.crc32(
            data[at + 4 : at + 8 + length]
        )
        at += 12 + length
    assert kinds[0] == b"IHDR"
    assert kinds[-2:] == [b"IDAT", b"IEND"]
    assert sorted(kinds[1:-2]) == [b"iCCP", b"iTXt", b"iTXt"]


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
def test_every_result_of_8_bits_says_that_it_is_srgb(tmp_path: Path, suffix: str) -> None:
    save_picture(Image.new("RGB", (8, 8), (200, 30, 90)), tmp_path / f"x.{suffix}")
    with Image.open(tmp_path / f"x.{suffix}") as image:
        assert image.info["icc_profile"] == srgb_profile()
    assert (tmp_path / f"x.{suffix}").stat().st_size < 2500


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_a_format_of_8_bits_gets_8(tmp_path: Path, suffix: str) -> None:
    flat = DeepPicture(np.full((3, 16, 16), 40 * 257 + 60, np.uint16))
    save_picture(flat, tmp_path / f"x.{suffix}")
    assert read_picture(tmp_path / f"x.{suffix}").getpixel((5, 5)) == pytest.approx(
        (40,) * 3, abs=2
    )


def test_profiles_of_16_bit_files_count_to_the_last_bit() -> None:
    ramp = np.linspace(0, 65535, 3000).astype(np.uint16)[None, :, None].repeat(3, 2)
    data = png(ramp, before=chunk(b"iCCP", b"x\0\0" + zlib.compress(rgb_profile(1.0))))
    read = levels_of(decoded_whole(data, "x"))
    light = ramp / 65535
    exact = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(read - 65535 * exact).max() < 12  # the white of the profile is rounded
    assert len(np.unique(read[..., 0])) > 2000


def test_a_profile_that_is_a_table_counts_for_16_bits() -> None:
    profile = table_profile((128, 128, 128))  # L* = 50.2, neutral
    samples = draw(3)
    samples[..., 0] = 65535
    data = png(samples, before=chunk(b"iCCP", b"x\0\0" + zlib.compress(profile)))
    light = ((128 * 100 / 255 + 16) / 116) ** 3
    grey = 65535 * (1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(levels_of(decoded_whole(data, "x")) - grey).max() < 200


def test_inks_of_16_bits_are_converted_to_light() -> None:
    vips = pytest.importorskip("pyvips")
    inks = np.zeros((4, 5, 4), np.uint16)
    inks[0, :, 3] = 65535
    image = vips.Image.new_from_array(inks).copy(interpretation="cmyk")
    read = levels_of(decoded_whole(image.tiffsave_buffer(), "x"))
    assert read[0].max() < 20_000
    assert read[1:].min() > 64_000


@pytest.mark.parametrize("profile", [b"no profile at all" * 20, None], ids=["garbage", "grey"])
def test_a_useless_profile_costs_a_line_and_no_bit(
    caplog: pytest.LogCaptureFixture, profile: bytes | None
) -> None:
    samples = draw(3)
    chosen = grey_profile(1.0) if profile is None else profile
    data = png(samples, before=chunk(b"iCCP", b"x\0\0" + zlib.compress(chosen)))
    np.testing.assert_array_equal(levels_of(decoded_whole(data, "x")), samples)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "profile ignored" in record.message


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("make", [png, tiff, lambda samples: tiff(samples, deflated=True)])
def test_16_bits_cut_short_are_called_damaged(
    capfd: pytest.CaptureFixture[str], make: object, share: float
) -> None:
    assert callable(make)
    data = make(draw(3, 60, 50))
    with pytest.raises(ImageError, match=r"'x': .*damaged"):
        decoded_whole(data[: int(share * len(data))], "x")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("size", [(60_000, 60_000), (2**31 - 1, 2**31 - 1)])
@pytest.mark.parametrize("channels", [2, 3])
def test_a_tiff_of_huge_dimensions_is_refused_before_memory_is_taken(
    size: tuple[int, int], channels: int
) -> None:
    data = tiff(draw(channels), size=size, extra=2 if channels == 2 else None)
    with pytest.raises(ImageError, match=r"'x': (too many pixels|.*damaged)"):
        decoded_whole(data, "x", max_pixels=178_956_970)


@pytest.mark.parametrize(("limit", "passes"), [(13 * 17, True), (13 * 17 - 2, False)])
@pytest.mark.parametrize("make", [png, tiff, lambda samples: tiff(samples[..., :2], extra=2)])
def test_the_limit_of_pixels_is_a_setting_and_is_named(
    make: object, limit: int, passes: bool
) -> None:
    assert callable(make)
    before = Image.MAX_IMAGE_PIXELS
    if passes:
        assert decoded_whole(make(draw(3)), "x", max_pixels=limit).size == (17, 13)
    else:
        with pytest.raises(ImageError, match=rf"too many pixels .*image\.max_pixels is {limit}"):
            decoded_whole(make(draw(3)), "x", max_pixels=limit)
    assert before == Image.MAX_IMAGE_PIXELS


def test_more_than_pillows_own_limit_is_read_where_it_is_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    data = io.BytesIO()
    Image.new("RGB", (20, 20)).save(data, "PNG")
    with pytest.raises(ImageError, match="too many pixels"):
        decoded_whole(data.getvalue(), "x")
    assert decoded_whole(data.getvalue(), "x", max_pixels=400).size == (20, 20)


def test_no_memory_for_16_bits_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("overpaint.pictures.decoding.free_bytes", lambda: 100)
    with pytest.raises(NotEnoughMemoryError, match=r"'x': 17x13 pixels take"):
        decoded_whole(png(draw(3)), "x")


def test_damage_anywhere_in_16_bits_is_survived_or_refused(
    capfd: pytest.CaptureFixture[str],
) -> None:
    rng = np.random.default_rng(0)
    whole = [png(draw(4, 8, 9)), tiff(draw(3, 8, 9), deflated=True), tiff(draw(2, 8, 9), extra=2)]
    for i in range(150):
        data = bytearray(whole[i % 3])
        for _ in range(rng.integers(1, 5)):
            data[rng.integers(len(data))] = rng.integers(256)
        try:
            picture = decoded_whole(bytes(data), "x", max_pixels=10_000_000)
        except ImageError:
            continue
        assert in_8_bits(picture).mode == "RGB"
    assert capfd.readouterr() == ("", "")
