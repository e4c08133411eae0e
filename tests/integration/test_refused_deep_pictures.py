"""Pictures of 16 bits, and settings of depth and size, that cannot be used: the real command."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from refusals import refused

from overpaint.pictures.deep.picture import DeepPicture
from overpaint.pictures.io import save_picture


def deep(folder: Path, suffix: str) -> bytes:
    levels = np.random.default_rng(0).integers(0, 65536, (3, 64, 96)).astype(np.uint16)
    save_picture(DeepPicture(levels), folder / f"made{suffix}")
    data = (folder / f"made{suffix}").read_bytes()
    (folder / f"made{suffix}").unlink()
    return data


def huge_tiff(folder: Path) -> bytes:
    """It says that it has 60000 rows of 60000."""
    data = bytearray(deep(folder, ".tif"))
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    for at in range(start + 2, start + 2 + 12 * count, 12):
        if struct.unpack_from("<H", data, at)[0] in (256, 257):
            struct.pack_into("<HII", data, at + 2, 4, 1, 60_000)
    return bytes(data)


def huge_png(folder: Path) -> bytes:
    data = deep(folder, ".png")
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 16, 2, 0, 0, 0)
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


FILES: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "PNG cut short": (lambda folder: deep(folder, ".png")[:30_000], "it may be damaged"),
    "TIFF cut short": (lambda folder: deep(folder, ".tif")[:30_000], "it may be damaged"),
    "PNG header alone": (lambda folder: deep(folder, ".png")[:40], "it may be damaged"),
    "PNG of 3600 megapixels": (
        huge_png,
        "too many pixels to open safely (it has 3,600 megapixels, image.max_pixels is 178956970); "
        "scale it down, or raise that if you trust the file.",
    ),
    "TIFF of 3600 megapixels": (huge_tiff, "too many pixels to open safely (it has 3,600"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_a_photo_of_16_bits_that_cannot_be_used_is_refused(
    tmp_path: Path, painting: Path, name: str
) -> None:
    content, said = FILES[name]
    (tmp_path / "me.png").write_bytes(content(tmp_path))
    told = " ".join(refused(["me.png", str(painting)], cwd=tmp_path).split())
    assert told.startswith("error: 'me.png': ")
    assert said in told


@pytest.mark.slow
def test_a_photo_of_more_pixels_than_the_setting_allows_is_refused(
    tmp_path: Path, photo: Path, painting: Path
) -> None:
    told = refused([photo.name, painting.name, "image.max_pixels=100"], cwd=tmp_path)
    assert "image.max_pixels is 100" in " ".join(told.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["output.depth=16", "-o", "x.jpg"],
            "output.copy: 'x.jpg' holds 8 bits per channel; output.depth=16 needs one of "
            ".png, .tif, .tiff.",
        ),
        (["output.depth=16", "output.copy=x.webp"], "output.copy: 'x.webp' holds 8 bits"),
        (["output.depth=12"], "output.depth: expected one of 8 or 16, got '12'."),
        (["output.depth=deep"], "output.depth: expected one of 8 or 16, got 'deep'."),
        (["image.max_pixels=0"], "image.max_pixels: 0 is out of range; allowed: 1 or more."),
        (["snapshots.max_edge=0"], "snapshots.max_edge: 0 is out of range; allowed: 1 or more."),
        (["output.exif=where"], "output.exif: expected true or false, got 'where'."),
    ],
)
def test_a_depth_or_a_limit_that_cannot_be_is_refused(
    tmp_path: Path, photo: Path, painting: Path, words: list[str], said: str
) -> None:
    told = refused([photo.name, painting.name, *words], cwd=tmp_path)
    assert said in " ".join(told.split())


def test_a_limit_of_pixels_leaves_pillows_own_alone(photo: Path) -> None:
    from overpaint.pictures.inputs import load_inputs

    before = Image.MAX_IMAGE_PIXELS
    load_inputs(str(photo), [str(photo)], max_pixels=10_000)
    assert before == Image.MAX_IMAGE_PIXELS
