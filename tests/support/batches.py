"""Batches of small pictures: their folders, the words of a moment's run, and what a batch left."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from conftest import make_picture
from PIL import Image

PHOTOS, PAINTINGS = ("a, b.png", "x.png", "été 緑.jpg"), ("#1 [y].png", "z.webp")
NAMES = [f"{Path(a).stem}_{Path(b).stem}" for b in PAINTINGS for a in PHOTOS]


def make_folders() -> None:
    """Two folders of pictures here, with other files among them."""
    for folder, names in (("photos", PHOTOS), ("paintings", PAINTINGS)):
        Path(folder).mkdir()
        for seed, name in enumerate(names):
            make_picture((64, 48), seed=seed + len(folder)).save(Path(folder) / name)
        Path(folder, ".hidden.png").write_bytes(b"")
        Path(folder, "Thumbs.db").write_bytes(b"")
        Path(folder, "inside.png").mkdir()


def small_words(slim_file: Path, steps: int = 4) -> list[str]:
    """The words of runs of a moment."""
    return [
        *("encoder.name=vgg19_slim", f"encoder.weights={slim_file}", "image.size=32"),
        *(f"schedule.steps={steps}", "trainer.accelerator=cpu", "tracking.mode=disabled"),
    ]


def rows(folder: Path) -> list[dict[str, str]]:
    """Of batch.csv."""
    with (folder / "batch.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def pictures(folder: Path) -> dict[str, Any]:
    """The values of each picture, by its name."""
    found = {}
    for path in sorted(folder.glob("*.png")):
        with Image.open(path) as picture:
            found[path.stem] = np.asarray(picture)
    return found


def is_over(folder: Path) -> bool:
    """Whether nothing of a run is left to do."""
    return (folder / "environment.json").exists() and not (folder / "checkpoints").exists()
