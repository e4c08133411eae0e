"""What of a photo's features is kept, and how far a picture is from it."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from overpaint.banding.bands import Rows, empty_map
from overpaint.losses.fused import at_least_float32, with_squared_distance
from overpaint.losses.statistics import Summed


class ContentTarget(nn.Module):
    """The photo's features of one layer, and the factor of the squared distance to them.

    Args:
        value: the features, in the dtype that the encoder hands out.
        scale: the factor.
        weights: (H, W), how much each position counts; by default all do alike.
    """

    value: Tensor
    scale: Tensor
    weights: Tensor | None

    def __init__(self, value: Tensor, scale: Tensor | float, weights: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("weights", None if weights is None else weights[None, None])
        self.register_buffer("value", value)
        wide = at_least_float32(value[:0]).dtype
        self.register_buffer("scale", torch.as_tensor(scale, dtype=wide, device=value.device))

    def sums(self, x: Tensor, rows: Rows | None = None) -> tuple[Tensor, tuple[Tensor, ...]]:
        """x, to be used from here on, and what its rows add to the squared distance."""
        value, weights, here = self.value, self.weights, None
        if rows is not None:
            value, here = value[:, :, rows.there], rows.here
            weights = None if weights is None else weights[:, :, rows.there]
        x, distance = with_squared_distance(x, value, here, weights)
        return x, (distance,)

    def forward(self, image: Summed) -> Tensor:
        """The losses (B,) of images."""
        (distance,) = image.sums
        return self.scale * distance


@dataclass
class Photo:
    """What targets need of a photo's maps."""

    maps: dict[str, Tensor] = field(default_factory=dict)
    channels: dict[str, int] = field(default_factory=dict)
    positions: dict[str, int] = field(default_factory=dict)
    squares: dict[str, Tensor] = field(default_factory=dict)
    """The sums of the squares of the maps that are kept."""

    def keep(self, layer: str, features: Tensor, rows: Rows | None) -> None:
        """Keeps a map, or puts rows of it in their place."""
        if rows is None:
            self.maps[layer] = features
            return
        if layer not in self.maps:
            self.maps[layer] = empty_map(features, rows.height)
        self.maps[layer][:, :, rows.there] = features[:, :, rows.here]
