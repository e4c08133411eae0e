"""What brings the losses of a slimmer network to the size of VGG-19's."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Calibration:
    """The ratios of one layer."""

    content: float
    """Squared distances of VGG-19's features between pictures over those of the slimmer ones."""
    style: float
    """The same of their Gram matrices."""
    channels: int
    """VGG-19's number of channels."""
    balance: float = 1.0
    """Factor of the style loss beyond that, under every normalization: an optimiser finds pictures
    whose style error the slimmer network overlooks more than their content error."""
