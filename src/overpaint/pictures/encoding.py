"""A picture to the bytes of a file, with what is said beside the pixels."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from overpaint.pictures.deep.libvips import png_of, tiff_of
from overpaint.pictures.deep.picture import Picture
from overpaint.pictures.deep.profiles import srgb_profile
from overpaint.pictures.formats import SAVE_OPTIONS
from overpaint.pictures.metadata import png_chunks

_TIFFS = (".tif", ".tiff")
_ENTRY = 12  # bytes of a tag in the table of a TIFF


@dataclass(frozen=True)
class Beside:
    """What a file says beside its pixels; each format takes what it has a place for."""

    text: Mapping[str, str] | None = None
    """Keywords and texts, for PNG."""
    resolution: tuple[float, float] | None = None
    """Pixels an inch, across and down; for PNG, JPEG and TIFF."""
    exif: bytes | None = None


def encoded(picture: Picture, suffix: str, beside: Beside) -> bytes:
    """The file of a picture, with the ICC profile of sRGB.

    Args:
        picture: of 16 bits for PNG and TIFF alone.
        suffix: one of `SAVE_OPTIONS`.
        beside: what else it says.

    Raises:
        OSError, ValueError: if the format does not take the picture.
    """
    if suffix in _TIFFS:
        return _tiff(picture, suffix, beside)
    if isinstance(picture, Image.Image):
        return _by_pillow(picture, suffix, beside)
    if suffix == ".png":
        # What Pillow writes beside the pixels, it writes beside a single one.
        said = png_chunks(_by_pillow(Image.new("RGB", (1, 1)), suffix, beside), beside=True)
        data = png_of(picture)
        header, *pixels = png_chunks(data)
        return b"".join([data[:8], header, *said, *pixels])
    raise ValueError("16 bits per channel need PNG or TIFF")


def _by_pillow(image: Image.Image, suffix: str, beside: Beside) -> bytes:
    options = {**SAVE_OPTIONS[suffix], "icc_profile": srgb_profile()}
    if beside.resolution is not None:
        options["dpi"] = beside.resolution
    if beside.exif is not None and suffix not in _TIFFS:
        options["exif"] = beside.exif
    if suffix == ".png":
        options["pnginfo"] = info = PngInfo()
        for keyword, value in (beside.text or {}).items():
            info.add_itxt(keyword, value, zip=True)
    data = io.BytesIO()  # on a full disk, Pillow's encoders would say "encoder error -2"
    image.save(data, Image.registered_extensions()[suffix], **options)
    return data.getvalue()


def _tiff(picture: Picture, suffix: str, beside: Beside) -> bytes:
    if isinstance(picture, Image.Image):
        data = _by_pillow(picture, suffix, beside)
    else:
        data = tiff_of(picture, profile=srgb_profile(), resolution=beside.resolution)
    return data if beside.exif is None else _with_exif(data, beside.exif)


def _with_exif(tiff: bytes, exif: bytes) -> bytes:
    """A TIFF with EXIF, for which libtiff has no good place: a new table of tags at its end."""
    if not tiff.startswith(b"II*\0"):  # of a big-endian machine, or of over 4 GB
        return tiff
    told = Image.Exif()
    told.load(exif)
    tags = ImageFileDirectory_v2(prefix=b"II")
    for tag in told:
        tags[tag] = told.get_ifd(tag) if tag == ExifTags.IFD.Exif else told[tag]
    tiff += bytes(len(tiff) % 2)
    block = tags.tobytes(len(tiff))  # its own table, and what that points to
    block += bytes(len(block) % 2)
    (start,) = struct.unpack_from("<I", tiff, 4)
    entries = sorted({**_entries(block, 0), **_entries(tiff, start)}.items())
    table = struct.pack("<H", len(entries)) + b"".join(one for _, one in entries) + bytes(4)
    return b"".join([tiff[:4], struct.pack("<I", len(tiff) + len(block)), tiff[8:], block, table])


def _entries(data: bytes, start: int) -> dict[int, bytes]:
    """The entries of a table of tags, by their numbers."""
    (count,) = struct.unpack_from("<H", data, start)
    places = range(start + 2, start + 2 + _ENTRY * count, _ENTRY)
    entries = [data[place : place + _ENTRY] for place in places]
    return {struct.unpack_from("<H", entry)[0]: entry for entry in entries}
