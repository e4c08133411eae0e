"""Bringing a photo to the colours of a painting."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from overpaint.pictures.deep.picture import bands

# Standard deviation, in [0, 1], below which a photo's colours count as flat: stretching them would
# only raise noise.
_FLAT = 0.02


def recolored(
    photo: Tensor,
    paintings: Sequence[Tensor],
    shares: Sequence[float] = (),
    *,
    where: Tensor | None = None,
    within: Tensor | None = None,
) -> Tensor:
    """A photo whose colours have the mean and the covariance of a painting's.

    Of the linear maps that do so it is the one that moves the colours least: the optimal transport
    between two Gaussians (Pitie & Kokaram 2007, "The linear Monge-Kantorovitch linear colour
    mapping for example-based colour transfer").

    Args:
        photo: (1, 3, H, W), sRGB in [0, 1].
        paintings: one or more, likewise, of any sizes; of several the moments are averaged.
        shares: of each painting; by default equal.
        where: (1, 1, H, W) in [0, 1], which part of the photo is to have those colours; by default
            all of it. The rest goes along.
        within: (1, 1, h, w), likewise for the paintings: which part of them has the colours.

    Returns:
        A new (1, 3, H, W) tensor on the photo's device; what leaves [0, 1] is clamped, so that the
        moments are met only nearly.
    """
    weights = torch.tensor(list(shares) or [1.0] * len(paintings), dtype=torch.float64)
    weights = weights / weights.sum()
    mean, covariance = _moments(photo, where)
    moments = [_moments(painting, within) for painting in paintings]
    goal_mean = sum(w * one[0] for w, one in zip(weights, moments, strict=True))
    goal = sum(w * one[1] for w, one in zip(weights, moments, strict=True))
    root = _root(covariance + _FLAT**2 * torch.eye(3))
    inverse = torch.linalg.inv(root)
    transport = inverse @ _root(root @ goal @ root) @ inverse
    moved = torch.empty_like(photo)
    for rows in bands(photo.shape[-1], photo.shape[-2]):
        colours = photo[:, :, rows].double().cpu() - mean[:, None, None]
        colours = torch.einsum("ij,bjhw->bihw", transport, colours)
        moved[:, :, rows] = (colours + goal_mean[:, None, None]).clamp(0, 1).to(photo)
    return moved


def _moments(image: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Mean, (3,), and covariance, (3, 3), of an image's colours, on the CPU in float64."""
    if weights is not None and not weights.any():
        weights = None  # a part so small that nothing of it is left at this size
    parts = []  # of each band: what its pixels weigh, their mean and covariance
    for rows in bands(image.shape[-1], image.shape[-2]):
        colours = image[0, :, rows].flatten(1).double().cpu()
        if weights is None:
            mass = torch.tensor(float(colours.shape[1]), dtype=torch.float64)
            parts.append((mass, colours.mean(1), torch.cov(colours, correction=0)))
            continue
        counted = weights[0, 0, rows].flatten().double().cpu()
        if counted.any():
            mean = colours @ counted / counted.sum()
            covariance = torch.cov(colours, correction=0, aweights=counted)
            parts.append((counted.sum(), mean, covariance))
    if len(parts) == 1:
        return parts[0][1], parts[0][2]
    whole = torch.stack([mass for mass, _, _ in parts]).sum()
    mean = torch.stack([mass / whole * one for mass, one, _ in parts]).sum(0)
    spread = [
        mass / whole * (own + torch.outer(one - mean, one - mean)) for mass, one, own in parts
    ]
    return mean, torch.stack(spread).sum(0)


def _root(matrix: Tensor) -> Tensor:
    """The square root of a symmetric matrix without negative eigenvalues, (3, 3)."""
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    return root
