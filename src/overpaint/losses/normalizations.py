"""The scales that turn squared distances into losses.

Every term is a scaled squared distance, `scale * sum (x - target)^2`; a normalization is a choice
of the two scales, made once per target. With F, P the content features of image and content, G, A
the Gram matrices of image and style (over positions, divided by their number M), N channels:

    normalization   content                  style, per layer
    relative        |F - P|^2 / |P|^2        |G - A|^2 / |A|^2
    gatys           1/2 |F - P|^2            1/(4 N^2) |G - A|^2
    paper           1/2 |F - P|^2            M^2/2 |G - A|^2

`gatys` is arXiv:1508.06576, eq. 1 and 4: there G sums over M positions and is divided by 4 N^2 M^2,
which is the same. `paper` is Vagdevi & Abhishek: sums without a divisor. Where the style picture
has another number of positions than the image, both papers are silent; we compare means over
positions, so that a style is the same at any size. A slim network's layers have fewer channels: a
`Calibration` brings their sums to the size of VGG-19's, and N is VGG-19's; under `relative` only
its balance counts, for the rest is in both distances.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from overpaint.encoder.calibration import Calibration
from overpaint.losses.fused import square_sum


@dataclass(frozen=True)
class Normalization:
    """The two scales that turn squared distances into losses."""

    content: Callable[[Tensor, Calibration], Tensor | float]
    """From |P|^2, the sum of the squares of the target features P, in float32 or wider."""
    style: Callable[[Tensor, int, Calibration], Tensor | float]
    """From the target Gram matrix A, (1, N, N), or another statistic (`statistics`), and the
    image's number of positions M."""
    growth: tuple[int, int]
    """The powers of M with which the content and the style loss of one picture grow."""


def _inverse(square: Tensor) -> Tensor:
    return square.clamp_min(torch.finfo(square.dtype).tiny).reciprocal()


NORMALIZATIONS: dict[str, Normalization] = {
    "relative": Normalization(
        lambda square, _: _inverse(square),
        lambda a, m, layer: layer.balance * _inverse(square_sum(a)),
        growth=(0, 0),
    ),
    "gatys": Normalization(
        lambda _, layer: 0.5 * layer.content,
        lambda a, m, layer: layer.balance * 0.25 * layer.style / layer.channels**2,
        growth=(1, 0),
    ),
    "paper": Normalization(
        lambda _, layer: 0.5 * layer.content,
        lambda a, m, layer: layer.balance * 0.5 * layer.style * float(m) ** 2,
        growth=(1, 2),
    ),
}
