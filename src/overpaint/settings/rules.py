"""Rules on the values of a `Config`: ranges, names, files, and what does not go together."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from overpaint.encoder.layers import LAYER_NAMES, SLIM_LAYER_NAMES, minimum_edge
from overpaint.errors import unknown_name
from overpaint.settings.schema import Config

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")
WEIGHT_SUFFIXES = (".safetensors", ".pth", ".pt")


def find_problems(config: Config) -> list[str]:
    """Checks everything that can be checked without decoding a picture or reading a weight.

    Returns:
        One line per fault, naming the setting, the value received and the way out; empty if none.
    """
    return [
        *_layer_problems("content.layers", config.content.layers),
        *_layer_problems("style.layers", config.style.layers),
        *_range_problems(config),
        *_size_problems(config),
        *_file_problems(config),
        *_clashes(config),
        *_tune_problems(config),
    ]


def _layer_problems(key: str, weights: Mapping[str, float]) -> Iterator[str]:
    for name, weight in weights.items():
        if name not in LAYER_NAMES:
            yield f"{key}: {unknown_name(name, LAYER_NAMES, 'layer')}"
        if not (math.isfinite(weight) and weight >= 0):
            yield f"{key}.{name}: {weight} is no weight; use a finite number of at least 0."
    if not any(weight > 0 for weight in weights.values()):
        yield f"{key}: at least one layer needs a weight above 0, got {dict(weights)}."


def _range_problems(config: Config) -> Iterator[str]:
    adam, lbfgs, sgd = config.optimizer.adam, config.optimizer.lbfgs, config.optimizer.sgd
    rules: list[tuple[str, float, bool, str]] = [
        ("content.weight", config.content.weight, config.content.weight >= 0, "0 or more"),
        ("style.weight", config.style.weight, config.style.weight >= 0, "0 or more"),
        ("loss.tv_weight", config.loss.tv_weight, config.loss.tv_weight >= 0, "0 or more"),
        ("init.noise_ratio", config.init.noise_ratio, 0 <= config.init.noise_ratio <= 1, "0 to 1"),
        (
            "schedule.lr_final",
            config.schedule.lr_final,
            0 <= config.schedule.lr_final <= 1,
            "0 to 1",
        ),
        ("style.scale", config.style.scale, config.style.scale > 0, "above 0"),
        ("schedule.steps", config.schedule.steps, config.schedule.steps >= 1, "1 or more"),
        ("snapshots.every", config.snapshots.every, config.snapshots.every >= 0, "0 (off) or more"),
        ("tracking.log_every", config.tracking.log_every, config.tracking.log_every >= 1, "1 up"),
        ("seed", config.seed, 0 <= config.seed < 2**63, "0 to 2**63 - 1"),
        ("optimizer.adam.beta1", adam.beta1, 0 <= adam.beta1 < 1, "0 to below 1"),
        ("optimizer.adam.beta2", adam.beta2, 0 <= adam.beta2 < 1, "0 to below 1"),
        ("optimizer.adam.eps", adam.eps, adam.eps >= 0, "0 or more"),
        ("optimizer.sgd.momentum", sgd.momentum, 0 <= sgd.momentum < 1, "0 to below 1"),
        ("optimizer.lbfgs.history_size", lbfgs.history_size, lbfgs.history_size >= 1, "1 or more"),
        (
            "optimizer.lbfgs.max_evaluations",
            lbfgs.max_evaluations,
            lbfgs.max_evaluations >= 2,
            "2 or more",
        ),
    ]
    if config.optimizer.lr is not None:
        rules.append(("optimizer.lr", config.optimizer.lr, config.optimizer.lr > 0, "above 0"))
    rules += [
        ("style.image_weights", weight, weight >= 0, "0 or more each")
        for weight in config.style.image_weights
    ]
    rules += [
        ("schedule.scales", scale, 0 < scale <= 1, "above 0 to 1, each")
        for scale in config.schedule.scales
    ]
    rules += [
        ("schedule.shares", share, share > 0, "above 0, each") for share in config.schedule.shares
    ]
    rules += [
        ("snapshots.steps", step, step >= 1, "1 or more each") for step in config.snapshots.steps
    ]
    for key, value, holds, allowed in rules:
        if not holds or not math.isfinite(value):
            yield f"{key}: {value} is out of range; allowed: {allowed}."


def _size_problems(config: Config) -> Iterator[str]:
    names = [name for name in (*config.content.layers, *config.style.layers) if name in LAYER_NAMES]
    smallest = minimum_edge(names) if names else 1
    for key, size in (("image.size", config.image.size), ("tune.size", config.tune.size)):
        if size < smallest:
            yield (
                f"{key}: {size} is too small; "
                f"layers up to {max(names, key=LAYER_NAMES.index, default='any')} need at least "
                f"{smallest} pixels."
            )


def _file_problems(config: Config) -> Iterator[str]:
    pictures = [("content.image", config.content.image)]
    pictures += [(f"style.images[{i}]", name) for i, name in enumerate(config.style.images)]
    if config.init.mode == "file" and config.init.file:
        pictures.append(("init.file", config.init.file))
    for key, name in pictures:
        if not os.path.exists(name):
            yield f"{key}: no such file: '{name}' (relative paths start at {Path.cwd()})."
        elif not os.path.isfile(name):
            yield f"{key}: '{name}' is a folder; name one picture in it."
    weights = config.encoder.weights
    if weights not in ("auto", "imagenet"):
        if Path(weights).suffix.lower() not in WEIGHT_SUFFIXES:
            yield (
                f"encoder.weights: '{weights}' is neither auto, imagenet nor a file ending in "
                f"{', '.join(WEIGHT_SUFFIXES)}."
            )
        elif not os.path.isfile(weights):
            yield f"encoder.weights: no such file: '{weights}' (from {Path.cwd()})."
    copy = config.output.copy
    if copy is not None:
        if Path(copy).suffix.lower() not in PICTURE_SUFFIXES:
            yield f"output.copy: '{copy}' must end in one of {', '.join(PICTURE_SUFFIXES)}."
        elif not os.path.isdir(Path(copy).absolute().parent):
            yield f"output.copy: no such folder: '{Path(copy).parent}'; make it first."
    folder = Path(config.output.dir).absolute()
    if copy is not None and os.path.exists(copy):
        for key, name in pictures:
            if os.path.exists(name) and os.path.samefile(copy, name):
                yield f"output.copy: '{copy}' is {key} itself and would be overwritten."
    nearest = next(place for place in (folder, *folder.parents) if os.path.exists(place))
    if not nearest.is_dir():
        yield f"output.dir: '{nearest}' is a file; name a folder."


def _clashes(config: Config) -> Iterator[str]:
    styles, weights = config.style.images, config.style.image_weights
    if not styles:
        yield "style.images: empty; name at least one painting."
    if weights and len(weights) != len(styles):
        yield f"style.image_weights: {len(weights)} weights for {len(styles)} style images."
    elif weights and all(weight == 0 for weight in weights):
        yield "style.image_weights: all are 0; at least one must be above 0."
    if config.content.weight == 0 and config.style.weight == 0:
        yield "content.weight and style.weight: both are 0, so there is nothing to optimise."
    if config.init.mode == "file" and not config.init.file:
        yield "init.file: init.mode=file needs a picture to start from."
    optimizer = config.optimizer
    if optimizer.lr is None:
        yield (
            f"optimizer.lr: {optimizer.name} has no default rate, for the right one depends on the "
            "loss and the size; for relative losses start at 10 and raise it with the pixels."
        )
    if optimizer.sgd.nesterov and optimizer.sgd.momentum == 0:
        yield "optimizer.sgd.nesterov: needs optimizer.sgd.momentum above 0."
    scales, shares = config.schedule.scales, config.schedule.shares
    if not scales or scales[-1] != 1 or list(scales) != sorted(set(scales)):
        yield f"schedule.scales: {list(scales)} must rise and end with 1.0, the result's size."
    if shares and len(shares) != len(scales):
        yield f"schedule.shares: {len(shares)} shares of the steps for {len(scales)} scales."
    if config.encoder.name == "vgg19_slim":
        yield from _slim_clashes(config)
    if optimizer.name == "lbfgs" and config.trainer.precision == "bf16-mixed":
        yield (
            "trainer.precision: L-BFGS needs the exact gradients of 32-true; "
            f"{config.trainer.precision} rounds them to 8 bits."
        )


def _tune_problems(config: Config) -> Iterator[str]:
    tune = config.tune
    for name in ("lowest", "highest"):
        rate = getattr(tune, name)
        if rate is not None and not (math.isfinite(rate) and rate > 0):
            yield f"tune.{name}: {rate} is out of range; allowed: above 0, or null."
    if tune.lowest is not None and tune.highest is not None and not tune.lowest < tune.highest:
        yield f"tune.lowest: {tune.lowest} must be below tune.highest, {tune.highest}."
    for name, value, least in (
        ("candidates", tune.candidates, 2),
        ("rounds", tune.rounds, 1),
        ("steps", tune.steps, 4),
    ):
        if value < least:
            yield f"tune.{name}: {value} is out of range; allowed: {least} or more."


def _slim_clashes(config: Config) -> Iterator[str]:
    weights = config.encoder.weights
    if weights == "imagenet":
        yield (
            "encoder.weights: imagenet is the full network; "
            "encoder.name=vgg19_slim takes auto (its own) or a file."
        )
    elif weights != "auto" and Path(weights).suffix.lower() != ".safetensors":
        yield f"encoder.weights: '{weights}': a slim network is a .safetensors file."
    for key, layers in (
        ("content.layers", config.content.layers),
        ("style.layers", config.style.layers),
    ):
        for name, weight in layers.items():
            if weight > 0 and name in LAYER_NAMES and name not in SLIM_LAYER_NAMES:
                yield (
                    f"{key}: {name} is not in vgg19_slim, which ends with {SLIM_LAYER_NAMES[-1]}; "
                    "use encoder.name=vgg19."
                )
