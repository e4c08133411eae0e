"""The encoder of a run: which layers, and in which arithmetic."""

from __future__ import annotations

import torch

from overpaint.encoder.levels import with_unit_levels
from overpaint.encoder.vgg import Vgg19Features
from overpaint.encoder.weights import VggWeights
from overpaint.optimisation.device import best_layout, best_precision
from overpaint.pictures.tensors import load_picture
from overpaint.settings.schema import Config, ContentConfig, StyleConfig
from overpaint.settings.shipped import find_picture

_LEVELS_SIZE = 384  # longer edge of the pictures that levels are measured on, pixels


def used_layers(config: Config) -> tuple[str, ...]:
    """The content and style layers of weight above 0."""
    weights = [*config.content.layers.items(), *config.style.layers.items()]
    return tuple(dict.fromkeys(name for name, weight in weights if weight > 0))


def choose_precision(config: Config, device: torch.device) -> str:
    """`trainer.precision`, with `auto` decided by the device and the optimiser."""
    if config.trainer.precision != "auto":
        return config.trainer.precision
    # L-BFGS compares gradients of neighbouring points, which eight bits cannot tell apart.
    return "32-true" if config.optimizer.name == "lbfgs" else best_precision(device)


def build_encoder(
    config: Config, weights: VggWeights, device: torch.device, precision: str
) -> Vgg19Features:
    """The frozen network on its device, in the memory layout that suits the precision.

    Levels of 1 are those over the two sample pictures, the same for every run of a network.
    """
    tensors = weights.tensors
    if config.encoder.levels == "unit":
        samples = (ContentConfig().image, *StyleConfig().images)
        pictures = [load_picture(find_picture(name), _LEVELS_SIZE) for name in samples]
        tensors = with_unit_levels(tensors, pictures)
    encoder = Vgg19Features(
        used_layers(config),
        tensors,
        pooling=config.encoder.pooling,
        whole=True,
        calibration=weights.calibration,
    )
    return encoder.to(device, memory_format=best_layout(precision))  # type: ignore[call-overload,no-any-return]
