"""The pictures that networks are made on and checked with.

They come with scikit-image, scikit-learn and matplotlib (the `slim` extra of this package), from
`assets/`, and from GCompris, whose data (Debian's package gcompris-qt-data) hold a hundred photos
of places and animals and eight paintings by Van Gogh in Qt's resource files.
"""

from __future__ import annotations

import hashlib
import io
import re
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import numpy as np
from PIL import Image
from textures import Picture

from overpaint.pictures.io import read_picture

ASSETS = Path(__file__).resolve().parents[3] / "assets"
PHOTOS = {
    "skimage": (
        "data/astronaut.png",
        "data/brick.png",
        "data/camera.png",
        "data/chelsea.png",
        "data/coins.png",
        "data/color.png",
        "data/grass.png",
        "data/gravel.png",
        "data/hubble_deep_field.jpg",
        "data/ihc.png",
        "data/moon.png",
        "data/motorcycle_left.png",
        "data/retina.jpg",
        "data/rocket.jpg",
    ),
    "sklearn": ("datasets/images/china.jpg", "datasets/images/flower.jpg"),
    "matplotlib": ("mpl-data/sample_data/grace_hopper.jpg",),
}
SHIPPING = ("scikit-image", "scikit-learn", "matplotlib")  # whose pictures these are
HELD_OUT = ("skimage", "data/coffee.png")  # what errors are measured on
PAINTINGS = ("style/flow_field.jpg", "style/stained_glass.jpg")
GCOMPRIS = (
    "clickgame",
    "details",
    "erase",
    "explore_farm_animals",
    "explore_monuments",
    "explore_world_animals",
    "explore_world_music",
)
# The first digits of the SHA-256 of those that are paintings, and of one that is kept for judging.
GCOMPRIS_PAINTINGS = (
    "5dc91d4230a2",
    "865df5627716",
    "53f7fae4fb52",
    "ce4d535bc04f",
    "45f038919ae8",
    "cd41f9e0ad14",
    "ddc28715a60a",
)
GCOMPRIS_HELD_OUT = "6605f1dd5519"
SHORTEST = 250  # pixels; what is smaller is a sprite of the game
LONGEST = 640  # pixels; larger pictures are scaled down


def read(path: Path) -> Picture:
    """A picture file as an array, its longer edge at most `LONGEST` pixels."""
    return _array(read_picture(path))


def _array(picture: Image.Image) -> Picture:
    picture.thumbnail((LONGEST, LONGEST))
    return np.asarray(picture, np.float32) / np.float32(255)


def from_gcompris(folder: Path) -> Iterator[tuple[str, Picture]]:
    """The photos and paintings in GCompris's data, each with its SHA-256's first digits.

    Args:
        folder: of the `.rcc` files, `usr/share/gcompris-qt/rcc` in the package.

    Raises:
        OSError: if a file is not there.
    """
    for name in GCOMPRIS:
        data = (folder / f"{name}.rcc").read_bytes()
        for found in re.finditer(rb"RIFF(....)WEBP", data, re.DOTALL):
            length = 8 + int.from_bytes(found[1], "little")
            file = data[found.start() : found.start() + length]
            with Image.open(io.BytesIO(file)) as picture:
                if min(picture.size) < SHORTEST or picture.mode != "RGB":
                    continue
                yield hashlib.sha256(file).hexdigest()[:12], _array(picture.copy())


def shipped(package: str, name: str) -> Path:
    """A picture that a package ships."""
    try:
        return Path(str(resources.files(package))) / name
    except ModuleNotFoundError:
        sys.exit(f"{package} is not installed; its pictures are needed: pip install -e '.[slim]'")


def held_out() -> Picture:
    """The photo that nothing learns from."""
    return read(shipped(*HELD_OUT))


def photos() -> list[Picture]:
    """The photos and textures to learn from."""
    return [read(shipped(package, name)) for package in PHOTOS for name in PHOTOS[package]]


def paintings() -> list[Picture]:
    """The paintings to learn from."""
    return [read(ASSETS / name) for name in PAINTINGS]
