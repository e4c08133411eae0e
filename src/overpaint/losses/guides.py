"""What is said about places, as losses need it, and what masks at the size of a run say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from overpaint.pictures.colour.recoloring import recolored
from overpaint.pictures.masks import NO_MASKS, Masks
from overpaint.pictures.tensors import to_weights

_ROUNDING = 1 / 512  # less than half a grey level is nothing


@dataclass(frozen=True)
class Region:
    """Where the style of paintings goes, and where in them it is from."""

    mask: Tensor
    """(1, 1, H, W), as large as the photo, in [0, 1]."""
    shares: Sequence[float] | None
    """Of each painting, those of share 0 do not count; None: as in a picture without regions."""
    within: Tensor | None = None
    """(1, 1, h, w), as large as the paintings that count, in [0, 1]; None: all of them."""
    weight: float = 1.0


@dataclass(frozen=True)
class Guides:
    """What is said about places. Without any of it a picture is painted alike everywhere."""

    regions: tuple[Region, ...] = ()
    """By default one: all of the picture, in the style of all paintings."""
    style: Tensor | None = None
    """(1, 1, H, W) in [0, 1]: how much of the style weight counts at a place."""
    content: Tensor | None = None
    """Likewise, of the content weight."""
    kept: Tensor | None = None
    """(1, 1, H, W) in [0, 1]: how much of the photo stands in the picture at a place as it is."""


def shares_of(masks: Masks) -> Tensor:
    """How much of each place belongs to each region: (R, 1, H, W), at most 1 in all.

    Where masks together say more than wholly, each has its share of that.
    """
    levels = torch.cat([to_weights(region.mask) for region in masks.regions])
    return levels / levels.sum(0).clamp_min(1)


def kept_photo(masks: Masks) -> Tensor | None:
    """How much of the photo stays at each place as it is, (1, 1, H, W); None if nothing does."""
    if not masks.regions:
        return None
    painted = torch.tensor([region.painting is not None for region in masks.regions])
    kept = (1 - shares_of(masks)[painted].sum(0, keepdim=True)).clamp(0, 1)
    return kept if kept.max() > _ROUNDING else None


def build_guides(
    masks: Masks, paintings: int, *, device: torch.device | None = None
) -> Guides | None:
    """What masks at the size of a run's pictures mean for its losses; None if there are none.

    Args:
        masks: in the sizes of their pictures.
        paintings: how many there are.
        device: of the losses.
    """
    if masks == NO_MASKS:
        return None

    def weights(mask: Image.Image | None) -> Tensor | None:
        return None if mask is None else to_weights(mask).to(device)

    regions = []
    for region, share in zip(masks.regions, shares_of(masks) if masks.regions else (), strict=True):
        if region.painting is None or region.weight == 0:
            continue
        shares = [float(region.painting == number) for number in range(paintings)]
        regions.append(
            Region(share[None].to(device), shares, weights(region.within), region.weight)
        )
    kept = kept_photo(masks)
    return Guides(
        tuple(regions),
        style=weights(masks.style),
        content=weights(masks.content),
        kept=None if kept is None else kept.to(device),
    )


def recolored_where(photo: Tensor, paintings: Sequence[Tensor], masks: Masks) -> Tensor:
    """A photo of which each region has the colours of its painting, and the rest its own.

    Args:
        photo: (1, 3, H, W), sRGB in [0, 1].
        paintings: each (1, 3, h, w).
        masks: with regions, in the sizes of their pictures.
    """
    shares = shares_of(masks)
    total = photo * (1 - shares.sum(0, keepdim=True))
    for region, share in zip(masks.regions, shares[:, None], strict=True):
        own = photo
        if region.painting is not None:
            within = None if region.within is None else to_weights(region.within)
            own = recolored(photo, [paintings[region.painting]], where=share, within=within)
        total = total + share * own
    return total.clamp(0, 1)
