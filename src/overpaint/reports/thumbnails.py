"""Pictures made small enough to travel inside a page."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from PIL import Image

from overpaint.errors import ImageError, NotEnoughMemoryError
from overpaint.pictures.io import fit_size, read_result, resize, size_of

T = TypeVar("T")

ROOM = 6_600_000
"""Bytes for all pictures of a page; as text in it they take a third more."""
SHARPEST = 24_000
"""Bytes that a snapshot should have at least; rather fewer of them than less."""

_SMALLEST = 48  # longer edge, pixels


@dataclass(frozen=True)
class Kind:
    """How large a picture may be."""

    long_edge: int
    """Pixels; smaller pictures stay as they are."""
    share: int
    """Of the room, relative to other pictures."""
    quality: int
    """Of WebP, 0 to 100."""
    most: int
    """Bytes."""


RESULT = Kind(long_edge=1280, share=4, quality=86, most=420_000)
INPUT = Kind(long_edge=960, share=2, quality=82, most=180_000)
SNAPSHOT = Kind(long_edge=512, share=1, quality=76, most=90_000)


@dataclass(frozen=True)
class Thumbnail:
    """A picture as a page holds it."""

    uri: str
    """`data:image/webp;base64,...`"""
    size: tuple[int, int]
    """(height, width) of the file that it was made of."""


def thumbnail(path: Path, kind: Kind, room: float) -> Thumbnail:
    """A small copy of a picture.

    Args:
        path: of the file.
        kind: what it may have at most.
        room: bytes for a share of 1, where many pictures divide a page.

    Raises:
        ImageError: if it cannot be read.
    """
    try:
        picture = read_result(path)
    except NotEnoughMemoryError as error:
        raise ImageError(str(error)) from error
    most = min(kind.most, kind.share * room)
    edge = min(kind.long_edge, max(picture.size))
    data = _webp(picture, edge, kind.quality)
    while len(data) > most and edge > _SMALLEST:
        closer = 0.95 * math.sqrt(most / len(data))  # bytes go with the pixels, nearly
        edge = max(_SMALLEST, int(edge * max(0.5, closer)))
        data = _webp(picture, edge, kind.quality)
    uri = f"data:image/webp;base64,{base64.b64encode(data).decode('ascii')}"
    return Thumbnail(uri, size_of(picture))


def room_for_one(kinds: Iterable[Kind]) -> float:
    """Bytes for a share of 1, if these pictures are on one page."""
    return ROOM / max(1, sum(kind.share for kind in kinds))


def thinned(steps: Sequence[T], most: int) -> list[T]:
    """At most so many of a row, evenly, the first and the last among them.

    Args:
        steps: the row.
        most: at least 2.
    """
    if len(steps) <= most:
        return list(steps)
    return [steps[round(i * (len(steps) - 1) / (most - 1))] for i in range(most)]


def _webp(picture: Image.Image, edge: int, quality: int) -> bytes:
    data = io.BytesIO()
    resize(picture, fit_size(size_of(picture), edge)).save(data, "WEBP", quality=quality)
    return data.getvalue()
