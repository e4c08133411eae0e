"""Losses whose gradients are handed on in the pass that makes them.

A layer's features feed both its loss and the next layer, and PyTorch would add the two gradients in
a pass of its own over the largest tensors that there are. The functions here return the features
beside the number, to be used from there on, and add the gradient that comes back while they make
theirs. What they compute is in `gram`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Positions multiplied at once, at most and at least, and the least number of such runs.
_LONGEST, _SHORTEST, _RUNS = 768, 32, 16
_HALVES = (torch.bfloat16, torch.float16)


def with_gram(features: Tensor) -> tuple[Tensor, Tensor]:
    """The features, to be used from here on, and their Gram matrix.

    Shapes and errors are those of `gram.gram_matrix`.
    """
    _require_maps(features)
    same, gram = _WithGram.apply(features)
    return same, gram


def with_moments(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The features, to be used from here on, their Gram matrix, and their means over positions.

    Args:
        features: (B, C, H, W), any float dtype; accumulated in float32 or wider.

    Returns:
        (B, C, H, W), (B, C, C) and (B, C).

    Raises:
        ValueError: if `features` is not four-dimensional.
    """
    _require_maps(features)
    same, gram, mean = _WithMoments.apply(features)
    return same, gram, mean


def _require_maps(features: Tensor) -> None:
    if features.ndim != 4:
        raise ValueError(f"expected (B, C, H, W) features, got {tuple(features.shape)}")


def with_squared_distance(x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """x, to be used from here on, and the sum of its squared differences to a target.

    Args:
        x: (B, ...), any float dtype; measured in float32 or wider.
        target: (1 or B, ...); it gets no gradient.

    Returns:
        (B, ...) and (B,).
    """
    same, distance = _WithSquaredDistance.apply(x, target.detach())
    return same, distance


def at_least_float32(x: Tensor) -> Tensor:
    """Half precision widened; float32 and float64 as they are."""
    return x.float() if x.dtype in _HALVES else x


class _WithGram(torch.autograd.Function):
    """F and G = F F^T / M; the gradient by F is dF + (dG + dG^T) F / M, in one product.

    With bfloat16 features the products are made of bfloat16 factors, as autocast makes those of
    the convolutions.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(features)
        ctx.set_materialize_grads(False)
        with torch.autocast(features.device.type, enabled=False):
            return features, _product_over_positions(_positions_first(features))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_features: Tensor | None, grad_gram: Tensor | None) -> Tensor | None:
        (features,) = ctx.saved_tensors
        return _through_gram(features, grad_features, grad_gram)


class _WithMoments(torch.autograd.Function):
    """The same, and m = F 1 / M, whose gradient by F is dm 1^T / M."""

    @staticmethod
    def forward(ctx: Any, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(features)
        ctx.set_materialize_grads(False)
        with torch.autocast(features.device.type, enabled=False):
            rows = _positions_first(features)
            wide = torch.float32 if rows.dtype in _HALVES else rows.dtype
            return features, _product_over_positions(rows), rows.mean(1, dtype=wide)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any,
        grad_features: Tensor | None,
        grad_gram: Tensor | None,
        grad_mean: Tensor | None,
    ) -> Tensor | None:
        (features,) = ctx.saved_tensors
        if grad_mean is not None:
            each = grad_mean[:, :, None, None] / (features.shape[2] * features.shape[3])
            each = each.to(features.dtype).expand_as(features)
            grad_features = each if grad_features is None else grad_features + each
        return _through_gram(features, grad_features, grad_gram)


def _through_gram(
    features: Tensor, grad_features: Tensor | None, grad_gram: Tensor | None
) -> Tensor | None:
    """The gradient by F of what is made of F and its Gram matrix, in the layout of F."""
    if grad_gram is None:
        return grad_features
    batch, channels, height, width = features.shape
    keeps = features.is_contiguous()
    rows = features.flatten(2) if keeps else _positions_first(features)
    with torch.autocast(features.device.type, enabled=False):
        symmetric = (grad_gram + grad_gram.transpose(1, 2)) / (height * width)
        symmetric = symmetric.to(features.dtype)
        factors = (symmetric, rows) if keeps else (rows, symmetric)
        if grad_features is None:
            product = torch.bmm(*factors)
        else:
            added = grad_features.flatten(2) if keeps else _positions_first(grad_features)
            product = torch.baddbmm(added, *factors)
    if keeps:
        return product.reshape(batch, channels, height, width)
    return product.reshape(batch, height, width, channels).permute(0, 3, 1, 2)


class _WithSquaredDistance(torch.autograd.Function):
    """x and |x - t|^2 per image; the gradient by x is dx + 2 (x - t) d."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        difference = at_least_float32(x) - target
        ctx.save_for_backward(difference)
        ctx.dtype = x.dtype
        ctx.set_materialize_grads(False)
        return x, difference.square().sum(tuple(range(1, x.ndim)))

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_x: Tensor | None, grad_distance: Tensor | None
    ) -> tuple[Tensor | None, None]:
        if grad_distance is None:
            return grad_x, None
        (difference,) = ctx.saved_tensors
        factor = (2 * grad_distance).view(-1, *[1] * (difference.ndim - 1))
        own = (difference * factor).to(ctx.dtype)
        return (own if grad_x is None else grad_x + own), None


def _positions_first(features: Tensor) -> Tensor:
    """(B, C, H, W) as (B, H*W, C), a view if positions or channels lie last in memory."""
    if features.is_contiguous():
        return features.flatten(2).transpose(1, 2)
    return features.permute(0, 2, 3, 1).flatten(1, 2)


def _product_over_positions(rows: Tensor) -> Tensor:
    """X^T X / M for (B, M, C) rows X, in float32 or wider.

    A product of bfloat16 factors is summed in float32 but handed out rounded to bfloat16. So runs
    of positions are multiplied apart and added up in float32, which leaves an error of 2^-9 over
    the root of the number of runs, at least 16; too few positions for that are widened to float32.
    """
    batch, positions, channels = rows.shape
    run = min(_LONGEST, positions // _RUNS)
    if rows.dtype != torch.bfloat16 or run < _SHORTEST:
        wide = at_least_float32(rows)
        return wide.transpose(1, 2) @ wide / positions
    runs = positions // run
    head = rows[:, : runs * run].reshape(batch * runs, run, channels)
    parts = torch.bmm(head.transpose(1, 2), head).view(batch, runs, channels, channels)
    rest = at_least_float32(rows[:, runs * run :])
    total = parts.sum(1, dtype=torch.float32) + rest.transpose(1, 2) @ rest
    return total / positions
