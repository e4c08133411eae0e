"""Formats: the endings that pictures are written with, and what a file is by its first bytes.

It needs neither NumPy nor Pillow.
"""

from __future__ import annotations

from typing import Any

# Options of Pillow's `save` by file ending.
SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    ".png": {},
    ".jpg": {"quality": 95, "subsampling": 0},
    ".jpeg": {"quality": 95, "subsampling": 0},
    ".webp": {"quality": 95},
    ".tif": {"compression": "tiff_lzw"},
    ".tiff": {"compression": "tiff_lzw"},
}

DEEP_SUFFIXES = (".png", ".tif", ".tiff")
"""Those that hold 16 bits per channel."""

SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"),
    *(".heic", ".heif", ".avif"),
)
"""Endings of the files in a folder that are taken for pictures, in small letters."""

READ = "JPEG, PNG, WebP, TIFF, BMP or GIF"
"""What every Pillow reads, for messages."""

POSTSCRIPT = (b"%!PS", b"\xc5\xd0\xd3\xc6")
_READABLE = (b"\xff\xd8\xff", b"\x89PNG", b"II*\0", b"MM\0*", b"GIF8", b"RIFF")
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_AVIF_BRANDS = (b"avif", b"avis")

# First bytes of what people take for a picture, what it is, and the way out.
_OTHERS: tuple[tuple[bytes, str, str], ...] = (
    (b"\xff\x0a", "a JPEG XL picture", "save it as JPEG or PNG"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture", "save it as JPEG or PNG"),
    (b"%PDF", "a PDF document", "export the page as PNG"),
    *((begins, "a PostScript drawing", "export it as PNG") for begins in POSTSCRIPT),
    (b"PK\x03\x04", "a ZIP archive", "unpack it and name a picture in it"),
    (b"version https://git-lfs", "a Git LFS pointer", "fetch the picture with `git lfs pull`"),
)
_TEXTS = (
    (b"<svg", "an SVG drawing", "export it as PNG"),
    (b"<html", "a web page", "download the picture itself"),
    (b"<!doctype html", "a web page", "download the picture itself"),
)


def heif_kind(head: bytes) -> str | None:
    """`AVIF` or `HEIC` if a file is of that family, else None.

    Args:
        head: the first bytes of a file; a hundred are enough.
    """
    if head[4:8] != b"ftyp":
        return None
    length = int.from_bytes(head[:4], "big")
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, min(length, len(head)), 4))]
    for kind, known in (("AVIF", _AVIF_BRANDS), ("HEIC", _HEIF_BRANDS)):
        if any(brand in known for brand in brands):
            return kind
    return None


def is_readable(head: bytes) -> bool:
    """Whether a file is of a format that is read, by its first bytes, or claims so."""
    return head.startswith(_READABLE)


def no_picture(head: bytes) -> str:
    """What a file is that holds no picture, and what to do about it.

    Args:
        head: the first bytes of the file, all of it if it is shorter than a kilobyte.
    """
    if not head:
        return f"the file is empty; use {READ}"
    for begins, what, way_out in _OTHERS:
        if head.startswith(begins):
            return f"this is {what}; {way_out}"
    text = head[:1024].lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    for word, what, way_out in _TEXTS:
        if text.startswith(word) or (text.startswith(b"<?xml") and word in text):
            return f"this is {what}; {way_out}"
    if head[4:8] == b"ftyp":
        return "this is a film or a camera's raw file; save a picture of it as JPEG"
    return f"not a picture that can be read; use {READ}"
