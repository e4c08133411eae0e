"""What a run reads: its pictures and its encoder's weights."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from PIL import Image

from overpaint.building.encoder import used_layers
from overpaint.building.memory import SizeSetting, require_memory, shortage_told
from overpaint.building.remarks import remark, remark_on_regions
from overpaint.building.shelf import Shelf
from overpaint.encoder.layers import minimum_edge
from overpaint.encoder.weights import VggWeights
from overpaint.optimisation.device import require_accelerator
from overpaint.pictures.inputs import Inputs, SizedInputs, load_inputs, require_edges
from overpaint.pictures.masks import MaskFiles, Masks, RegionMask
from overpaint.settings.named import masks_read
from overpaint.settings.schema import Config

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sources:
    """What a run reads."""

    inputs: Inputs
    sized: SizedInputs
    """The same pictures at the size of the result."""
    weights: VggWeights


def largest_edge(config: Config) -> int:
    """Pixels of the longer edge that no picture of a run is larger than."""
    return round(config.image.size * max(1.0, config.style.scale))


def read_sources(
    config: Config,
    *,
    inputs: Inputs | None = None,
    masks: Mapping[str, Image.Image] | None = None,
    setting: SizeSetting = "image.size",
    shelf: Shelf | None = None,
) -> Sources:
    """Reads and checks what a run needs, before anything is made.

    Args:
        config: resolved settings.
        inputs: pictures in memory, in the place of the files that the settings name.
        masks: in memory, likewise, by their settings, mode L.
        setting: the one that gives the size at which steps are made.
        shelf: may have the weights already.

    Raises:
        ImageError: if a picture cannot be read, or is too small.
        ConfigError: if the accelerator asked for is not there.
        NotEnoughMemoryError: if the pictures or the steps need clearly more memory than there is.
        WeightsError: if the encoder's weights cannot be had.
    """
    layers = used_layers(config)
    trainer = config.trainer
    is_run = setting == "image.size"  # trials have one device
    several = (trainer.devices, trainer.num_nodes) if is_run else (1, 1)
    require_accelerator(trainer.accelerator, *several)
    if inputs is None:
        starts = {"file": config.init.file, "style": config.style.images[0]}
        inputs = load_inputs(
            config.content.image,
            config.style.images,
            start=starts.get(config.init.mode),
            edge=largest_edge(config),
            max_pixels=config.image.max_pixels,
        )
    hashes = dict(inputs.hashes)
    inputs = replace(inputs, masks=read_masks(config, inputs, hashes, masks), hashes=hashes)
    inputs = replace(inputs, keep=config.color.keep, match_lightness=config.color.match_lightness)
    require_memory(config, inputs, setting)
    with shortage_told(config, inputs):
        sized = inputs.at(config.image.size, style_scale=config.style.scale)
    require_edges(inputs, sized, minimum_edge(layers), style_scale=config.style.scale)
    with shortage_told(config, inputs, setting):
        weights = (shelf or Shelf()).weights(config)
    logger.info("%s: %s (sha256 %s)", weights.name, weights.path, weights.sha256[:12])
    expected = config.encoder.sha256
    if expected not in (None, weights.sha256):
        logger.warning(
            "encoder.sha256: the weights have %s, these settings were made with %s: expect another "
            "picture.",
            *(weights.sha256, expected),
        )
    for odd in (remark(config, sized), remark_on_regions(inputs.masks)):
        if odd:
            logger.warning("%s", odd)
    return Sources(inputs, sized, weights)


def read_masks(
    config: Config,
    inputs: Inputs,
    hashes: dict[str, str],
    in_memory: Mapping[str, Image.Image] | None = None,
) -> Masks:
    """Reads the masks and weight maps that settings name.

    Args:
        config: resolved settings.
        inputs: photo and paintings as they were read.
        hashes: takes in the SHA-256 of each file, by its name.
        in_memory: masks that are no files, by their settings, mode L.

    Raises:
        ImageError: if one cannot be read, is black, or of another aspect than its picture.
    """
    limit = config.image.max_pixels
    files = MaskFiles(masks_read(config), hashes, in_memory or {}, max_pixels=limit)

    def over_photo(setting: str) -> Image.Image | None:
        return files.read(setting, inputs.names[0], inputs.content)

    regions = []
    for i, region in enumerate(config.regions):
        mask, painting, within = over_photo(f"regions[{i}].content_mask"), None, None
        assert mask is not None, "every region has one"
        if region.style is not None:
            painting = config.style.images.index(region.style)
            picture = inputs.styles[painting]
            within = files.read(f"regions[{i}].style_mask", region.style, picture)
        regions.append(RegionMask(mask, painting, within, region.weight))
    return Masks(
        tuple(regions),
        style=over_photo("style.weight_map"),
        content=over_photo("content.weight_map"),
    )
