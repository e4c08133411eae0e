"""What losses read: Gram matrices of features, and the variation of the image."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from overpaint.losses.fused import with_products


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
    return with_products(features)[1] / (features.shape[2] * features.shape[3])


def total_variation(image: Tensor) -> Tensor:
    """How much neighbours differ: mean squared difference downwards plus that to the right.

    Args:
        image: (B, C, H, W).

    Returns:
        (B,); 0 for an image of one colour.

    Mahendran & Vedaldi 2014 (arXiv:1412.0035), total variation with beta = 2, as means instead of
    sums (our change: it does not grow with the size).
    """
    return variation_of_sums(variation_sums(image), image.shape)


def variation_sums(image: Tensor, rows: slice | None = None) -> tuple[Tensor, Tensor]:
    """The squared differences of neighbours, summed over positions: downwards and to the right.

    Args:
        image: (B, C, H, W).
        rows: whose pixels count; by default all. One below them, if there is one, is a neighbour.

    Returns:
        (B,) and (B,).
    """
    counted = beneath = image
    if rows is not None:
        counted, beneath = image[:, :, rows], image[:, :, rows.start : rows.stop + 1]
    down, right = (
        part.square().sum((1, 2, 3)) for part in (beneath.diff(dim=2), counted.diff(dim=3))
    )
    return down, right


def variation_of_sums(sums: Sequence[Tensor], shape: Sequence[int]) -> Tensor:
    """The total variation, (B,), of images of a shape (B, C, H, W), from their `variation_sums`."""
    down, right = sums
    _, channels, height, width = shape
    first = down / max(1, channels * (height - 1) * width)
    return first + right / max(1, channels * height * (width - 1))
