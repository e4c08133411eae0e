"""What a run has read and built of its network, for the next one that wants the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from overpaint.building.encoder import build_encoder, used_layers
from overpaint.building.objective import StyleTargets
from overpaint.callbacks.progress import Watcher
from overpaint.encoder.choosing import find_encoder
from overpaint.encoder.layers import convolutions_up_to
from overpaint.encoder.vgg import Vgg19Features
from overpaint.encoder.weights import VggWeights
from overpaint.settings.schema import Config


class Shelf:
    """Keeps the last weights, the last encoder and what it measured; others take their place."""

    def __init__(self) -> None:
        self._weights: tuple[Any, VggWeights] | None = None
        self._encoder: tuple[Any, Vgg19Features] | None = None
        self.styles = StyleTargets()
        """Measured by that encoder."""

    def weights(self, config: Config) -> VggWeights:
        """The weights that the settings name.

        Raises:
            WeightsError: if they cannot be had, or are damaged or something else.
        """
        convolutions = tuple(convolutions_up_to(used_layers(config)))
        wanted = (config.encoder.name, config.encoder.weights, convolutions)
        if self._weights is None or self._weights[0] != wanted:
            self._weights = None  # two networks need not be in memory at once
            self._weights = (wanted, find_encoder(*wanted))
        return self._weights[1]

    def encoder(
        self, config: Config, weights: VggWeights, device: torch.device, precision: str
    ) -> Vgg19Features:
        """The frozen network on its device; see `build_encoder`."""
        wanted = (
            *(weights.name, weights.path, weights.sha256, used_layers(config)),
            *(config.encoder.pooling, config.encoder.levels, device, precision),
        )
        if self._encoder is None or self._encoder[0] != wanted:
            self._encoder = None
            self.styles = StyleTargets()
            self._encoder = (wanted, build_encoder(config, weights, device, precision))
        return self._encoder[1].to(device)


@dataclass(frozen=True)
class Siblings:
    """What a run has in common with those that are made beside, before and after it."""

    group: str | None = None
    """Of their W&B runs, where no other is asked for."""
    shelf: Shelf | None = None
    overall: Watcher | None = None
    """What follows how far all of them are."""


ALONE = Siblings()
