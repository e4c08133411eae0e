"""Run folders made without a run, by what writes those of real ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from overpaint.files import file_sha256
from overpaint.records.environment import save_environment
from overpaint.records.settings import save_settings
from overpaint.settings.reading import load_config
from overpaint.settings.writing import repeatable, to_yaml, with_absolute_paths
from overpaint.tracking.csv import CsvLogger

WEIGHTS = {"name": "vgg19_slim", "path": "/weights/slim.safetensors", "sha256": "ab12" * 16}


def texture(size: tuple[int, int], seed: int) -> Image.Image:
    """Noise of (width, height): more detail than any painting has, in any encoding."""
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def plain(size: tuple[int, int], seed: int) -> Image.Image:
    """One colour, told by the seed."""
    return Image.new("RGB", size, (37 * seed % 256, 91 * seed % 256, 151 * seed % 256))


def make_run(
    folder: Path,
    *settings: str,
    photo: Path,
    painting: Path,
    steps: int = 20,
    every: int = 10,
    seed: int = 1,
    size: tuple[int, int] = (48, 36),
    picture: Any = plain,
    values: Mapping[str, Any] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Path:
    """Makes the folder of a run that is done.

    Args:
        folder: is made.
        settings: `key=value`.
        photo: of the run.
        painting: of the run.
        steps: of the run; each has a row of numbers.
        every: steps between snapshots, beside the first and the last.
        seed: of its pictures and numbers.
        size: (width, height) of its pictures.
        picture: makes them, of a size and a seed.
        values: further settings, dotted key to value.
        facts: of environment.json, beside and instead of the usual ones.
    """
    (folder / "snapshots").mkdir(parents=True)
    given = {"content.image": str(photo), "style.images": [str(painting)], "schedule.steps": steps}
    config = load_config("default", settings, values={**given, **(values or {})})
    again = repeatable(with_absolute_paths(config), weights_sha256=WEIGHTS["sha256"])
    save_settings(to_yaml(again), folder / "config.yaml")
    _write_metrics(folder / "metrics.csv", range(1, steps + 1), seed)
    for step in sorted({1, steps, *range(every, steps, every)}):
        made = picture(size, 1000 * seed + step)
        made.save(folder / "snapshots" / f"step_{step:05d}.png", compress_level=1)
    made.save(folder / "result.png", compress_level=1)
    usual = {
        "losses": {"total": 3.0 * seed, "content": 1.0 * seed, "style": 1.0 * seed, "tv": 0.01},
        "steps": steps,
        "seconds": 10.0,
        "step_seconds": 8.0,
        "interrupted": False,
        "device": "cpu",
        "precision": "32-true",
        "compiled": False,
        "peak_memory_bytes": 500_000_000 + seed,
        "diverged": None,
        "warnings": [],
        "weights": WEIGHTS,
        "inputs": {"content.image": file_sha256(photo), "style.images[0]": file_sha256(painting)},
    }
    save_environment(folder / "environment.json", {**usual, **(facts or {})})
    return folder


def unfinished(folder: Path) -> Path:
    """Takes from a run what it writes when it is done, and leaves what it has until then."""
    (folder / "environment.json").unlink()
    (folder / "result.png").unlink()
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "settings.yaml").write_text("seed: 0\n")
    return folder


def _write_metrics(path: Path, steps: Sequence[int], seed: int) -> None:
    table = CsvLogger(path)
    for step in steps:
        parts = {f"loss/style/relu{i}_1": seed / (step + i) for i in range(1, 6)}
        losses = {"loss/total": 9 * seed / step, "loss/content": 1 / step, "loss/style": 2 / step}
        table.log_metrics({**losses, **parts, "loss/tv": 0.01, "optimizer/lr": 0.03 / step}, step)
    table.finalize("success")
