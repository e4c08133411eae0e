"""Which painting goes where, and how much: weights of the positions of each layer.

A region is a map of weights over the picture. Its style is that of the positions of each layer
which see the region; they are compared with a painting, or a part of it, as a whole picture is
without regions. A layer's loss is the sum over regions of their losses, each times the region's
weight and its share of the area: so one `style_weight` means the same for a picture, a half of it,
and two halves.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from overpaint.banding.bands import Rows
from overpaint.encoder.vgg import Vgg19Features, mirrored
from overpaint.losses.guided import with_guided_moments
from overpaint.losses.guides import Guides, Region
from overpaint.losses.statistics import (
    CovarianceTarget,
    GramTarget,
    Scale,
    Statistic,
    StyleTarget,
    Summed,
)
from overpaint.losses.summing import Summing


def guidance(summing: Summing, mask: Tensor) -> dict[str, Tensor]:
    """The weights of the positions of layers, (H', W') each, that a map of pixels gives.

    Averages over the squares that poolings put together: of what Gatys et al. 2017 list, growing
    and shrinking regions by what a position sees bleeds more (docs/control.md).

    Args:
        summing: whose layers they are.
        mask: (1, 1, H, W) in [0, 1].
    """
    encoder, layers = summing.encoder, summing.layers
    assert isinstance(encoder, Vgg19Features), "only VGG-19 is guided"
    below, right = encoder.beyond(layers, mask)
    x = mirrored(mirrored(mask, 2, below), 3, right)
    found: dict[str, Tensor] = {}
    for number, block in enumerate(encoder.blocks(layers, mask)):
        x = F.avg_pool2d(x, 2) if number else x
        names = {name for layer in block for name in (layer.conv, layer.relu)}
        found |= dict.fromkeys(names.intersection(layers), x[0, 0])
    return found


class GuidedTarget(nn.Module):
    """The targets of several regions in one layer.

    Args:
        targets: of each region, of the same statistics.
        maps: (R, H, W), the weights of those positions of the layer that are counted here.
        positions: (R,), what the weights of all positions add up to.
        factors: (R,), of each region's loss.
    """

    maps: Tensor
    positions: Tensor
    factors: Tensor

    def __init__(
        self, targets: Sequence[StyleTarget], maps: Tensor, positions: Tensor, factors: Tensor
    ) -> None:
        super().__init__()
        self.targets = nn.ModuleList(targets)
        self.register_buffer("maps", maps)
        self.register_buffer("positions", _divisors(positions))
        self.register_buffer("factors", factors)

    def sums(self, features: Tensor, rows: Rows | None = None) -> tuple[Tensor, tuple[Tensor, ...]]:
        """(B, C, H, W) features, to be used from here on, and what their rows add to the sums."""
        features, products, sums = _guided(features, self.maps, rows)
        return features, (products, sums)

    def forward(self, image: Summed) -> Tensor:
        """The losses (B,) of images."""
        products, sums = image.sums
        losses = [
            target(Summed((products[:, i], sums[:, i]), self.positions[i]))
            for i, target in enumerate(self.targets)
        ]
        return (torch.stack(losses, 1) * self.factors).sum(1)


LayerTarget = StyleTarget | GuidedTarget


def measured_targets(
    summing: Summing,
    styles: Sequence[Tensor],
    guides: Guides,
    make_target: type[GramTarget] | type[CovarianceTarget],
    scales: Mapping[str, Scale],
    shares: Mapping[str, Sequence[float]],
) -> nn.ModuleDict:
    """The targets of each style layer: `LayerTarget`s.

    Args:
        summing: of the pictures.
        styles: the paintings.
        guides: which of them count where.
        make_target: the class of the statistics.
        scales: of each style layer.
        shares: of each painting in each of them, where no region says it.
    """
    if not guides.regions and guides.style is None:
        sums = [_sums(summing, style, scales, make_target.sums) for style in styles]
        plain = {
            layer: make_target([one[layer] for one in sums], shares[layer], scale)
            for layer, scale in scales.items()
        }
        return nn.ModuleDict(plain)
    regions = guides.regions
    if guides.style is not None:
        regions = regions or (Region(torch.ones_like(guides.style), None),)
    maps = _maps_of(summing, regions, guides.style, scales)
    own = summing.own_rows(maps, regions[0].mask.shape[2])
    found = [_parts_of(region, summing, styles, scales, make_target.sums) for region in regions]
    guided = {}
    for layer, scale in scales.items():
        targets = [
            make_target(
                [sums[layer] for sums in parts.values()],
                [(region.shares or shares[layer])[i] for i in parts],
                scale,
            )
            for region, parts in zip(regions, found, strict=True)
        ]
        positions = maps[layer].sum((1, 2))
        weights = positions.new_tensor([region.weight for region in regions])
        factors = positions * weights / maps[layer][0].numel()
        guided[layer] = GuidedTarget(targets, own[layer], positions, factors)
    return nn.ModuleDict(guided)


def _maps_of(
    summing: Summing, regions: Sequence[Region], more: Tensor | None, layers: Collection[str]
) -> dict[str, Tensor]:
    """The weights (R, H', W') of all positions of each layer: of regions, times those of a map."""
    found = [guidance(summing, region.mask) for region in regions]
    factors = {} if more is None else guidance(summing, more)
    maps = {layer: torch.stack([one[layer] for one in found]) for layer in layers}
    return {layer: one * factors[layer] if factors else one for layer, one in maps.items()}


def _parts_of(
    region: Region,
    summing: Summing,
    styles: Sequence[Tensor],
    layers: Collection[str],
    statistic: Statistic,
) -> dict[int, dict[str, Summed]]:
    """The sums of the paintings that count in a region, by their number."""
    found = {}
    for number, style in enumerate(styles):
        if region.shares is None or region.shares[number] > 0:
            found[number] = _sums(summing, style, layers, statistic, region.within)
    return found


def _sums(
    summing: Summing,
    painting: Tensor,
    layers: Collection[str],
    statistic: Statistic,
    within: Tensor | None = None,
) -> dict[str, Summed]:
    """The sums of a painting, or of a part of it."""
    maps = {}
    if within is not None and within.any():  # else nothing of it is left at this size
        maps = guidance(summing, within)
    own = summing.own_rows(maps, painting.shape[2])

    def count(layer: str, features: Tensor, rows: Rows | None) -> tuple[Tensor, tuple[Tensor, ...]]:
        if layer not in layers:
            return features, ()
        if layer not in maps:
            return statistic(features, rows)
        features, products, sums = _guided(features, own[layer][None], rows)
        return features, (products[:, 0], sums[:, 0])

    found = summing(painting, count)
    for layer in maps.keys() & set(layers):
        found[layer] = Summed(found[layer].sums, _divisors(maps[layer].sum()))
    return found


def _guided(features: Tensor, maps: Tensor, rows: Rows | None) -> tuple[Tensor, Tensor, Tensor]:
    """`with_guided_moments` of a map or some rows of it, with the weights of all that count."""
    if rows is None:
        return with_guided_moments(features, maps)
    return with_guided_moments(features, maps[:, rows.there], rows.here)


def _divisors(positions: Tensor) -> Tensor:
    """A region that a layer has no position of has sums of 0, and no target either."""
    return positions.clamp_min(torch.finfo(torch.float32).tiny)
