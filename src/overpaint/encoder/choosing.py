"""Which network a run reads pictures with."""

from __future__ import annotations

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
from overpaint.errors import ConfigError, unknown_name


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
        weights: `auto` for those in this package (for `vgg19` the file that NEURAL_STYLE_VGG19
            names comes first); `imagenet` for torchvision's; or a file.
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
    """The weights of the encoder asked for.

    Args:
        name: `vgg19` or `vgg19_slim`.
        source: for `vgg19` as for `load_weights`; for `vgg19_slim` `auto`, this package's own, or a
            file.
        convolutions: those to read, from the first one on.

    Raises:
        WeightsError: if they cannot be had, or are damaged or something else.
    """
    if name == "vgg19_slim":
        return load_slim(BUILT_IN if source == "auto" else Path(source), convolutions)
    return load_weights(source, convolutions)
