"""Colours as people see them apart: in Oklab (Ottosson 2020), where distances are perceptual."""

from __future__ import annotations

import math

import torch
from judging.wasserstein import sliced_wasserstein
from torch import Tensor
from torch.nn import functional as F

from overpaint.pictures.colour.oklab import CONES, LAB

_BIN = 0.02  # edge of a tint in the plane of a and b; neighbours differ barely visibly
_NEAR = 2  # bins around a tint that count as the same
_LEAST = 1e-4  # share of a picture's pixels that makes a tint one of its own


def oklab(picture: Tensor) -> Tensor:
    """SRGB in [0, 1], (1, 3, H, W), as L in [0, 1] and a, b about in [-0.4, 0.4]."""
    linear = torch.where(
        picture <= 0.04045, picture / 12.92, ((picture + 0.055) / 1.055).clamp_min(0) ** 2.4
    )
    cones = torch.einsum("ij,bjhw->bihw", linear.new_tensor(CONES), linear)
    return torch.einsum("ij,bjhw->bihw", linear.new_tensor(LAB), cones.clamp_min(0) ** (1 / 3))


def palette_distance(picture: Tensor, painting: Tensor) -> float:
    """Sliced Wasserstein distance of the colours, in hundredths of Oklab's unit.

    A just visible difference between two flat colours is about 2.

    Args:
        picture: (1, 3, H, W), sRGB in [0, 1].
        painting: likewise, of any size.
    """
    points = [oklab(one)[0].flatten(1).T for one in (picture, painting)]
    return 100 * math.sqrt(sliced_wasserstein(points[0], points[1]))


def chroma_difference(picture: Tensor, photo: Tensor) -> float:
    """Mean distance of colours to those of the same places, without their lightness, likewise.

    Args:
        picture: (1, 3, H, W), sRGB in [0, 1].
        photo: likewise, of that size.
    """
    difference = (oklab(picture) - oklab(photo))[:, 1:]
    return 100 * float(difference.square().sum(1).sqrt().mean())


def foreign_tints(picture: Tensor, photo: Tensor, painting: Tensor) -> float:
    """The share, in [0, 1], of pixels of a tint (hue and chroma) that neither source has."""
    known = _tints(photo) + _tints(painting)
    return float((_histogram(picture) * (known == 0)).sum())


def _histogram(picture: Tensor) -> Tensor:
    """Shares of pixels by a and b, (bins, bins)."""
    bins = round(1 / _BIN)
    places = ((oklab(picture)[0, 1:].flatten(1) + 0.5) / _BIN).long().clamp(0, bins - 1)
    counts = torch.bincount(places[0] * bins + places[1], minlength=bins * bins)
    return counts.view(bins, bins).float() / counts.sum()


def _tints(picture: Tensor) -> Tensor:
    """1 where a picture has a tint or one like it, else 0."""
    own = (_histogram(picture) >= _LEAST).float()[None, None]
    return F.max_pool2d(own, 2 * _NEAR + 1, stride=1, padding=_NEAR)[0, 0]
