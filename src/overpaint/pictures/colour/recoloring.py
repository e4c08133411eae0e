"""Bringing a photo to the colours of a painting."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from overpaint.pictures.deep.picture import bands

# Standard deviation, in [0, 1], below which a photo's colours count as flat: stretching them would
# only raise noise.
_FLAT = 0.02


def recolored(photo: Tensor, paintings: Sequence[Tensor], shares: Sequence[float] = ()) -> Tensor:
    """A photo whose colours have the mean and the covariance of a painting's.

    Of the linear maps that do so it is the one that moves the colours least: the optimal transport
    between two Gaussians (Pitie & Kokaram 2007, "The linear Monge-Kantorovitch linear colour
    mapping for example-based colour transfer").

    Args:
        photo: (1, 3, H, W), sRGB in [0, 1].
        paintings: one or more, likewise, of any sizes; of several the moments are averaged.
        shares: of each painting; by default equal.

    Returns:
        A new (1, 3, H, W) tensor on the photo's device; what leaves [0, 1] is clamped, so that the
        moments are met only nearly.
    """
    weights = torch.tensor(list(shares) or [1.0] * len(paintings), dtype=torch.float64)
    weights = weights / weights.sum()
    mean, covariance = _moments(photo)
    moments = [_moments(painting) for painting in paintings]
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


def _moments(image: Tensor) -> tuple[Tensor, Tensor]:
    """Mean, (3,), and covariance, (3, 3), of an image's colours, on the CPU in float64."""
    parts = []  # of each band: its pixels, mean and covariance
    for rows in bands(image.shape[-1], image.shape[-2]):
        colours = image[0, :, rows].flatten(1).double().cpu()
        parts.append((colours.shape[1], colours.mean(1), torch.cov(colours, correction=0)))
    if len(parts) == 1:
        return parts[0][1], parts[0][2]
    shares = [pixels / (image.shape[-1] * image.shape[-2]) for pixels, _, _ in parts]
    mean = sum(share * one[1] for share, one in zip(shares, parts, strict=True))
    covariance = sum(
        share * (one[2] + torch.outer(one[1] - mean, one[1] - mean))
        for share, one in zip(shares, parts, strict=True)
    )
    return torch.as_tensor(mean), torch.as_tensor(covariance)


def _root(matrix: Tensor) -> Tensor:
    """The square root of a symmetric matrix without negative eigenvalues, (3, 3)."""
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    return root
