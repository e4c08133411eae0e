from __future__ import annotations

import io
import logging
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from overpaint.errors import ImageError
from overpaint.pictures.io import read_picture
from overpaint.pictures.metadata import without_metadata

PNG = b"\x89PNG\r\n\x1a\n"


def waves(size: tuple[int, int] = (24, 16)) -> Image.Image:
    """Soft waves of (width, height)."""
    y, x = np.mgrid[0 : size[1], 0 : size[0]]
    levels = 127.5 + 100 * np.stack([np.sin(x / 5), np.cos(y / 4), np.sin((x + y) / 6)], axis=-1)
    return Image.fromarray(np.round(levels).astype(np.uint8))


def encoded(kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    waves().save(buffer, kind, **options)
    return buffer.getvalue()


def png_chunk(kind: bytes, data: bytes, *, checksum: int | None = None) -> bytes:
    checksum = zlib.crc32(kind + data) if checksum is None else checksum
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def with_png_chunk(chunk: bytes) -> bytes:
    """A PNG with a chunk before its pixels."""
    data = encoded("PNG")
    return data[:33] + chunk + data[33:]


def with_webp_chunk(kind: bytes, data: bytes) -> bytes:
    whole = encoded("WEBP", lossless=True, exif=b"Exif\0\0" + b"x" * 20)
    at = whole.index(b"EXIF")
    chunk = kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)
    return b"RIFF" + struct.pack("<I", at - 8 + len(chunk)) + whole[8:at] + chunk


def exif(orientation: int, kind: int, value: bytes) -> bytes:
    """EXIF with an orientation, and an XResolution of some type."""
    entries = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    entries += struct.pack("<HHI4s", 0x011A, kind, len(value), value)
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 2) + entries + bytes(4)


def exif_and_orientation(orientation: int) -> bytes:
    return exif(orientation, 1, b"\x48")


def read(tmp_path: Path, data: bytes) -> Image.Image:
    path = tmp_path / "x.picture"
    path.write_bytes(data)
    return read_picture(path)


def told(caplog: pytest.LogCaptureFixture) -> str:
    """The only line of the log, a warning."""
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "\n" not in record.getMessage()
    assert "x.picture" in record.getMessage()
    return record.getMessage()


def near(picture: Image.Image, tolerance: float = 0.0) -> bool:
    difference = np.asarray(picture, float) - np.asarray(waves(), float)
    return bool(np.abs(difference).mean() <= tolerance)


TOO_LONG = zlib.compress(bytes(80 << 20), 9)  # Pillow refuses texts beyond 1 MB, profiles beyond 64

WHOLE_PIXELS: dict[str, Callable[[], bytes]] = {
    "PNG, EXIF that is no EXIF": lambda: with_png_chunk(png_chunk(b"eXIf", b"garbage" * 9)),
    "PNG, EXIF cut short": lambda: with_png_chunk(
        png_chunk(b"eXIf", exif_and_orientation(6)[6:20])
    ),
    "PNG, text of a wrong checksum": lambda: with_png_chunk(
        png_chunk(b"tEXt", b"Title\0picture", checksum=1)
    ),
    "PNG, text too long": lambda: with_png_chunk(png_chunk(b"zTXt", b"Title\0\0" + TOO_LONG)),
    "PNG, profile too long": lambda: with_png_chunk(png_chunk(b"iCCP", b"icc\0\0" + TOO_LONG)),
    "PNG, profile of another compression": lambda: with_png_chunk(
        png_chunk(b"iCCP", b"icc\0\x07" + b"garbage")
    ),
    "PNG, resolution cut short": lambda: with_png_chunk(png_chunk(b"pHYs", b"\0")),
    "PNG, EXIF as text that is no text": lambda: with_png_chunk(
        png_chunk(b"tEXt", b"Raw profile type exif\0\nexif\n 8\nnot hexadecimal")
    ),
    "WebP, EXIF that is no EXIF": lambda: with_webp_chunk(b"EXIF", b"garbage" * 9),
}


@pytest.mark.parametrize("name", WHOLE_PIXELS)
def test_damaged_metadata_costs_no_picture_and_at_most_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    with caplog.at_level(logging.DEBUG, "overpaint"):
        assert near(read(tmp_path, WHOLE_PIXELS[name]()))
    assert len(caplog.records) <= 1
    if caplog.records:
        assert "ignored" in told(caplog)


@pytest.mark.parametrize("name", [name for name in WHOLE_PIXELS if "no EXIF" in name])
def test_an_orientation_that_cannot_be_read_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    read(tmp_path, WHOLE_PIXELS[name]())
    assert "orientation ignored" in told(caplog)


@pytest.mark.parametrize(
    ("kind", "value"),
    [(1, b"\x48"), (7, b"\x48\0\0\0"), (2, b"72\0"), (5, b"\xff\xff\xff\x7f"), (99, b"1234")],
    ids=["BYTE", "UNDEFINED", "ASCII", "RATIONAL that lies nowhere", "no type"],
)
@pytest.mark.parametrize("file", ["JPEG", "PNG", "WEBP"])
def test_an_orientation_counts_whatever_stands_beside_it(
    tmp_path: Path, file: str, kind: int, value: bytes
) -> None:
    options = {"lossless": True} if file == "WEBP" else {}
    picture = read(tmp_path, encoded(file, exif=exif(6, kind, value), **options))
    assert picture.size == (16, 24)
    assert near(picture.transpose(Image.Transpose.ROTATE_90), 4.0 if file == "JPEG" else 0.0)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
@pytest.mark.parametrize("tag", [34665, 34853, 282, 700, 34675, 33723])
def test_damaged_tags_cost_no_tiff(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, compression: str, tag: int
) -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[tag] = 8 if tag in (34665, 34853) else b"garbage" * 3
    tags.tagtype[tag] = 4 if tag in (34665, 34853) else 7
    picture = read(tmp_path, encoded("TIFF", compression=compression, tiffinfo=tags))
    assert near(picture)
    assert len(caplog.records) <= 1


def test_a_tiff_whose_exif_lies_beyond_its_end_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[34665] = 0x7FFFFFF0
    tags.tagtype[34665] = 4
    assert near(read(tmp_path, encoded("TIFF", tiffinfo=tags)))
    assert len(caplog.records) <= 1


@pytest.mark.parametrize("file", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_a_file_without_its_metadata_has_the_same_pixels(file: str) -> None:
    own: dict[str, Any] = {
        "PNG": {"exif": exif_and_orientation(1)},
        "WEBP": {"exif": exif_and_orientation(1), "lossless": True},
        "JPEG": {"exif": exif_and_orientation(1), "comment": b"remark"},
        "TIFF": {"software": "remark"},
    }
    full = encoded(file, icc_profile=b"profile" * 9, **own[file])
    lighter = without_metadata(full)
    assert lighter is not None
    assert file == "TIFF" or len(lighter) < len(full) - 9 * len(b"profile")
    with Image.open(io.BytesIO(lighter)) as image, Image.open(io.BytesIO(full)) as same:
        assert image.tobytes() == same.tobytes()
        assert "exif" not in image.info
        assert "icc_profile" not in image.info


@pytest.mark.parametrize("file", ["GIF", "BMP"])
def test_other_formats_have_nothing_to_leave_out(file: str) -> None:
    assert without_metadata(encoded(file)) is None


def test_pixels_that_are_damaged_stay_damaged(tmp_path: Path) -> None:
    data = with_png_chunk(png_chunk(b"tEXt", b"Title\0picture", checksum=1))
    with pytest.raises(ImageError, match="damaged"):
        read(tmp_path, data[:-60])
