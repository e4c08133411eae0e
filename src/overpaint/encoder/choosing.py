"""Which network a run reads pictures with, and what stands in where it cannot be had."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

from overpaint.encoder.layers import SLIM_CONVOLUTIONS, Convolution, EncoderName
from overpaint.encoder.slim import BUILT_IN, load_slim
from overpaint.encoder.weights import VggWeights, load_weights
from overpaint.errors import WeightsError, WeightsUnavailableError

logger = logging.getLogger(__name__)


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
