"""A network whose channels all have a mean activation of 1, as Gatys et al. 2015 had it.

Their section Methods scales the weights of VGG-19 so that the mean activation of each filter over
images and positions is 1. ReLU and pooling let a positive factor through, so the rescaled network
sees the same things; but a loss no longer hears the channels that happen to be loud above all
others, and equal weights of layers weigh them alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from overpaint.encoder.layers import CONVOLUTIONS
from overpaint.encoder.vgg import Vgg19Features

# Of a layer's mean level: what a channel that hardly answers counts as, or its noise would be
# raised to the others' level.
_LEAST = 0.05


def mean_levels(weights: Mapping[str, Tensor], pictures: Sequence[Tensor]) -> dict[str, Tensor]:
    """The mean activation of every channel after its ReLU, over positions and pictures.

    Args:
        weights: `convB_I.weight` and `convB_I.bias` from `conv1_1` to any depth.
        pictures: each (1, 3, H, W), sRGB in [0, 1]; positions count alike in all.

    Returns:
        `convB_I` to (C,), each at least 0.05 times the layer's mean.
    """
    table = [layer for layer in CONVOLUTIONS if f"{layer.conv}.weight" in weights]
    encoder = Vgg19Features([layer.relu for layer in table], weights, whole=True)
    totals = {layer.conv: torch.zeros(len(weights[f"{layer.conv}.bias"])) for layer in table}
    positions = dict.fromkeys(totals, 0)
    with torch.no_grad():
        for picture in pictures:
            for layer, maps in zip(table, encoder(picture).values(), strict=True):
                totals[layer.conv] += maps[0].flatten(1).sum(1)
                positions[layer.conv] += maps[0, 0].numel()
    levels = {conv: total / positions[conv] for conv, total in totals.items()}
    return {conv: level.clamp_min(_LEAST * float(level.mean())) for conv, level in levels.items()}


def with_unit_levels(
    weights: Mapping[str, Tensor], pictures: Sequence[Tensor]
) -> dict[str, Tensor]:
    """The same network with each channel divided by its mean level over pictures.

    Args:
        weights: as for `mean_levels`; not changed.
        pictures: likewise.
    """
    scaled: dict[str, Tensor] = {}
    below: Tensor | None = None
    for conv, level in mean_levels(weights, pictures).items():
        weight = weights[f"{conv}.weight"] / level[:, None, None, None]
        scaled[f"{conv}.weight"] = weight if below is None else weight * below[:, None, None]
        scaled[f"{conv}.bias"] = weights[f"{conv}.bias"] / level
        below = level
    return scaled
