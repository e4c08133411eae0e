"""Sums over positions that count by a map of weights, one map for each region of a picture.

The weights are put in where the product is made, a few rows at a time: no copy of the features is
ever as large as they are.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from overpaint.losses.fused import (
    at_least_float32,
    parts_of,
    positions_first,
    products_of,
    require_maps,
)


def with_guided_moments(
    features: Tensor, weights: Tensor, rows: slice | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """The features, to be used from here on, and what each of R regions adds up to.

    Args:
        features: (B, C, H, W), any float dtype; accumulated in float32 or wider.
        weights: (R, H, W) for those rows that count, float32 or wider, in [0, 1]; no gradient.
        rows: of the features, those that count; by default all of them.

    Returns:
        (B, C, H, W); (B, R, C, C): F diag(w_r) F^T; and (B, R, C): F w_r.

    Raises:
        ValueError: if `features` is not four-dimensional.

    Gatys et al. 2017 (arXiv:1611.07865), eq. 4 and 5, where w_r is T_r^2.
    """
    require_maps(features)
    same, products, sums = _WithGuidedMoments.apply(features, weights, rows)
    return same, products, sums


class _WithGuidedMoments(torch.autograd.Function):
    """F, P_r = F D_r F^T and s_r = F w_r; by F: dF + sum_r ((dP_r + dP_r^T) F + ds_r 1^T) D_r."""

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weights: Tensor, rows: slice | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(features, weights)
        ctx.rows = rows
        ctx.set_materialize_grads(False)
        counted = features if rows is None else features[:, :, rows]
        batch, channels = features.shape[:2]
        wide = at_least_float32(features[:0]).dtype
        products = features.new_zeros((batch, len(weights), channels, channels), dtype=wide)
        sums = features.new_zeros((batch, len(weights), channels), dtype=wide)
        with torch.autocast(features.device.type, enabled=False):
            for part in parts_of(counted):
                matrix = positions_first(counted[part])
                for region, guide in enumerate(_guides(weights, part)):
                    guided = matrix * guide.to(matrix.dtype)
                    products[:, region] += products_of(matrix, guided)
                    sums[:, region] += guided.sum(1, dtype=wide)
        return features, products, sums

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any,
        grad_features: Tensor | None,
        grad_products: Tensor | None,
        grad_sums: Tensor | None,
    ) -> tuple[Tensor | None, None, None]:
        if grad_products is None and grad_sums is None:
            return grad_features, None, None
        features, weights = ctx.saved_tensors
        gradient = torch.zeros_like(features) if grad_features is None else grad_features.clone()
        counted, own = (
            one if ctx.rows is None else one[:, :, ctx.rows] for one in (features, gradient)
        )
        symmetric = None
        if grad_products is not None:
            symmetric = (grad_products + grad_products.transpose(2, 3)).to(features.dtype)
        with torch.autocast(features.device.type, enabled=False):
            for part in parts_of(counted):
                matrix = positions_first(counted[part])
                for region, guide in enumerate(_guides(weights, part)):
                    new: Tensor | float = 0.0
                    if symmetric is not None:
                        new = matrix @ symmetric[:, region]
                    if grad_sums is not None:
                        new = new + grad_sums[:, region, None].to(features.dtype)
                    _add(new * guide.to(features.dtype), own[part])
        return gradient, None, None


def _guides(weights: Tensor, part: tuple[slice, ...]) -> Tensor:
    """The weights of those positions that a part of a map has, (R, M, 1)."""
    rows = part[2] if len(part) > 2 else slice(None)
    return weights[:, rows].flatten(1)[:, :, None]


def _add(new: Tensor, own: Tensor) -> None:
    """Adds (B, M, C) values to (B, C, H, W) maps, in place."""
    batch, channels, height, width = own.shape
    own += new.reshape(batch, height, width, channels).permute(0, 3, 1, 2)
