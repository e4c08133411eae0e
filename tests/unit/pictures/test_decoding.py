from __future__ import annotations

import builtins
import io
import logging
import struct
import sys
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from overpaint.errors import ImageError, NotEnoughMemoryError
from overpaint.pictures.decoding import decoded
from overpaint.pictures.io import read_bytes, read_picture


def png(depth: int, colour_type: int, samples: np.ndarray[Any, Any], key: bytes) -> bytes:
    """A PNG with a transparent colour; samples of 2 bits are packed four to a byte."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    height, width = samples.shape[:2]
    if depth == 16:
        rows = [row.astype(">u2").tobytes() for row in samples]
    else:
        per_byte = 8 // depth
        bits = samples.reshape(height, -1, per_byte) << np.arange(8 - depth, -1, -depth)
        rows = [row.sum(-1).astype(np.uint8).tobytes() for row in bits]
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = [(b"IHDR", header), (b"tRNS", key), (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def test_a_16_bit_grey_declared_transparent_is_white() -> None:
    grey = np.array([[10000, 10001], [40000, 10000]])
    shown = np.asarray(decoded(png(16, 0, grey, struct.pack(">H", 10000)), "x"))
    assert shown[..., 0].tolist() == [[255, 39], [156, 255]]


def test_a_16_bit_colour_declared_transparent_is_white_and_its_neighbours_are_not() -> None:
    key = (10000, 30000, 257)
    near = [(10000, 30000, 258), (10001, 30000, 257), (0, 0, 0)]  # two share its upper bytes
    colours = np.array([[key, near[0]], [near[1], near[2]]])
    shown = np.asarray(decoded(png(16, 2, colours, struct.pack(">3H", *key)), "x"))
    assert shown[0, 0].tolist() == [255, 255, 255]
    assert shown[1, 1].tolist() == [0, 0, 0]
    for place in (shown[0, 1], shown[1, 0]):
        assert place.tolist() == pytest.approx([39, 117, 1], abs=1)


@pytest.mark.parametrize("depth", [2, 4])
def test_a_grey_of_few_bits_declared_transparent_is_white(depth: int) -> None:
    most = 2**depth - 1
    grey = np.array([[0, 1, most, 0], [1, 1, 0, 0]])
    shown = np.asarray(decoded(png(depth, 0, grey, struct.pack(">H", 1)), "x"))[..., 0]
    assert shown.tolist() == [[0, 255, 255, 0], [255, 255, 0, 0]]
    shown = np.asarray(decoded(png(depth, 0, grey, struct.pack(">H", 0)), "x"))[..., 0]
    assert shown.tolist() == [[255, 255 // most, 255, 255], [255 // most] * 2 + [255] * 2]


def heif(brand: bytes, *others: bytes) -> bytes:
    box = b"ftyp" + brand + bytes(4) + b"".join(others)
    return struct.pack(">I", 4 + len(box)) + box + bytes(200)


@pytest.fixture
def no_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Pillow without AVIF, and nobody that reads HEIC."""
    Image.init()
    for kind in ("HEIF", "AVIF"):
        if kind in Image.OPEN:
            monkeypatch.delitem(Image.OPEN, kind)
            monkeypatch.setattr(Image, "ID", [one for one in Image.ID if one != kind])
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setattr(features, "check", lambda name: False)


@pytest.mark.usefixtures("no_readers")
@pytest.mark.parametrize(
    ("data", "what", "way_out"),
    [
        (heif(b"heic"), "HEIC", "pip install pillow-heif"),
        (heif(b"mif1", b"heic"), "HEIC", "pip install pillow-heif"),
        (heif(b"avif"), "AVIF", "pip install -U pillow"),
        (heif(b"mif1", b"avif", b"miaf"), "AVIF", "pip install -U pillow"),
    ],
)
def test_a_format_that_nobody_reads_here_is_named_with_the_way_out(
    tmp_path: Path, data: bytes, what: str, way_out: str
) -> None:
    path = tmp_path / "photo.jpg"  # the bytes count, not the ending
    path.write_bytes(data)
    with pytest.raises(ImageError, match=rf"photo\.jpg': this is an? {what} picture") as caught:
        read_picture(path)
    assert way_out in str(caught.value)
    assert "save it as JPEG" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_avif_is_read_where_pillow_can(tmp_path: Path) -> None:
    if not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    path = tmp_path / "x.jpg"
    Image.new("RGB", (16, 8), (200, 40, 90)).save(path, "AVIF", quality=100)
    picture = read_picture(path)
    assert picture.size == (16, 8)
    assert picture.getpixel((3, 3)) == pytest.approx((200, 40, 90), abs=6)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ImageError, match="damaged"):
        read_picture(path)


def test_heic_is_read_where_its_package_is(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    path = tmp_path / "x.jpg"
    flat = Image.new("RGB", (64, 48), (200, 40, 90))
    pillow_heif.from_pillow(flat).save(str(path), quality=95)
    picture = read_picture(path)
    assert picture.size == (64, 48)
    assert picture.getpixel((3, 3)) == pytest.approx((200, 40, 90), abs=6)
    path.write_bytes(path.read_bytes()[:120])
    with pytest.raises(ImageError, match="damaged"):
        read_picture(path)


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"", "the file is empty"),
        (b"<svg></svg>", "an SVG drawing"),
        (b'<?xml version="1.0"?>\n<svg xmlns=""/>', "an SVG drawing"),
        (b"\xef\xbb\xbf<!DOCTYPE html><html>", "a web page"),
        (b"%PDF-1.7", "a PDF document"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "a PostScript drawing"),
        (b"\xff\x0a" + bytes(20), "a JPEG XL picture"),
        (b"PK\x03\x04" + bytes(20), "a ZIP archive"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer"),
        (heif(b"mp42"), "a film"),
        (b"words", "not a picture that can be read"),
    ],
)
def test_what_is_no_picture_is_named(head: bytes, what: str) -> None:
    with pytest.raises(ImageError, match=f"'x': .*{what}"):
        decoded(head, "x")


def test_a_header_of_a_known_format_alone_is_called_damaged() -> None:
    for head in (b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"II*\0"):
        with pytest.raises(ImageError, match="damaged"):
            decoded(head + bytes(30), "x")


def test_no_memory_to_decode_is_no_fault_of_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing_left(*arguments: object) -> None:
        raise MemoryError

    buffer = io.BytesIO()
    Image.new("RGB", (64, 48)).save(buffer, "PNG")
    with monkeypatch.context() as patch:
        patch.setattr("overpaint.pictures.decoding._to_srgb", nothing_left)
        with pytest.raises(NotEnoughMemoryError, match=r"'x': there is not enough memory"):
            decoded(buffer.getvalue(), "x")
    monkeypatch.setattr("overpaint.pictures.decoding.free_bytes", lambda: 64 * 48 * 8 - 1)
    with pytest.raises(NotEnoughMemoryError, match=r"'x': 64x48 pixels take 1 MB .*scale"):
        decoded(buffer.getvalue(), "x")
    for free in (64 * 48 * 8, None):
        monkeypatch.setattr("overpaint.pictures.decoding.free_bytes", lambda free=free: free)
        assert decoded(buffer.getvalue(), "x").size == (64, 48)


def test_no_memory_to_read_a_file_is_told(
    tmp_path: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise MemoryError

    monkeypatch.setattr(builtins, "open", lambda *arguments: Full())
    with pytest.raises(NotEnoughMemoryError, match=r"photo\.png': there is not enough memory"):
        read_bytes(photo)


def test_a_stream_without_end_is_left(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("overpaint.pictures.io._LARGEST_FILE", 1000)
    monkeypatch.setattr("overpaint.pictures.io._BLOCK", 300)
    with pytest.raises(ImageError, match="too large for a picture"):
        read_bytes(photo)


def test_pillow_and_libtiff_stay_silent(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), (9, 99, 0)).save(buffer, "TIFF", compression="tiff_lzw")
    damaged = bytearray(buffer.getvalue())
    damaged[20:60] = b"\xff" * 40
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(ImageError, match="damaged"):
            decoded(bytes(damaged), "x")
    assert not caught
    assert not caplog.records
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("PIL").level == logging.NOTSET
