"""What stands in a picture file beside the pixels: which way up, and which colours they mean.

Metadata never costs a picture. Pillow gives up on some files whose pixels are whole; such a file is
read again without its metadata.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

from PIL import ExifTags, Image, ImageCms

from overpaint.errors import brief
from overpaint.pictures.deep.profiles import srgb_profile

_PNG, _PNG_KEPT = b"\x89PNG\r\n\x1a\n", (b"tRNS",)
_WEBP_METADATA = (b"EXIF", b"XMP ", b"ICCP")
_JPEG_KEPT = (0xE0, 0xEE)  # JFIF, and Adobe's, which tells how colours are coded
# What TIFF needs to decode pixels, by number, and the orientation.
_TIFF_KEPT = frozenset({*range(254, 260), 262, 266, 273, 274, 277, 278, 279, 284, 317, 320}) | {
    *range(322, 326),
    332,
    338,
    339,
    340,
    341,
    347,
    *range(512, 522),
    *range(529, 533),
}
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def turn_of(image: Image.Image, faults: list[str]) -> Image.Transpose | None:
    """How a picture is to be turned, as its EXIF or XMP says.

    Args:
        image: as it was opened.
        faults: is told if that cannot be read.
    """
    try:
        return turn_by(image.getexif().get(ExifTags.Base.Orientation))
    except Exception as error:  # Pillow's readers of EXIF raise nearly anything
        faults.append(f"orientation ignored ({brief(error)})")
        return None


def turn_by(orientation: int | None) -> Image.Transpose | None:
    """How a picture is to be turned whose EXIF says so; what it does not know turns nothing."""
    return _TURNS.get(orientation or 1)


def in_srgb(image: Image.Image, profile: bytes | None, faults: list[str]) -> Image.Image:
    """Converts a picture from the colours of its ICC profile to sRGB, mode RGB.

    Args:
        image: without transparency.
        profile: the ICC profile; without one the colours are taken for sRGB. This package's own
            changes nothing.
        faults: is told if the profile is of no use.
    """
    if profile and profile != srgb_profile():
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(
                image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
            assert converted is not None  # only an in-place conversion returns None
            return converted
        except MemoryError:
            raise
        except Exception as error:
            faults.append(
                f"colour profile ignored ({brief(error)}), so colours may be a little off"
            )
    return image if image.mode == "RGB" else image.convert("RGB")


def without_metadata(data: bytes) -> bytes | None:
    """A picture file without what is not needed for its pixels.

    Args:
        data: a whole JPEG, PNG, WebP or TIFF file, perhaps a damaged one.

    Returns:
        The file, or None if there is nothing to leave out, or no way to tell.
    """
    try:
        if data.startswith(_PNG):
            lighter = _PNG + b"".join(png_chunks(data))
        elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            lighter = _webp(data)
        elif data.startswith(b"\xff\xd8"):
            lighter = b"\xff\xd8" + b"".join(_jpeg_segments(data))
        elif data[:4] in (b"II*\0", b"MM\0*"):
            lighter = _tiff(data)
        else:
            return None
    except (struct.error, IndexError, ValueError):
        return None
    return lighter if lighter != data else None


def png_chunks(data: bytes, *, beside: bool = False) -> Iterator[bytes]:
    """The chunks of a PNG that decoding needs, whole; or those beside them, which are optional."""
    at = len(_PNG)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, end = data[at + 4 : at + 8], at + 12 + length
        is_needed = kind[:1].isupper() or kind in _PNG_KEPT
        if is_needed != beside:
            yield data[at:end]
        at = end


def _webp(data: bytes) -> bytes:
    kept, at = b"", 12
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        end = at + 8 + length + length % 2
        if kind not in _WEBP_METADATA:
            kept += data[at:end]
        at = end
    if kept[:4] == b"VP8X":  # its flags promise what is gone
        kept = kept[:8] + bytes([kept[8] & ~0x2C]) + kept[9:]
    return b"RIFF" + struct.pack("<I", 4 + len(kept)) + b"WEBP" + kept


def _jpeg_segments(data: bytes) -> Iterator[bytes]:
    at = 2
    while True:
        if data[at] != 0xFF:
            at = data.index(b"\xff", at)  # what lies between segments means nothing
        marker = data[at + 1]
        if marker == 0xDA:  # the pixels follow
            yield data[at:]
            return
        if marker in (0xFF, 0x01) or 0xD0 <= marker <= 0xD9:  # no length
            at += 1 if marker == 0xFF else 2
            continue
        end = at + 2 + int(struct.unpack_from(">H", data, at + 2)[0])
        is_metadata = 0xE0 <= marker <= 0xEF or marker == 0xFE
        if not is_metadata or marker in _JPEG_KEPT:
            yield data[at:end]
        at = end


def _tiff(data: bytes) -> bytes:
    """The same with a first directory of fewer entries, and no further one."""
    order = "<" if data[:1] == b"I" else ">"
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, start)
    entries = [data[at : at + 12] for at in range(start + 2, start + 2 + 12 * count, 12)]
    kept = [one for one in entries if struct.unpack(f"{order}H", one[:2])[0] in _TIFF_KEPT]
    directory = struct.pack(f"{order}H", len(kept)) + b"".join(kept) + bytes(4)
    room = 2 + 12 * count + 4
    return data[:start] + directory.ljust(room, b"\0") + data[start + room :]
