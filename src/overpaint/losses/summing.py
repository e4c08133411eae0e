"""Sums over the positions of an image's maps, however the network is computed.

Whole, in bands of rows, or by several processes of which each has a part of the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import prod
from typing import Protocol, cast

from torch import Tensor

from overpaint.banding.bands import Rows
from overpaint.banding.network import PIXELS, Tally, Totals, tally_in_bands
from overpaint.banding.shares import Share
from overpaint.encoder.calibration import Calibration
from overpaint.encoder.layers import poolings_before
from overpaint.encoder.vgg import Vgg19Features, Visit
from overpaint.losses.statistics import Summed


class Encoder(Protocol):
    """What an objective needs of a network: maps by name, handed out while they are computed."""

    @property
    def calibration(self) -> Mapping[str, Calibration]:
        """Of a slimmer network's layers; empty for VGG-19 itself."""

    def __call__(
        self, image: Tensor, layers: Iterable[str], *, visit: Visit | None = None
    ) -> Mapping[str, Tensor]:
        """The maps of `layers`, as `Vgg19Features.forward` returns them."""


@dataclass(frozen=True)
class Summing:
    """How an image's maps are computed and summed."""

    encoder: Encoder
    layers: Sequence[str]
    """Names of the maps."""
    bands: Sequence[int] = ()
    """Rows of a band in each block of the network; 0: computed whole."""
    share: Share | None = None
    """Of this process in the rows; None: there is no other one."""

    def __call__(self, image: Tensor, tally: Tally) -> dict[str, Summed]:
        """The totals of what is tallied of an image, and the numbers of positions, by layer."""
        layers = self.layers
        part = self.share.part(layers, image.shape[2]) if self.share else None
        shapes: dict[str, tuple[int, int]] = {}

        def counted(
            layer: str, features: Tensor, rows: Rows | None
        ) -> tuple[Tensor, Sequence[Tensor]]:
            height, width = features.shape[-2:]
            height = height if rows is None else rows.height
            shapes[layer] = height, width
            if part is not None:
                rows = part.rows(_poolings(layer), height, rows)
            return tally(layer, features, rows)

        x = image if part is None else image[:, :, part.source]
        if any(self.bands):
            encoder = cast(Vgg19Features, self.encoder)
            totals = tally_in_bands(encoder, x, layers, self.bands, counted)
        else:
            totals = {PIXELS: tuple(counted(PIXELS, x, None)[1])}

            def visit(layer: str, features: Tensor) -> Tensor:
                features, sums = counted(layer, features, None)
                totals[layer] = tuple(sums)
                return features

            self.encoder(x, layers, visit=visit)
        if part is not None and self.share is not None:
            totals = _added_up(totals, self.share)
            below = cast(Vgg19Features, self.encoder).beyond(layers, image)[0]
            for layer, (_, width) in shapes.items():
                beyond = 0 if layer == PIXELS else below
                shapes[layer] = (image.shape[2] + beyond) >> _poolings(layer), width
        return {layer: Summed(sums, prod(shapes[layer])) for layer, sums in totals.items()}

    def own_rows(self, maps: Mapping[str, Tensor], height: int) -> dict[str, Tensor]:
        """Those rows that this process counts.

        Args:
            maps: by layer, each (..., H', W'), of the whole of an image.
            height: of the image.
        """
        part = self.share.part(self.layers, height) if self.share else None
        if part is None:
            return dict(maps)
        return {
            layer: one[..., part.own(_poolings(layer)), :].clone() for layer, one in maps.items()
        }


def _poolings(layer: str) -> int:
    """That lie before a layer's map, or the image itself."""
    return 0 if layer == PIXELS else poolings_before(layer)


def _added_up(totals: Totals, share: Share) -> Totals:
    """The sums of all processes."""
    added = iter(share.total([one for sums in totals.values() for one in sums]))
    return {layer: tuple(islice(added, len(sums))) for layer, sums in totals.items()}
