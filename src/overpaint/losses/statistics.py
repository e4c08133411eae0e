"""What of a painting's features makes its style, and how far a picture is from it.

    gram        G, the Gram matrix over positions, divided by their number: Gatys et al. 2015
                (arXiv:1508.06576), eq. 3 and 4
    covariance  S = G - m m^T and m, the channels' covariances and their means, apart: the Gram
                matrix mixes the two, so that one can make up for the other (Risser et al. 2017,
                arXiv:1701.08893); two relative losses, added

Each is a target: it takes the features of a layer and returns them, to be used from there on, with
the layer's loss, a scale times the squared distances.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from overpaint.losses.fused import with_gram, with_moments, with_squared_distance
from overpaint.losses.gram import gram_matrix

Scale = Callable[[Tensor], Tensor | float]
"""From a target, (1, ...), to the factor of its squared distance."""


class GramTarget(nn.Module):
    """The Gram matrices of paintings, averaged.

    Args:
        paintings: the maps of one layer, each (1, C, h, w).
        shares: of each painting.
        scale: the factor of |G - A|^2 for the Gram matrix A of the paintings.
    """

    gram: Tensor
    scale: Tensor

    def __init__(self, paintings: Sequence[Tensor], shares: Sequence[float], scale: Scale) -> None:
        super().__init__()
        gram = _average([gram_matrix(maps) for maps in paintings], shares)
        self.register_buffer("gram", gram)
        self.register_buffer("scale", _constant(scale(gram), gram))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """From (B, C, H, W) to the same, and the losses (B,)."""
        features, gram = with_gram(features)
        return features, self.scale * with_squared_distance(gram, self.gram)[1]


class CovarianceTarget(nn.Module):
    """The means and covariances of paintings, both averaged.

    Args:
        paintings: the maps of one layer, each (1, C, h, w).
        shares: of each painting.
        scale: the factors of the squared distances of covariances, (1, C, C), and of means, (1, C).
    """

    covariance: Tensor
    mean: Tensor
    covariance_scale: Tensor
    mean_scale: Tensor

    def __init__(self, paintings: Sequence[Tensor], shares: Sequence[float], scale: Scale) -> None:
        super().__init__()
        moments = [_centred(*with_moments(maps)[1:]) for maps in paintings]
        for name, values in zip(("covariance", "mean"), zip(*moments, strict=True), strict=True):
            value = _average(values, shares)
            self.register_buffer(name, value)
            self.register_buffer(f"{name}_scale", _constant(scale(value), value))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """From (B, C, H, W) to the same, and the losses (B,)."""
        features, gram, mean = with_moments(features)
        covariance, mean = _centred(gram, mean)
        shapes = with_squared_distance(covariance, self.covariance)[1]
        levels = with_squared_distance(mean, self.mean)[1]
        return features, self.covariance_scale * shapes + self.mean_scale * levels


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
