"""Sliced Wasserstein distances: how far a cloud of points is from another, seen from all sides."""

from __future__ import annotations

import torch
from torch import Tensor

QUANTILES = 1024
MOST_POINTS = 16384  # of a cloud, for the sake of time; evenly spaced ones stand for the others


def directions(dimensions: int, count: int = 64, seed: int = 0) -> Tensor:
    """Unit vectors, (dimensions, count), always the same ones for the same arguments."""
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(
        torch.randn(dimensions, count, generator=generator, dtype=torch.float64).float(), dim=0
    )


def quantiles(points: Tensor, sides: Tensor) -> Tensor:
    """The distribution of a cloud along each direction.

    Args:
        points: (N, D).
        sides: (D, K), unit vectors.

    Returns:
        (`QUANTILES`, K), the values at the middle of as many equal shares of the points.
    """
    if len(points) > MOST_POINTS:
        points = points[torch.linspace(0, len(points) - 1, MOST_POINTS).round().long()]
    ordered = (points.float() @ sides).sort(0).values
    places = (torch.arange(QUANTILES) + 0.5) / QUANTILES * len(ordered) - 0.5
    places = places.clamp(0, len(ordered) - 1)
    below = places.floor().long()
    share = (places - below)[:, None]
    return torch.lerp(ordered[below], ordered[(below + 1).clamp_max(len(ordered) - 1)], share)


def sliced_wasserstein(a: Tensor, b: Tensor) -> float:
    """The mean over directions of the squared Wasserstein-2 distance of two clouds' shadows.

    Args:
        a: (N, D).
        b: (M, D).

    Rabin et al. 2011, "Wasserstein Barycenter and Its Application to Texture Mixing".
    """
    sides = directions(a.shape[1]).to(a.device)
    return float((quantiles(a, sides) - quantiles(b, sides)).square().mean())
