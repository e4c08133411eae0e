"""Rules on a `Config` that a type cannot state: layers, sizes, files, and what clashes."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from overpaint.encoder.layers import LAYER_NAMES, NAMED_WEIGHTS, SLIM_LAYER_NAMES, minimum_edge
from overpaint.errors import ConfigError, unknown_name
from overpaint.pictures.formats import DEEP_SUFFIXES, SAVE_OPTIONS
from overpaint.settings.named import pictures_written, shares_in
from overpaint.settings.schema import ColorKeep, Config, StyleConfig, Task, TrackingConfig

LARGEST_EDGE = 100_000  # pixels; no memory holds a step at that size, and numbers stay numbers
WEIGHT_SUFFIXES = (".safetensors", ".pth", ".pt")
# What Weights & Biases takes; it refuses a run for the rest, some of it only at the upload.
PROJECT_WITHOUT, NAME_AT_MOST, TAG_AT_MOST = "/\\#?%:", 128, 64


_OF_LIGHTNESS: dict[ColorKeep, str] = {
    "none": "leaves the painting as it is",
    "statistics": "has the photo's lightness already",
    "histogram": "has the photo's lightness already",
}


def find_problems(
    config: Config,
    *,
    task: Task = "run",
    with_files: bool = True,
    in_memory: Collection[str] = (),
) -> list[str]:
    """Checks everything that can be checked without decoding a picture or reading a weight.

    Args:
        config: settings of the right types.
        task: `run` ignores `tune.*`; `tune` needs no learning rate.
        with_files: whether the disk is looked at.
        in_memory: names of pictures that are not looked for there.

    Returns:
        One line per fault, naming the setting, the value received and the way out; empty if none.
    """
    needed_for_the_task = _rate_problems if task == "run" else _tune_problems
    return [
        *_layer_problems("content.layers", config.content.layers),
        *_layer_problems("style.layers", config.style.layers),
        *_size_problems("image.size", config.image.size, config),
        *(_file_problems(config, in_memory) if with_files else ()),
        *_clashes(config),
        *_tracking_problems(config.tracking),
        *needed_for_the_task(config),
    ]


def _layer_problems(key: str, weights: Mapping[str, float]) -> Iterator[str]:
    for name in weights:
        if name not in LAYER_NAMES:
            yield f"{key}: {unknown_name(name, LAYER_NAMES, 'layer')}"
    if not any(weight > 0 for weight in weights.values()):
        yield f"{key}: at least one layer needs a weight above 0, got {dict(weights)}."


def _size_problems(key: str, size: int, config: Config) -> Iterator[str]:
    names = [name for name in (*config.content.layers, *config.style.layers) if name in LAYER_NAMES]
    smallest = minimum_edge(names) if names else 1
    if size < smallest:
        deepest = max(names, key=LAYER_NAMES.index, default="any")
        yield (
            f"{key}: {size} is too small; layers up to {deepest} need at least {smallest} pixels."
        )
    elif size > LARGEST_EDGE:
        yield f"{key}: {str(size)[:20]} is too large; at most {LARGEST_EDGE} pixels."
    elif size * config.style.scale > LARGEST_EDGE:
        yield (
            f"style.scale: {config.style.scale:g} makes paintings of over {LARGEST_EDGE} pixels "
            f"from {key}={size}."
        )


def _file_problems(config: Config, in_memory: Collection[str]) -> Iterator[str]:
    written = pictures_written(config)
    pictures = [(key, name) for key, name in written.items() if name not in in_memory]
    for key, name in pictures:
        if not os.path.exists(name):
            hint = ""
            if key.startswith("style.images") and ("," in name or name.startswith("[")):
                listed = name.lstrip("[").rstrip("]")
                hint = f" Several are written as a list in brackets: style.images=[{listed}]"
            yield f"{key}: no such file: '{name}' (relative paths start at {Path.cwd()}).{hint}"
        elif os.path.isdir(name):
            yield f"{key}: '{name}' is a folder; name one picture in it."
        elif not (os.path.isfile(name) or stat.S_ISFIFO(os.stat(name).st_mode)):
            yield f"{key}: '{name}' is a device; name a picture file or a pipe."
    weights = config.encoder.weights
    if weights not in NAMED_WEIGHTS:
        if Path(weights).suffix.lower() not in WEIGHT_SUFFIXES:
            yield (
                f"encoder.weights: '{weights}' is neither auto, imagenet nor a file ending in "
                f"{', '.join(WEIGHT_SUFFIXES)}."
            )
        elif not os.path.isfile(weights):
            yield f"encoder.weights: no such file: '{weights}' (from {Path.cwd()})."
    copy = config.output.copy
    if copy is not None:
        if os.path.isdir(copy):
            yield f"output.copy: '{copy}' is a folder; name a file in it, such as painted.png."
        elif Path(copy).suffix.lower() not in SAVE_OPTIONS:
            yield f"output.copy: '{copy}' must end in one of {', '.join(SAVE_OPTIONS)}."
        elif config.output.depth == 16 and Path(copy).suffix.lower() not in DEEP_SUFFIXES:
            yield (
                f"output.copy: '{copy}' holds 8 bits per channel; output.depth=16 needs one of "
                f"{', '.join(DEEP_SUFFIXES)}."
            )
        elif not os.path.isdir(Path(copy).absolute().parent):
            yield f"output.copy: no such folder: '{Path(copy).parent}'; make it first."
    if not config.output.dir:
        yield "output.dir: empty; name a folder, for example . for this one."
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
    if config.color.match_lightness and config.color.keep != "luminance":
        yield (
            "color.match_lightness: is for color.keep=luminance; "
            f"{config.color.keep} {_OF_LIGHTNESS[config.color.keep]}."
        )
    yield from _image_layer_problems(config.style)
    yield from _region_problems(config)
    optimizer = config.optimizer
    if optimizer.sgd.nesterov and optimizer.sgd.momentum == 0:
        yield "optimizer.sgd.nesterov: needs optimizer.sgd.momentum above 0."
    if config.style.statistics != "gram" and config.loss.normalization != "relative":
        yield (
            f"style.statistics: {config.style.statistics} is for loss.normalization=relative; "
            f"{config.loss.normalization} losses are formulas of Gram matrices, "
            "which style.statistics=auto gives them."
        )
    scales, shares = config.schedule.scales, config.schedule.shares
    if not scales or scales[-1] != 1 or list(scales) != sorted(set(scales)):
        yield f"schedule.scales: {list(scales)} must rise and end with 1.0, the result's size."
    if shares and len(shares) != len(scales):
        yield f"schedule.shares: {len(shares)} shares of the steps for {len(scales)} scales."
    if config.encoder.name == "vgg19_slim":
        yield from _slim_clashes(config)
    if config.trainer.compile == "always" and config.trainer.processes > 1:
        yield (
            "trainer.compile: always is for one process, and trainer.devices and num_nodes ask "
            f"for {config.trainer.processes}; use auto or never."
        )
    if optimizer.name == "lbfgs" and config.trainer.precision == "bf16-mixed":
        yield (
            "trainer.precision: L-BFGS needs the exact gradients of 32-true; "
            f"{config.trainer.precision} rounds them to 8 bits."
        )


def _image_layer_problems(style: StyleConfig) -> Iterator[str]:
    own = style.image_layers
    if not own:
        return
    if len(own) != len(style.images):
        yield (
            f"style.image_layers: {len(own)} lists of layers for {len(style.images)} style images; "
            "[] is the list of a painting that counts in all."
        )
        return
    layers = [name for name, weight in style.layers.items() if weight > 0]
    unknown = [
        f"style.image_layers[{i}]: {unknown_name(name, layers, 'style layer')}"
        for i, names in enumerate(own)
        for name in names
        if name not in layers
    ]
    yield from unknown
    if unknown or len(style.image_weights) not in (0, len(style.images)):
        return
    if missing := [layer for layer in layers if not any(shares_in(style, layer))]:
        yield (
            f"style.image_layers: no painting counts in {', '.join(missing)}; give them to one, or "
            "take them out of style.layers."
        )


def _region_problems(config: Config) -> Iterator[str]:
    regions = config.regions
    for key in ("image_weights", "image_layers"):
        if regions and getattr(config.style, key):
            yield f"style.{key}: are of style.images; regions have a weight of their own each."
    if regions and not any(one.style is not None and one.weight for one in regions):
        yield "regions: none has a style and a weight above 0, so that nothing would be painted."
    for i, region in enumerate(regions):
        if region.style is None and region.style_mask is not None:
            yield f"regions[{i}].style_mask: '{region.style_mask}' needs a style that it is of."


def _tracking_problems(tracking: TrackingConfig) -> Iterator[str]:
    if tracking.mode == "disabled":
        return
    for key in ("project", "entity", "group", "name"):
        name = getattr(tracking, key)
        if name is None:
            continue
        if not name.strip():
            yield f"tracking.{key}: '{name}' is empty; null leaves it open."
        if len(name) > NAME_AT_MOST:
            yield (
                f"tracking.{key}: '{name[:20]}...' has {len(name)} characters; W&B takes at most "
                f"{NAME_AT_MOST}."
            )
    if found := sorted(set(tracking.project or "") & set(PROJECT_WITHOUT)):
        yield (
            f"tracking.project: '{tracking.project}' has {' '.join(found)} in it; W&B takes no "
            f"{' '.join(PROJECT_WITHOUT)} in the name of a project."
        )
    for i, tag in enumerate(tracking.tags):
        if not 1 <= len(tag) <= TAG_AT_MOST:
            shown = tag if len(tag) <= TAG_AT_MOST else f"{tag[:20]}..."
            yield (
                f"tracking.tags[{i}]: '{shown}' has {len(tag)} characters; W&B takes 1 to "
                f"{TAG_AT_MOST}."
            )


def _rate_problems(config: Config) -> Iterator[str]:
    try:
        _ = config.optimizer.rate
    except ConfigError as error:
        yield str(error)


def _tune_problems(config: Config) -> Iterator[str]:
    tune = config.tune
    yield from _size_problems("tune.size", tune.size, config)
    if tune.lowest is not None and tune.highest is not None and not tune.lowest < tune.highest:
        yield f"tune.lowest: {tune.lowest} must be below tune.highest, {tune.highest}."


def _slim_clashes(config: Config) -> Iterator[str]:
    weights = config.encoder.weights
    if weights == "imagenet":
        yield (
            "encoder.weights: imagenet is the full network; "
            "encoder.name=vgg19_slim takes auto (its own) or a file."
        )
    elif weights != "auto" and Path(weights).suffix.lower() != ".safetensors":
        yield f"encoder.weights: '{weights}': a slim network is a .safetensors file."
    if config.encoder.levels == "unit":
        yield "encoder.levels: unit is for vgg19; the levels of vgg19_slim are matched to its own."
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
