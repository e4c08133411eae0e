"""Whether a photo's edges and layout are found again in a picture, once, in one place."""

from __future__ import annotations

import math

import torch
from judging.colours import oklab
from torch import Tensor
from torch.nn import functional as F

from overpaint.pictures.io import fit_size

EDGES_AT = (256, 128)  # longer edges of the sizes at which edges are compared
_WINDOW = 4.0  # standard deviation of the neighbourhood of a pixel
_FINE, _COARSE = (
    1.0,
    5.0,
)  # scales of lines and of the paint under them, px at 512


def blurred(x: Tensor, deviation: float) -> Tensor:
    """A Gaussian blur of (B, C, H, W), the edges repeated."""
    reach = max(1, math.ceil(3 * deviation))
    places = torch.arange(-reach, reach + 1, dtype=x.dtype)
    kernel = torch.exp(-0.5 * (places / deviation) ** 2)
    kernel = kernel / kernel.sum()
    channels = x.shape[1]
    across, down = (
        kernel.view(shape).expand(channels, 1, -1, -1) for shape in ((1, 1, 1, -1), (1, 1, -1, 1))
    )
    padded = F.pad(x, [reach] * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, across, groups=channels), down, groups=channels)


def lightness(picture: Tensor) -> Tensor:
    """(1, 1, H, W)."""
    return oklab(picture)[:, :1]


def scaled(picture: Tensor, long_edge: int) -> Tensor:
    """A picture whose longer edge is `long_edge` pixels, or itself if it is no longer than that."""
    height, width = picture.shape[-2:]
    if long_edge >= max(height, width):
        return picture
    size = fit_size((height, width), long_edge)
    smaller: Tensor = F.interpolate(picture, size, mode="bicubic", antialias=True).clamp(0, 1)
    return smaller


def local_correlation(a: Tensor, b: Tensor, deviation: float) -> Tensor:
    """How two maps rise and fall together around each pixel: covariances and their bounds.

    Returns:
        (2, H, W): covariance in the neighbourhood, and the product of the standard deviations.
    """
    means = blurred(torch.cat([a, b, a * b, a * a, b * b], 1), deviation)[0]
    covariance = means[2] - means[0] * means[1]
    variances = [(means[3 + i] - means[i].square()).clamp_min(0) for i in range(2)]
    return torch.stack([covariance, (variances[0] * variances[1]).sqrt()])


def edges_kept(picture: Tensor, photo: Tensor) -> float:
    """How far the strength of edges rises and falls where that of the photo does: 1 if always.

    The mean over `EDGES_AT` of the correlation of gradient magnitudes in small neighbourhoods, each
    weighted by how much happens in it.

    Args:
        picture: (1, 3, H, W), sRGB in [0, 1].
        photo: of the same size.
    """
    found = []
    for size in EDGES_AT:
        strengths = [
            _gradient(lightness(scaled(one, size))).square().sum(1, keepdim=True).sqrt()
            for one in (picture, photo)
        ]
        covariance, bound = local_correlation(strengths[0], strengths[1], _WINDOW)
        found.append(float(covariance.sum() / bound.sum().clamp_min(1e-12)))
    return sum(found) / len(found)


def layout_kept(picture: dict[str, Tensor], photo: dict[str, Tensor], names: list[str]) -> float:
    """Cosine similarity of deep features, position by position, less the photo's mean: 1 if equal.

    Args:
        picture: maps of a network, (1, C, h, w) each.
        photo: likewise.
        names: of those to compare.
    """
    found = []
    for name in names:
        mean = photo[name].mean((2, 3), keepdim=True)
        found.append(F.cosine_similarity(picture[name] - mean, photo[name] - mean).mean())
    return float(sum(found) / len(found))


def ghosts(picture: Tensor, photo: Tensor) -> float:
    """The share, in [0, 1], of the photo's fine lines that lie over paint that goes elsewhere.

    A line is a ghost as far as the picture's finest detail follows the photo's there while its
    larger shapes do not.

    Args:
        picture: (1, 3, H, W), sRGB in [0, 1].
        photo: of the same size.
    """
    unit = max(picture.shape[-2:]) / 512
    levels = [lightness(one) for one in (picture, photo)]
    fine = [one - blurred(one, 1.5 * _FINE * unit) for one in levels]
    coarse = [blurred(one, _COARSE * unit / 2) - blurred(one, 3 * _COARSE * unit) for one in levels]
    follows = _share(fine[0], fine[1], 2 * _FINE * unit)
    goes_along = _share(coarse[0], coarse[1], 2 * _COARSE * unit)
    weight = blurred(fine[1].square(), _FINE * unit)[0, 0].sqrt()
    return float((weight * follows * (1 - goes_along)).sum() / weight.sum().clamp_min(1e-12))


def _share(a: Tensor, b: Tensor, deviation: float) -> Tensor:
    """Local correlation, 0 where it is negative, (H, W)."""
    covariance, bound = local_correlation(a, b, deviation)
    share: Tensor = (covariance / bound.clamp_min(1e-9)).clamp(0, 1)
    return share


def _gradient(x: Tensor) -> Tensor:
    """Differences across two pixels, right and down: (1, 1, H, W) to (1, 2, H - 2, W - 2)."""
    right = (x[..., 1:-1, 2:] - x[..., 1:-1, :-2]) / 2
    down = (x[..., 2:, 1:-1] - x[..., :-2, 1:-1]) / 2
    return torch.cat([right, down], 1)
