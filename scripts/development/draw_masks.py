#!/usr/bin/env python3
"""Draw the masks in `assets/masks/`: where things are in the photo of the cat and in a painting.

`python scripts/development/draw_masks.py` draws them again.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

Pen = ImageDraw.ImageDraw

PHOTO = (451, 300)  # of assets/content/cat.jpg
PAINTING = (768, 576)  # of assets/style/flow_field.jpg
OVERSAMPLING = 4
SOFT = 2.5  # pixels; a hard edge would be drawn as one

CAT = (
    *((0, 300), (0, 128), (26, 112), (36, 66), (40, 0), (402, 0), (386, 30), (362, 72)),
    *((370, 112), (362, 144), (346, 172), (334, 206), (352, 238), (388, 262), (394, 300)),
)
EYES = ((134, 84, 208, 148), (294, 108, 345, 166))
SUNS = ((226, 226, 394, 394), (468, 194, 604, 326), (8, 336, 232, 496), (440, 360, 672, 540))


def cat(pen: Pen) -> None:
    """Its head and shoulders."""
    pen.polygon([(x * OVERSAMPLING, y * OVERSAMPLING) for x, y in CAT], fill=255)


def background(pen: Pen) -> None:
    """All but the cat."""
    pen.rectangle([edge * OVERSAMPLING for edge in (0, 0, *PHOTO)], fill=255)
    pen.polygon([(x * OVERSAMPLING, y * OVERSAMPLING) for x, y in CAT], fill=0)


def eyes(pen: Pen) -> None:
    """Both of them."""
    _ellipses(pen, EYES)


def suns(pen: Pen) -> None:
    """The four golden ones."""
    _ellipses(pen, SUNS)


def _ellipses(pen: Pen, boxes: tuple[tuple[int, int, int, int], ...]) -> None:
    for box in boxes:
        pen.ellipse([edge * OVERSAMPLING for edge in box], fill=255)


MASKS: dict[str, tuple[Callable[[Pen], None], tuple[int, int]]] = {
    "cat": (cat, PHOTO),
    "background": (background, PHOTO),
    "eyes": (eyes, PHOTO),
    "suns": (suns, PAINTING),
}


def main() -> None:
    """Draws every mask into the folder asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("assets/masks"), help="%(default)s")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, (draw, size) in MASKS.items():
        mask = Image.new("L", (size[0] * OVERSAMPLING, size[1] * OVERSAMPLING))
        draw(ImageDraw.Draw(mask))
        mask = mask.resize(size, Image.Resampling.BOX).filter(ImageFilter.GaussianBlur(SOFT))
        mask.save(folder / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
