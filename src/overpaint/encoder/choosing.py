"""Which network a run reads pictures with, and what stands in where it cannot be had."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from overpaint.encoder.layers import (
    CONTENT_LAYERS,
    LAYER_NAMES,
    SLIM_CONVOLUTIONS,
    STYLE_LAYERS,
    Convolution,
    EncoderName,
    Pooling,
    convolutions_up_to,
)
from overpaint.encoder.slim import BUILT_IN, load_slim
from overpaint.encoder.vgg import Vgg19Features
from overpaint.encoder.weights import VggWeights, load_weights
from overpaint.errors import ConfigError, WeightsError, WeightsUnavailableError, unknown_name

logger = logging.getLogger(__name__)


def load_encoder(
    name: EncoderName = "vgg19",
    *,
    weights: str | Path = "auto",
    deepest: str = "relu5_1",
    pooling: Pooling = "max",
) -> Vgg19Features:
    """The frozen network, ready for pictures.

        features = load_encoder("vgg19")(image, ["relu4_2"])["relu4_2"]

    Args:
        name: `vgg19` or `vgg19_slim`.
        weights: `auto` finds those of the network, and for `vgg19` takes the slim one's where there
            are none; `imagenet` for torchvision's; or a file.
        deepest: the last layer to load; those before it are there too.
        pooling: `max` or `avg`.

    Returns:
        A module on the CPU; called with a (B, 3, H, W) image in sRGB from 0 to 1 and the names of
        layers, it returns their maps. Without names it returns the default content and style
        layers, as far as it reaches.

    Raises:
        ConfigError: if the name, the layer or the pooling is unknown, or the layer is beyond what
            `vgg19_slim` has.
        WeightsError: if the weights cannot be had, or are damaged or something else.
    """
    known = get_args(EncoderName)
    if name not in known:
        raise ConfigError(unknown_name(name, known, "network"))
    convolutions = convolutions_up_to([deepest])
    if name == "vgg19_slim" and len(convolutions) > len(SLIM_CONVOLUTIONS):
        raise ConfigError(f"'{deepest}' is not in vgg19_slim, which ends with relu5_1; use vgg19.")
    found = find_encoder(name, str(weights), convolutions)
    reached = LAYER_NAMES[: LAYER_NAMES.index(deepest) + 1]
    layers = [layer for layer in (*STYLE_LAYERS, *CONTENT_LAYERS) if layer in reached]
    return Vgg19Features(
        [*layers, deepest],
        found.tensors,
        pooling=pooling,
        whole=True,
        calibration=found.calibration,
    )


def find_encoder(name: EncoderName, source: str, convolutions: Sequence[Convolution]) -> VggWeights:
    """The weights of the encoder asked for, or of the slim one where `auto` finds no other.

    Args:
        name: `vgg19` or `vgg19_slim`.
        source: for `vgg19` as for `load_weights`; for `vgg19_slim` `auto`, this package's own, or a
            file.
        convolutions: those to read, from the first one on.

    Returns:
        The weights; `fallback` says why if they are not those of `name`.

    Raises:
        WeightsError: if they cannot be had, or are damaged or something else.
    """
    if name == "vgg19_slim":
        return load_slim(BUILT_IN if source == "auto" else Path(source), convolutions)
    try:
        return load_weights(source, convolutions)
    except WeightsUnavailableError as error:
        if source != "auto":
            raise
        if len(convolutions) > len(SLIM_CONVOLUTIONS):
            raise WeightsUnavailableError(
                f"{error} The built-in slim network cannot stand in: it ends with relu5_1."
            ) from error
        try:
            slim = load_slim(BUILT_IN, convolutions)
        except WeightsError as damage:
            raise WeightsError(f"{error} Nor can the built-in one be read: {damage}") from damage
        logger.warning(
            "WARNING: painting with the built-in vgg19_slim instead of VGG-19, so the picture will "
            "be a little different. %s Refuse with encoder.weights=imagenet.",
            error,
        )
        return dataclasses.replace(slim, fallback=str(error))
