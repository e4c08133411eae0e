"""Damages picture files at random and reads them: each must give a picture or an ImageError.

    python scripts/development/fuzz_pictures.py --count 2000 --seed 0

Small files of all formats, with EXIF, ICC profiles, palettes, 16 bits and transparency, are cut,
and bytes in them flipped, inserted and exchanged. A file is a fault if reading it raises anything
else, takes longer than --limit seconds, ends the process, lets a warning through, writes to
standard error or logs more than one line. --keep keeps faulty files. Exit status: 0 without faults,
else 1.
"""

from __future__ import annotations

import argparse
import io
import logging
import multiprocessing
import os
import random
import struct
import sys
import tempfile
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from logging.handlers import BufferingHandler
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from overpaint.errors import ImageError
from overpaint.pictures.carried import carried
from overpaint.pictures.decoding import decoded_whole
from overpaint.pictures.deep.libvips import png_of, tiff_of
from overpaint.pictures.deep.picture import DeepPicture
from overpaint.pictures.io import read_bytes

logger = logging.getLogger("fuzz")

Reader = Callable[[Path], object]
LIMIT = 20.0  # seconds a file; whole ones take milliseconds
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Fault:
    """A file that did what none may do."""

    number: int
    seed: str
    """The name of the file before the damage."""
    what: str
    data: bytes


def read_all(path: Path) -> object:
    """A picture as a run reads a photo, with what its results may keep of its metadata."""
    data = read_bytes(path)
    picture = decoded_whole(data, path, edge=8)
    return picture, carried(data, str(path))


def fuzz(
    count: int, *, seed: int = 0, limit: float = LIMIT, reader: Reader = read_all
) -> list[Fault]:
    """Reads damaged files in a process of its own, which may hang or die.

    Args:
        count: of files.
        seed: of the damage; the same gives the same files.
        limit: seconds a file.
        reader: what reads a file.
    """
    faults = []
    with _Worker(reader) as worker:
        for number, (name, data) in enumerate(damaged_files(count, seed=seed)):
            what = worker.outcome(data, limit)
            if what is not None:
                faults.append(Fault(number, name, what, data))
    return faults


def damaged_files(count: int, *, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Names of whole files, and the bytes of damaged ones."""
    whole = whole_files()
    names = sorted(whole)
    for number in range(count):
        draw = random.Random(f"{seed} {number}")
        name = names[number % len(names)]
        data = whole[name]
        for _ in range(draw.choice((1, 1, 1, 2, 4))):
            data = draw.choice(_DAMAGES)(bytearray(data), draw)
        if draw.random() < 0.5:
            data = with_right_checksums(data)
        yield name, data


def whole_files() -> dict[str, bytes]:
    """Small files of each format, by a name that tells what is in them."""
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    rgb = Image.fromarray(levels).resize((24, 18), Image.Resampling.BICUBIC)
    rgba = rgb.copy()
    rgba.putalpha(rgb.getchannel("R"))
    deep = np.linspace(0, 65535, 24 * 18).astype(np.uint16).reshape(18, 24)
    exif = Image.Exif()
    exif[0x0112], exif[0x011A], exif[0x010E] = 6, 72.0, "a picture"  # orientation, resolution
    told: dict[str, Any] = {
        "exif": exif.tobytes(),
        "icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    }
    palette = rgb.quantize(16)
    kinds: dict[str, tuple[Image.Image, str, dict[str, Any]]] = {
        "jpeg": (rgb, "JPEG", told),
        "jpeg progressive": (rgb, "JPEG", {"progressive": True, "comment": b"remark"}),
        "jpeg grey": (rgb.convert("L"), "JPEG", {}),
        "jpeg inks": (rgb.convert("CMYK"), "JPEG", told),
        "png": (rgb, "PNG", told),
        "png alpha": (rgba, "PNG", told),
        "png palette": (palette, "PNG", {"transparency": bytes(range(0, 160, 10))}),
        "png bits": (rgb.convert("1"), "PNG", {"transparency": 0}),
        "png 16 bit": (Image.fromarray(deep), "PNG", told),
        "webp": (rgb, "WEBP", told),
        "webp lossless alpha": (rgba, "WEBP", {"lossless": True, **told}),
        "webp film": (rgb, "WEBP", {"save_all": True, "append_images": [rgba]}),
        "tiff": (rgb, "TIFF", {"icc_profile": told["icc_profile"], "exif": exif}),
        "tiff lzw": (rgba, "TIFF", {"compression": "tiff_lzw"}),
        "tiff deflate 16 bit": (Image.fromarray(deep), "TIFF", {"compression": "tiff_deflate"}),
        "tiff float": (Image.fromarray(deep.astype(np.float32) / 65535), "TIFF", {}),
        "tiff jpeg": (rgb, "TIFF", {"compression": "jpeg", "exif": exif}),
        "tiff fax": (rgb.convert("1"), "TIFF", {"compression": "group4"}),
        "gif": (palette, "GIF", {"transparency": 3, "comment": b"remark"}),
        "gif film": (rgb, "GIF", {"save_all": True, "append_images": [palette, rgb]}),
        "bmp": (rgb, "BMP", {}),
        "bmp palette": (palette, "BMP", {}),
    }
    finer = DeepPicture(rng.integers(0, 65536, (3, 18, 24)).astype(np.uint16))
    files = {
        "png 16 bit colour": png_of(finer),
        "png 16 bit colour with a key": deep_png_with_a_key(levels),
        "tiff 16 bit colour": tiff_of(finer, profile=told["icc_profile"], resolution=(72, 72)),
    }
    for name, (image, kind, options) in kinds.items():
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        files[name] = buffer.getvalue()
    return files


def deep_png_with_a_key(levels: np.ndarray[Any, Any]) -> bytes:
    """A PNG of 16-bit colours, its first pixel's the transparent one; Pillow writes none."""
    height, width = levels.shape[:2]
    samples = (levels.astype(">u2") * 251).reshape(height, -1)
    rows = b"".join(b"\0" + row.tobytes() for row in samples)
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0),
        b"tRNS": samples[0, :3].tobytes(),
        b"IDAT": zlib.compress(rows),
        b"IEND": b"",
    }
    parts = [struct.pack(">I", len(data)) + kind + data + bytes(4) for kind, data in chunks.items()]
    return with_right_checksums(PNG + b"".join(parts))


def with_right_checksums(data: bytes) -> bytes:
    """A PNG whose damage lies behind its checksums; other files as they are."""
    if not data.startswith(PNG):
        return data
    mended, at = bytearray(data), len(PNG)
    while at + 12 <= len(mended):
        end = at + 8 + int.from_bytes(mended[at : at + 4], "big")
        if end + 4 > len(mended):
            break
        mended[end : end + 4] = struct.pack(">I", zlib.crc32(mended[at + 4 : end]))
        at = end + 4
    return bytes(mended)


def _flip(data: bytearray, draw: random.Random) -> bytes:
    for _ in range(draw.randint(1, 4)):
        if data:
            data[draw.randrange(len(data))] = draw.choice((0, 1, 0x7F, 0xFF, draw.randrange(256)))
    return bytes(data)


def _flip_early(data: bytearray, draw: random.Random) -> bytes:
    """Headers say the most."""
    return _flip(data[:160], draw) + bytes(data[160:])


def _cut(data: bytearray, draw: random.Random) -> bytes:
    return bytes(data[: draw.randint(0, len(data))])


def _insert(data: bytearray, draw: random.Random) -> bytes:
    at = draw.randint(0, len(data))
    return bytes(data[:at]) + draw.randbytes(draw.randint(1, 16)) + bytes(data[at:])


def _leave_out(data: bytearray, draw: random.Random) -> bytes:
    at = draw.randint(0, len(data))
    return bytes(data[:at] + data[at + draw.randint(1, 16) :])


def _exchange(data: bytearray, draw: random.Random) -> bytes:
    a, b, c = sorted(draw.randint(0, len(data)) for _ in range(3))
    return bytes(data[:a] + data[b:c] + data[a:b] + data[c:])


_DAMAGES = (_flip, _flip, _flip_early, _flip_early, _cut, _insert, _leave_out, _exchange)


class _Worker:
    """A process that reads files; another takes its place where it hangs or dies."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def __enter__(self) -> _Worker:
        self._start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")  # no threads of the caller's in it
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_work, args=(other, self._reader), daemon=True)
        self._process.start()
        other.close()
        self._pipe.recv()  # imports are done

    def _stop(self) -> None:
        self._pipe.close()
        self._process.kill()
        self._process.join()

    def outcome(self, data: bytes, limit: float) -> str | None:
        """What is wrong with how a file was read, or None."""
        self._pipe.send(data)
        try:
            if self._pipe.poll(limit):
                found: str | None = self._pipe.recv()
                return found
            what = f"took over {limit:g} s"
        except EOFError:
            self._process.join()
            what = f"ended the process with {self._process.exitcode}"
        self._stop()
        self._start()
        return what


def _work(pipe: Connection, reader: Reader) -> None:
    with tempfile.TemporaryDirectory() as folder, open(Path(folder) / "said", "w+b") as said:
        os.dup2(said.fileno(), 2)  # libraries in C write there too
        pipe.send("ready")
        path = Path(folder) / "picture"
        try:
            while True:
                path.write_bytes(pipe.recv())
                said.seek(0)
                said.truncate()
                what = _read(path, reader)
                sys.stderr.flush()
                said.seek(0)
                pipe.send(what or _first_line("wrote", said.read()))
        except EOFError:
            return


def _first_line(what: str, text: bytes) -> str | None:
    return f"{what} {text.splitlines()[0]!r}" if text else None


def _read(path: Path, reader: Reader) -> str | None:
    lines = BufferingHandler(capacity=1 << 30)
    root = logging.getLogger()
    root.addHandler(lines)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            reader(path)
    except ImageError:
        pass
    except Exception as error:
        return f"raised {type(error).__name__}: {error}"
    finally:
        root.removeHandler(lines)
    if caught:
        return f"warned {caught[0].message}"
    if len(lines.buffer) > 1:
        return f"logged {len(lines.buffer)} lines"
    return None


def main() -> int:
    """Fuzzes as the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=2000, help="files (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the damage (%(default)s)")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds a file (%(default)s)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where faulty files go")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    faults = fuzz(given.count, seed=given.seed, limit=given.limit)
    for fault in faults:
        logger.error("%d, %s: %s", fault.number, fault.seed, fault.what)
        if given.keep is not None:
            given.keep.mkdir(parents=True, exist_ok=True)
            (given.keep / f"{fault.number:05d}").write_bytes(fault.data)
    logger.info("%d files, %d faults", given.count, len(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
