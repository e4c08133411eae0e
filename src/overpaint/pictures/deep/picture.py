"""Pictures of 16 bits per channel, which Pillow does not hold in colour."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Levels: TypeAlias = NDArray[np.uint16]
_BAND = 1 << 20  # pixels that are worked on at once; what is made on the way stays as small

# Whether rows become columns, then the steps down the rows and along them.
_MOVES = {
    Image.Transpose.FLIP_LEFT_RIGHT: (False, 1, -1),
    Image.Transpose.FLIP_TOP_BOTTOM: (False, -1, 1),
    Image.Transpose.ROTATE_90: (True, -1, 1),
    Image.Transpose.ROTATE_180: (False, -1, -1),
    Image.Transpose.ROTATE_270: (True, 1, -1),
    Image.Transpose.TRANSPOSE: (True, 1, 1),
    Image.Transpose.TRANSVERSE: (True, -1, -1),
}


@dataclass(frozen=True, eq=False)
class DeepPicture:
    """An sRGB picture of 16 bits per channel; its size is told as Pillow tells it."""

    levels: Levels
    """(3, H, W), contiguous: red, green and blue, 0 to 65535."""

    @property
    def width(self) -> int:
        """Pixels in a row."""
        return int(self.levels.shape[2])

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.levels.shape[1])

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.width, self.height

    def resampled(
        self, size: tuple[int, int], box: tuple[float, float, float, float] | None = None
    ) -> DeepPicture:
        """The picture, or a part of it, at another size, by a Lanczos filter in floats.

        Args:
            size: (width, height).
            box: left, top, right and bottom of the part.
        """
        levels = np.empty((3, size[1], size[0]), np.uint16)
        for before, after in zip(self.levels, levels, strict=True):
            plane = Image.frombuffer("I;16", self.size, before, "raw", "I;16", 0, 1).convert("F")
            resized = np.array(plane.resize(size, Image.Resampling.LANCZOS, box))
            after[:] = np.rint(resized.clip(0, 65535, out=resized), out=resized)
        return DeepPicture(levels)

    def transposed(self, turn: Image.Transpose) -> DeepPicture:
        """The picture turned or mirrored, as Pillow's `transpose` does it."""
        swapped, down, along = _MOVES[turn]
        levels = self.levels.transpose(0, 2, 1) if swapped else self.levels
        return DeepPicture(np.ascontiguousarray(levels[:, ::down, ::along]))


Picture: TypeAlias = Image.Image | DeepPicture
"""A picture of 8 bits per channel, Pillow's of mode RGB, or of 16."""


def in_8_bits(picture: Picture) -> Image.Image:
    """A picture to look at: mode RGB, each value rounded to the nearest level."""
    if isinstance(picture, Image.Image):
        return picture
    shown = Image.new("RGB", picture.size)
    for rows in bands(*picture.size):
        levels = (picture.levels[:, rows].astype(np.uint32) + 128) // 257
        band = np.ascontiguousarray(levels.astype(np.uint8).transpose(1, 2, 0))
        shown.paste(Image.fromarray(band), (0, rows.start))
    return shown


def in_few_bits(picture: DeepPicture) -> Picture:
    """The picture in 8 bits if it was one of 8, and loses nothing; else itself."""
    if any((picture.levels[:, rows] % 257).any() for rows in bands(*picture.size)):
        return picture
    return in_8_bits(picture)


def bands(width: int, height: int, pixels: int = _BAND) -> Iterator[slice]:
    """Rows, from the top, so few at once that what is computed of them takes little memory."""
    step = max(1, pixels // max(1, width))
    for top in range(0, height, step):
        yield slice(top, min(height, top + step))
