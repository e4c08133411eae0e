"""What surrounds Pillow and libtiff while they read a file: no remarks, and a limit of pixels."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

ANY_SIZE = 1 << 62
"""Pixels, for `pixels_at_most` where none are decoded."""

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@contextmanager
def quiet_pillow() -> Iterator[list[str]]:
    """Keeps Pillow's warnings and log lines from the screen.

    Yields:
        A list that holds the warnings at the end.
    """
    remarks: list[str] = []
    pillow = logging.getLogger("PIL")
    level = pillow.level
    pillow.setLevel(logging.CRITICAL)
    try:
        # Pillow refuses above twice its limit (179 megapixels) and merely warns below that.
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield remarks
    finally:
        remarks += [" ".join(str(one.message).split()) for one in caught]
        pillow.setLevel(level)


@contextmanager
def pixels_at_most(count: int | None) -> Iterator[None]:
    """Lets Pillow open pictures of so many pixels, for a while; None leaves its limit alone."""
    if count is None:
        yield
        return
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = (count + 1) // 2  # it refuses what is twice as large
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


@contextmanager
def quiet_libtiff(data: bytes) -> Iterator[None]:
    """Keeps libtiff's remarks on a damaged file from the screen; it writes to the file number 2."""
    if not data.startswith(_TIFF):
        yield
        return
    try:
        kept = os.dup(2)
    except OSError:  # closed
        yield
        return
    with open(os.devnull, "wb") as nothing:
        os.dup2(nothing.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
