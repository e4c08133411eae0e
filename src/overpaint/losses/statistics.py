"""What of a painting's features makes its style, and how far a picture is from it.

    gram        G, the Gram matrix over positions, divided by their number: Gatys et al. 2015
                (arXiv:1508.06576), eq. 3 and 4
    covariance  S = G - m m^T and m, the channels' covariances and their means, apart: the Gram
                matrix mixes the two, so that one can make up for the other (Risser et al. 2017,
                arXiv:1701.08893); two relative losses, added

Each is a target: it sums over the positions of a layer, or of some of its rows, and makes of the
sums and the number of positions the layer's loss, a scale times the squared distances.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from overpaint.banding.bands import Rows
from overpaint.losses.fused import with_moments, with_products, with_squared_distance

Scale = Callable[[Tensor], Tensor | float]
"""From a target, (1, ...), to the factor of its squared distance."""

Statistic = Callable[[Tensor, Rows | None], tuple[Tensor, tuple[Tensor, ...]]]
"""From features and the rows that count to the same features and their sums."""


@dataclass(frozen=True)
class Summed:
    """What was summed over the positions of one layer."""

    sums: tuple[Tensor, ...]
    positions: int | Tensor
    """Or what their weights add up to."""

    def means(self) -> tuple[Tensor, ...]:
        """The sums over their number."""
        return tuple(one / self.positions for one in self.sums)


class GramTarget(nn.Module):
    """The Gram matrices of paintings, averaged.

    Args:
        paintings: the sums of one layer of each.
        shares: of each painting.
        scale: the factor of |G - A|^2 for the Gram matrix A of the paintings.
    """

    gram: Tensor
    scale: Tensor

    def __init__(self, paintings: Sequence[Summed], shares: Sequence[float], scale: Scale) -> None:
        super().__init__()
        gram = _average([one.means()[0] for one in paintings], shares)
        self.register_buffer("gram", gram)
        self.register_buffer("scale", _constant(scale(gram), gram))

    @staticmethod
    def sums(features: Tensor, rows: Rows | None = None) -> tuple[Tensor, tuple[Tensor, ...]]:
        """(B, C, H, W) features, to be used from here on, and what their rows add to the sums."""
        features, products = with_products(features, None if rows is None else rows.here)
        return features, (products,)

    def forward(self, image: Summed) -> Tensor:
        """The losses (B,) of images."""
        gram, *_ = image.means()
        loss: Tensor = self.scale * with_squared_distance(gram, self.gram)[1]
        return loss


class CovarianceTarget(nn.Module):
    """The means and covariances of paintings, both averaged.

    Args:
        paintings: the sums of one layer of each.
        shares: of each painting.
        scale: the factors of the squared distances of covariances, (1, C, C), and of means, (1, C).
    """

    covariance: Tensor
    mean: Tensor
    covariance_scale: Tensor
    mean_scale: Tensor

    def __init__(self, paintings: Sequence[Summed], shares: Sequence[float], scale: Scale) -> None:
        super().__init__()
        moments = [_centred(*one.means()) for one in paintings]
        for name, values in zip(("covariance", "mean"), zip(*moments, strict=True), strict=True):
            value = _average(values, shares)
            self.register_buffer(name, value)
            self.register_buffer(f"{name}_scale", _constant(scale(value), value))

    @staticmethod
    def sums(features: Tensor, rows: Rows | None = None) -> tuple[Tensor, tuple[Tensor, ...]]:
        """(B, C, H, W) features, to be used from here on, and what their rows add to the sums."""
        here = None if rows is None else rows.here
        features, products, sums = with_moments(features, here)
        return features, (products, sums)

    def forward(self, image: Summed) -> Tensor:
        """The losses (B,) of images."""
        covariance, mean = _centred(*image.means())
        shapes = with_squared_distance(covariance, self.covariance)[1]
        levels = with_squared_distance(mean, self.mean)[1]
        return self.covariance_scale * shapes + self.mean_scale * levels


StyleTarget = GramTarget | CovarianceTarget

STATISTICS: dict[str, type[GramTarget] | type[CovarianceTarget]] = {
    "gram": GramTarget,
    "covariance": CovarianceTarget,
}


def _centred(gram: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """The covariances, (B, C, C), and the means, (B, C)."""
    return gram - mean[:, :, None] * mean[:, None], mean


def _average(values: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    total = torch.stack([share * one for share, one in zip(shares, values, strict=True)]).sum(0)
    return total / sum(shares)


def _constant(value: Tensor | float, like: Tensor) -> Tensor:
    return torch.as_tensor(value, dtype=like.dtype, device=like.device)
