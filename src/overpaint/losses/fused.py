"""Sums over positions whose gradients are handed on in the pass that makes them.

A layer's features feed both its loss and the next layer, and PyTorch would add the two gradients in
a pass of its own over the largest tensors that there are. The functions here return the features
beside the sums, to be used from there on, and add the gradient that comes back while they make
theirs. Losses are made of such sums, so that parts of a picture can be summed apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Positions multiplied at once, at most and at least, and the least number of such runs.
_LONGEST, _SHORTEST, _RUNS = 768, 32, 16
_HALVES = (torch.bfloat16, torch.float16)
_AT_ONCE = 1 << 20  # values that are widened at once, about


def with_products(features: Tensor, rows: slice | None = None) -> tuple[Tensor, Tensor]:
    """The features, to be used from here on, and the products of their channels over positions.

    Args:
        features: (B, C, H, W), any float dtype; accumulated in float32 or wider.
        rows: of the features, those that count; by default all of them.

    Returns:
        (B, C, H, W) and (B, C, C): F F^T, which is the Gram matrix times the positions.

    Raises:
        ValueError: if `features` is not four-dimensional.
    """
    require_maps(features)
    same, products = _WithProducts.apply(features, rows)
    return same, products


def with_moments(features: Tensor, rows: slice | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """The features, to be used from here on, their products, and their sums over positions.

    Args:
        features: (B, C, H, W), any float dtype; accumulated in float32 or wider.
        rows: of the features, those that count; by default all of them.

    Returns:
        (B, C, H, W), (B, C, C) and (B, C).

    Raises:
        ValueError: if `features` is not four-dimensional.
    """
    require_maps(features)
    same, products, sums = _WithMoments.apply(features, rows)
    return same, products, sums


def require_maps(features: Tensor) -> None:
    """Raises ValueError if features are not (B, C, H, W)."""
    if features.ndim != 4:
        raise ValueError(f"expected (B, C, H, W) features, got {tuple(features.shape)}")


def with_squared_distance(
    x: Tensor, target: Tensor, rows: slice | None = None, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """x, to be used from here on, and the sum of its squared differences to a target.

    Args:
        x: (B, ...), any float dtype; measured in float32 or wider.
        target: (1 or B, ...), any float dtype; it gets no gradient.
        rows: of x along its third dimension, those that the target is of; by default all of them.
        weights: (1, 1, H, W) for those rows of maps, float32 or wider: how much each square counts.

    Returns:
        (B, ...) and (B,).
    """
    same, distance = _WithSquaredDistance.apply(x, target.detach(), rows, weights)
    return same, distance


def at_least_float32(x: Tensor) -> Tensor:
    """Half precision widened; float32 and float64 as they are."""
    return x.float() if x.dtype in _HALVES else x


def square_sum(x: Tensor) -> Tensor:
    """The sum of all squares, in float32 or wider, without a copy of `x` as large as it is."""
    return torch.stack([at_least_float32(x[part]).square().sum() for part in parts_of(x)]).sum()


class _WithProducts(torch.autograd.Function):
    """F and P = F F^T; the gradient by F is dF + (dP + dP^T) F, in one product.

    With bfloat16 features the products are made of bfloat16 factors, as autocast makes those of
    the convolutions.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, rows: slice | None) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(features)
        ctx.rows = rows
        ctx.set_materialize_grads(False)
        with torch.autocast(features.device.type, enabled=False):
            return features, products_of(_matrix(features, rows))

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_features: Tensor | None, grad_products: Tensor | None
    ) -> tuple[Tensor | None, None]:
        (features,) = ctx.saved_tensors
        return _through_products(features, ctx.rows, grad_features, grad_products), None


class _WithMoments(torch.autograd.Function):
    """The same, and s = F 1, whose gradient by F is ds 1^T."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, rows: slice | None) -> tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(features)
        ctx.rows = rows
        ctx.set_materialize_grads(False)
        with torch.autocast(features.device.type, enabled=False):
            matrix = _matrix(features, rows)
            return features, products_of(matrix), sums_of(matrix)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any,
        grad_features: Tensor | None,
        grad_products: Tensor | None,
        grad_sums: Tensor | None,
    ) -> tuple[Tensor | None, None]:
        (features,) = ctx.saved_tensors
        gradient = _through_products(features, ctx.rows, grad_features, grad_products)
        if grad_sums is None:
            return gradient, None
        if gradient is None:
            gradient = torch.zeros_like(features)
        elif grad_products is None:
            gradient = gradient.clone()
        counted = gradient if ctx.rows is None else gradient[:, :, ctx.rows]
        counted += grad_sums[:, :, None, None].to(features.dtype)
        return gradient, None


def _through_products(
    features: Tensor,
    rows: slice | None,
    grad_features: Tensor | None,
    grad_products: Tensor | None,
) -> Tensor | None:
    """The gradient by F of what is made of F and its products, in the layout of F."""
    if grad_products is None:
        return grad_features
    keeps = features.is_contiguous()
    matrix = features if rows is None else features[:, :, rows]
    matrix = matrix.flatten(2) if keeps else positions_first(matrix)
    with torch.autocast(features.device.type, enabled=False):
        symmetric = (grad_products + grad_products.transpose(1, 2)).to(features.dtype)
        factors = (symmetric, matrix) if keeps else (matrix, symmetric)
        if rows is not None:
            gradient = torch.empty_like(features)
            if grad_features is None:
                gradient.zero_()
            else:
                for beside in (slice(rows.start), slice(rows.stop, None)):
                    gradient[:, :, beside] = grad_features[:, :, beside]
                grad_features = grad_features[:, :, rows]
        added = None
        if grad_features is not None:
            added = grad_features.flatten(2) if keeps else positions_first(grad_features)
        if rows is not None:
            counted = gradient[:, :, rows]
            out = counted.flatten(2) if keeps else positions_first(counted)
            if added is None:
                torch.bmm(*factors, out=out)
            else:
                torch.baddbmm(added, *factors, out=out)
            return gradient
        product = torch.bmm(*factors) if added is None else torch.baddbmm(added, *factors)
    batch, channels, height, width = features.shape
    if keeps:
        return product.reshape(batch, channels, height, width)
    return product.reshape(batch, height, width, channels).permute(0, 3, 1, 2)


class _WithSquaredDistance(torch.autograd.Function):
    """x and w |x - t|^2 per image; the gradient by x is dx + 2 w (x - t) d."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, target: Tensor, rows: slice | None, weights: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(x, target, weights)
        ctx.rows = rows
        ctx.set_materialize_grads(False)
        counted = x if rows is None else x[:, :, rows]
        distance = []
        for part in parts_of(counted):
            square = (at_least_float32(counted[part]) - at_least_float32(target[part])).square()
            if weights is not None:
                square = square * weights[part]
            distance.append(square.sum(tuple(range(1, x.ndim))))
        return x, torch.stack(distance).sum(0)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_x: Tensor | None, grad_distance: Tensor | None
    ) -> tuple[Tensor | None, None, None, None]:
        if grad_distance is None:
            return grad_x, None, None, None
        x, target, weights = ctx.saved_tensors
        gradient = torch.zeros_like(x) if grad_x is None else grad_x.clone()
        counted, own = (one if ctx.rows is None else one[:, :, ctx.rows] for one in (x, gradient))
        factor = (2 * grad_distance).view(-1, *[1] * (x.ndim - 1))
        for part in parts_of(counted):
            difference = at_least_float32(counted[part]) - at_least_float32(target[part])
            if weights is not None:
                difference = difference * weights[part]
            own[part] += (difference * factor).to(x.dtype)
        return gradient, None, None, None


def parts_of(x: Tensor) -> Iterator[tuple[slice, ...]]:
    """Divides a map along its rows into parts that are small enough for copies: their indices."""
    if x.ndim < 3 or x.numel() <= _AT_ONCE:
        yield (slice(None),)
        return
    height = x.shape[2]
    rows = max(1, _AT_ONCE * height // x.numel())
    for first in range(0, height, rows):
        yield (slice(None), slice(None), slice(first, first + rows))


def _matrix(features: Tensor, rows: slice | None) -> Tensor:
    """Those rows of (B, C, H, W) that count as (B, positions, C), a view where it can be."""
    counted = features if rows is None else features[:, :, rows]
    if features.is_contiguous():
        return counted.flatten(2).transpose(1, 2)
    return positions_first(counted)


def positions_first(features: Tensor) -> Tensor:
    """(B, C, H, W) as (B, H*W, C), a view if channels lie last in memory."""
    return features.permute(0, 2, 3, 1).flatten(1, 2)


def sums_of(rows: Tensor) -> Tensor:
    """X^T 1 for (B, M, C) rows X, in float32 or wider; PyTorch would widen all of X at once."""
    if rows.dtype not in _HALVES:
        return rows.sum(1)
    batch, _, channels = rows.shape
    runs = torch.split(rows, max(1, _AT_ONCE // (batch * channels)), 1)
    return torch.stack([run.sum(1, dtype=torch.float32) for run in runs]).sum(0)


def products_of(rows: Tensor, weighted: Tensor | None = None) -> Tensor:
    """X^T Y for (B, M, C) rows X and Y, in float32 or wider; X^T X without Y.

    A product of bfloat16 factors is summed in float32 but handed out rounded to bfloat16. So runs
    of positions are multiplied apart and added up in float32, which leaves an error of 2^-9 over
    the root of the number of runs, at least 16; too few positions for that are widened to float32.
    """
    others = rows if weighted is None else weighted
    batch, positions, channels = rows.shape
    run = min(_LONGEST, positions // _RUNS)
    if rows.dtype != torch.bfloat16 or run < _SHORTEST:
        return at_least_float32(rows).transpose(1, 2) @ at_least_float32(others)
    runs = positions // run
    head, tail = (
        one[:, : runs * run].reshape(batch * runs, run, channels) for one in (rows, others)
    )
    parts = torch.bmm(head.transpose(1, 2), tail).view(batch, runs, channels, channels)
    rest, other = (at_least_float32(one[:, runs * run :]) for one in (rows, others))
    return parts.sum(1, dtype=torch.float32) + rest.transpose(1, 2) @ other
