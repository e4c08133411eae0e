"""What losses read: Gram matrices of features, and the variation of the image."""

from __future__ import annotations

from torch import Tensor

from overpaint.losses.fused import with_gram


def gram_matrix(features: Tensor) -> Tensor:
    """Channel correlations of one layer, averaged over positions.

    Args:
        features: (B, C, H, W), any float dtype; accumulated in float32 or wider.

    Returns:
        (B, C, C), symmetric, positive semi-definite.

    Raises:
        ValueError: if `features` is not four-dimensional.

    Gatys et al. 2015, eq. 3, divided by H*W (our change: inputs may differ in size).
    """
    return with_gram(features)[1]


def total_variation(image: Tensor) -> Tensor:
    """How much neighbours differ: mean squared difference downwards plus that to the right.

    Args:
        image: (B, C, H, W).

    Returns:
        (B,); 0 for an image of one colour.

    Mahendran & Vedaldi 2014 (arXiv:1412.0035), total variation with beta = 2, as means instead of
    sums (our change: it does not grow with the size).
    """
    down, right = image.diff(dim=2), image.diff(dim=3)
    first, second = (
        part.square().sum((1, 2, 3)) / max(1, part[0].numel()) for part in (down, right)
    )
    return first + second
