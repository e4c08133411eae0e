"""Pictures that cannot be used, through the real command."""

from __future__ import annotations

import io
import os
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_picture
from PIL import Image
from refusals import refused

LINE = r"^error: '{name}': {said}"


def encoded(kind: str, size: tuple[int, int] = (96, 64), **options: Any) -> bytes:
    buffer = io.BytesIO()
    make_picture(size, seed=1).save(buffer, kind, **options)
    return buffer.getvalue()


def cut(kind: str, share: float = 0.6, **options: Any) -> bytes:
    data = encoded(kind, **options)
    return data[: int(share * len(data))]


def with_a_huge_header() -> bytes:
    """A PNG that says it has 3600 megapixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return (
        encoded("PNG")[:12] + header + struct.pack(">I", zlib.crc32(header)) + encoded("PNG")[33:]
    )


def with_damaged_pixels() -> bytes:
    data = bytearray(encoded("PNG"))
    data[data.index(b"IDAT") + 30] ^= 0xFF
    return bytes(data)


def outside_its_scale() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((64, 64), 1.5, dtype=np.float32)).save(buffer, "TIFF")
    return buffer.getvalue()


def family(brand: bytes) -> bytes:
    return struct.pack(">I", 16) + b"ftyp" + brand + bytes(300)


# What is in the file, and what is said of it.
FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "the file is empty; use JPEG"),
    "text": (lambda: b"no picture\n" * 99, "not a picture that can be read; use JPEG"),
    "zeros": (lambda: bytes(999), "not a picture that can be read; use JPEG"),
    "drawing": (lambda: b"<svg></svg>", "this is an SVG drawing; export it as PNG"),
    "web page": (lambda: b"<!DOCTYPE html>\n<html>", "this is a web page; download the picture"),
    "document": (lambda: b"%PDF-1.7\n", "this is a PDF document; export the page as PNG"),
    "PostScript": (
        lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n",
        "this is a PostScript drawing; export it as PNG",
    ),
    "archive": (lambda: b"PK\x03\x04" + bytes(99), "this is a ZIP archive; unpack it"),
    "pointer": (lambda: b"version https://git-lfs.github.com/spec/v1\n", "this is a Git LFS"),
    "JPEG XL": (lambda: b"\xff\x0a" + bytes(99), "this is a JPEG XL picture; save it as JPEG"),
    "film": (lambda: family(b"mp42"), "this is a film or a camera's raw file"),
    "HEIC": (lambda: family(b"heic"), "(this is a HEIC picture, .*pillow-heif|.* damaged)"),
    "AVIF": (lambda: family(b"avif"), "(this is an AVIF picture, .*pip install|.* damaged)"),
    "JPEG cut short": (lambda: cut("JPEG"), "cannot be read, it may be damaged"),
    "PNG cut short": (lambda: cut("PNG"), "cannot be read, it may be damaged"),
    "WebP cut short": (lambda: cut("WEBP"), "cannot be read, it may be damaged"),
    "TIFF cut short": (
        lambda: cut("TIFF", compression="tiff_lzw"),
        "cannot be read, it may be damaged",
    ),
    "GIF cut short": (lambda: cut("GIF"), "cannot be read, it may be damaged"),
    "BMP cut short": (lambda: cut("BMP"), "cannot be read, it may be damaged"),
    "header alone": (lambda: cut("JPEG", 0.01), "cannot be read, it may be damaged"),
    "damaged pixels": (with_damaged_pixels, "cannot be read, it may be damaged"),
    "bomb": (with_a_huge_header, "too many pixels to open safely .*; scale it down"),
    "scale unknown": (outside_its_scale, "cannot be read, .* outside 0 to 1"),
    "thin": (
        lambda: encoded("PNG", (640, 16)),
        "640x16 becomes 512x13 pixels, but the chosen layers need 16 on each edge; "
        "use image.size=640, crop",
    ),
    "a line": (
        lambda: encoded("PNG", (2000, 1)),
        "2000x1 becomes 512x1 pixels, but the chosen layers need 16 on each edge; crop",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_a_photo_that_cannot_be_used_is_refused(tmp_path: Path, painting: Path, name: str) -> None:
    content, said = FILES[name]
    (tmp_path / "me.jpg").write_bytes(content())
    told = refused(["me.jpg", str(painting)], cwd=tmp_path)
    assert re.search(LINE.format(name=r"me\.jpg", said=said), _joined(told)), told


@pytest.mark.slow
@pytest.mark.parametrize(
    ("word", "mode"), [("style.images=[art.jpg]", ""), ("init.file=art.jpg", "init.mode=file")]
)
def test_the_other_pictures_are_held_to_the_same(
    tmp_path: Path, photo: Path, painting: Path, word: str, mode: str
) -> None:
    (tmp_path / "art.jpg").write_bytes(cut("PNG"))
    pictures = ["--content", photo.name, *(["--style", painting.name] if mode else [])]
    told = refused([*pictures, word, *filter(None, [mode])], cwd=tmp_path)
    assert re.search(LINE.format(name=r"art\.jpg", said="cannot be read"), _joined(told)), told


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere.jpg", r"no such file: 'nowhere\.jpg'"),
        (".", r"'\.' is a folder; name one picture in it"),
        ("/dev/zero", r"'/dev/zero' is a device; name a picture file or a pipe"),
    ],
)
def test_what_is_no_file_is_refused_before_anything_is_imported(
    tmp_path: Path, painting: Path, name: str, said: str
) -> None:
    if name.startswith("/dev") and not os.path.exists(name):
        pytest.skip("this system has no such device")
    told = refused(["--content", name, "--style", painting.name], cwd=tmp_path)
    assert re.search(rf"^error: content\.image: {said}", _joined(told)), told


def test_a_size_beyond_all_machines_is_refused(tmp_path: Path, photo: Path, painting: Path) -> None:
    for size, shown in (("100001", "100001"), ("9" * 400, "9" * 20)):
        told = refused([photo.name, painting.name, f"image.size={size}"], cwd=tmp_path)
        assert f"image.size: {shown} is too large; at most 100000 pixels." in _joined(told)
    words = ["image.size=512", "style.scale=1e308"]
    told = refused([photo.name, painting.name, *words], cwd=tmp_path)
    assert "style.scale: 1e+308 makes paintings of over 100000 pixels" in _joined(told)


def _joined(told: str) -> str:
    """Long lines are wrapped at the width of a terminal."""
    return " ".join(told.split())
