"""What a tracker is told of a run at its begin and its end."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from overpaint.building.sources import Sources
from overpaint.pictures.deep.picture import in_8_bits
from overpaint.pictures.io import fit_size, resize, size_of
from overpaint.records.result import RunResult
from overpaint.settings.named import masks_read
from overpaint.settings.schema import Config
from overpaint.settings.writing import to_dict
from overpaint.tracking import keys
from overpaint.tracking.port import Source, Tracker

_SETTINGS = (
    *("style.weight", "style.layers", "style.statistics", "content.weight", "content.layers"),
    *("color.keep", "image.size", "schedule.steps", "schedule.scales", "init.mode"),
    *("optimizer.name", "loss.normalization", "loss.tv_weight", "encoder.name", "seed"),
)
"""Those that the table has; all are in the run's config."""
_THUMBNAIL = 256
"""Height of the paintings beside each other, in pixels."""


def tell_inputs(
    tracker: Tracker, config: Config, sources: Sources, hashes: Mapping[str, str]
) -> None:
    """Logs photo and paintings: as pictures of the run, and as what it was made from.

    Args:
        tracker: newly opened.
        config: resolved settings.
        sources: what the run read.
        hashes: the setting of each picture to the SHA-256 of its file.
    """
    sized, read = sources.sized, sources.inputs
    tracker.log_inputs(in_8_bits(sized.photo), [in_8_bits(style) for style in sized.styles])
    photo = Source(
        *("photo", in_8_bits(read.content)),
        *(Path(config.content.image).name, hashes["content.image"]),
    )
    paintings = [
        Source("painting", in_8_bits(image), Path(name).name, hashes[f"style.images[{i}]"])
        for i, (image, name) in enumerate(zip(read.styles, config.style.images, strict=True))
    ]
    named = masks_read(config)
    masks = [
        Source("mask", mask, Path(named[setting]).name, hashes[setting])
        for setting, mask in read.masks.by_setting().items()
    ]
    tracker.log_sources([photo, *paintings, *masks])


def tell_result(
    tracker: Tracker,
    config: Config,
    sources: Sources,
    result: RunResult,
    files: Sequence[Path],
    *,
    resumed_at: int = 0,
) -> None:
    """Logs what came of a run: a row for the table over runs, summary values, files.

    Args:
        tracker: open.
        config: resolved settings.
        sources: what the run read.
        result: of the run.
        files: to keep.
        resumed_at: the steps that were done before the run went on, whose speed is not known.
    """
    finite = {name: one for name, one in result.losses.items() if math.isfinite(one)}
    final = {keys.final(name): value for name, value in finite.items()}
    facts = result.facts()
    measured = {keys.TIME: result.seconds}
    if result.step_seconds > 0 and result.steps > resumed_at:
        measured[keys.SPEED] = (result.steps - resumed_at) / result.step_seconds
    if result.peak_memory_bytes:
        measured[keys.PEAK_MEMORY] = result.peak_memory_bytes / 2**20
    tracker.log_row(
        {
            "content": in_8_bits(sources.sized.photo),
            "style": _beside_each_other([in_8_bits(style) for style in sources.sized.styles]),
            "result": result.image,
            "photo": Path(config.content.image).name,
            "paintings": ", ".join(Path(name).name for name in config.style.images),
            **_settings(config),
            **{keys.final(name): final.get(keys.final(name)) for name in result.losses},
            keys.TIME: result.seconds,
        }
    )
    tracker.log_result(
        {
            **final,
            **_least(result),
            **{name: facts[name] for name in keys.RESULT_FACTS},
            **measured,
        },
        files,
    )


def _settings(config: Config) -> dict[str, Any]:
    """Texts and numbers, for a column of lists or mappings cannot be sorted."""
    known: dict[str, Any] = to_dict(config)
    found: dict[str, Any] = {}
    for key in _SETTINGS:
        value: Any = known
        for name in key.split("."):
            value = value[name]
        found[key] = value if isinstance(value, (str, int, float)) else _text(value)
    return {**found, "optimizer.lr": config.optimizer.rate}


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {one:g}" for name, one in value.items())
    return ", ".join(map(str, value))


def _least(result: RunResult) -> dict[str, float]:
    """The least finite value of each loss over the logged steps of the size reached.

    A smaller size has other losses, which do not compare.
    """
    prefix = keys.loss("")
    least: dict[str, float] = {}
    for row in result.history:
        if row["step"] <= result.smaller_steps:
            continue
        for key, value in row.items():
            if key.startswith(prefix) and math.isfinite(value):
                name = keys.least(key.removeprefix(prefix))
                least[name] = min(value, least.get(name, value))
    return least


def _beside_each_other(images: Sequence[Image.Image]) -> Image.Image:
    if len(images) == 1:
        return images[0]
    scaled = []
    for image in images:
        height, width = size_of(image)
        edge = round(max(height, width) * _THUMBNAIL / height)
        scaled.append(resize(image, fit_size((height, width), edge)))
    row = Image.new("RGB", (sum(one.width for one in scaled), max(one.height for one in scaled)))
    left = 0
    for image in scaled:
        row.paste(image, (left, 0))
        left += image.width
    return row
