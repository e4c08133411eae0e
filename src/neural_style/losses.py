"""Gram matrices, and the content and style losses under three normalizations.

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
positions, so that a style is the same at any size. Layer weights multiply each term, and

    total = content_weight * content + style_weight * style.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from neural_style.errors import lookup

# Positions multiplied at once, and the number of such runs from which their sum is exact enough.
_RUN, _ENOUGH_RUNS = 768, 64


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
    if features.ndim != 4:
        raise ValueError(f"expected (B, C, H, W) features, got {tuple(features.shape)}")
    gram: Tensor = _Gram.apply(features)
    return gram


class _Gram(torch.autograd.Function):
    """G = F F^T / M; its gradient by F is (dG + dG^T) F / M: one product, not autograd's two.

    With bfloat16 features both products are made of bfloat16 factors, as autocast makes those of
    the convolutions.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        ctx.save_for_backward(features)
        with torch.autocast(features.device.type, enabled=False):
            return _product_over_positions(_positions_first(features))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (features,) = ctx.saved_tensors
        batch, channels, height, width = features.shape
        with torch.autocast(features.device.type, enabled=False):
            symmetric = (grad + grad.transpose(1, 2)) / (height * width)
            product = _positions_first(features) @ symmetric.to(features.dtype)
        gradient: Tensor = product.view(batch, height, width, channels).permute(0, 3, 1, 2)
        return gradient


def _positions_first(features: Tensor) -> Tensor:
    """(B, C, H, W) as (B, H*W, C), a view if the channels lie last in memory."""
    return features.permute(0, 2, 3, 1).flatten(1, 2)


def _product_over_positions(rows: Tensor) -> Tensor:
    """X^T X / M for (B, M, C) rows X, in float32 or wider.

    A product of bfloat16 factors is summed in float32 but handed out in bfloat16. Where there are
    enough positions, runs of them are multiplied apart and added up in float32, which leaves an
    error of 2^-9 over the root of the number of runs; elsewhere the factors are widened.
    """
    batch, positions, channels = rows.shape
    runs = positions // _RUN
    if rows.dtype != torch.bfloat16 or runs < _ENOUGH_RUNS:
        wide = _at_least_float32(rows)
        return wide.transpose(1, 2) @ wide / positions
    head = rows[:, : runs * _RUN].reshape(batch * runs, _RUN, channels)
    parts = torch.bmm(head.transpose(1, 2), head).view(batch, runs, channels, channels)
    rest = rows[:, runs * _RUN :].float()
    total = parts.sum(1, dtype=torch.float32) + rest.transpose(1, 2) @ rest
    return total / positions


def squared_distance(x: Tensor, target: Tensor) -> Tensor:
    """The sum of squared differences per image: (B, ...) and (1 or B, ...) to (B,)."""
    difference = _at_least_float32(x) - target
    return difference.square().flatten(1).sum(1)


def _at_least_float32(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


@dataclass(frozen=True)
class Normalization:
    """The two scales that turn squared distances into losses."""

    content: Callable[[Tensor], Tensor | float]
    """From the target features P, (1, N, H, W)."""
    style: Callable[[Tensor, int], Tensor | float]
    """From the target Gram matrix A, (1, N, N), and the image's number of positions M."""


def _inverse_square(target: Tensor) -> Tensor:
    return target.square().sum().clamp_min(torch.finfo(target.dtype).tiny).reciprocal()


NORMALIZATIONS: dict[str, Normalization] = {
    "relative": Normalization(_inverse_square, lambda gram, positions: _inverse_square(gram)),
    "gatys": Normalization(lambda _: 0.5, lambda gram, positions: 0.25 / gram.shape[1] ** 2),
    "paper": Normalization(lambda _: 0.5, lambda gram, positions: 0.5 * float(positions) ** 2),
}


@dataclass(frozen=True)
class LossTerms:
    """The losses of B images, each (B,)."""

    total: Tensor
    content: Tensor
    """J_content, before the content weight."""
    style: Tensor
    """J_style, before the style weight; the sum of `style_layers`."""
    style_layers: dict[str, Tensor]


class _Target(nn.Module):
    """One layer's target, and the factor of its squared distance (layer weight included)."""

    value: Tensor
    scale: Tensor

    def __init__(self, value: Tensor, scale: Tensor | float) -> None:
        super().__init__()
        self.register_buffer("value", value)
        self.register_buffer(
            "scale", torch.as_tensor(scale, dtype=value.dtype, device=value.device)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * squared_distance(x, self.value)


class StyleObjective(nn.Module):
    """J_total = content_weight * J_content + style_weight * J_style, with its targets.

    Args:
        content: the content picture's features, layer to (1, C, H, W); same size as the image's.
        styles: the features of each style picture, which may differ in size.
        content_layers: layer to weight; layers of weight 0 are left out.
        style_layers: layer to weight w_l, likewise.
        content_weight: alpha.
        style_weight: beta.
        normalization: a name in `NORMALIZATIONS`.
        image_weights: share of each style picture; their Gram matrices are averaged. Equal if None.

    Raises:
        ConfigError: if `normalization` is unknown.
        ValueError: if there is no style picture.
        KeyError: if features lack a layer.
    """

    def __init__(
        self,
        content: Mapping[str, Tensor],
        styles: Sequence[Mapping[str, Tensor]],
        *,
        content_layers: Mapping[str, float],
        style_layers: Mapping[str, float],
        content_weight: float,
        style_weight: float,
        normalization: str = "relative",
        image_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if not styles:
            raise ValueError("at least one style picture is needed")
        scales = lookup(NORMALIZATIONS, normalization, "loss.normalization")
        self.content_weight = content_weight
        self.style_weight = style_weight
        self.content_targets = nn.ModuleDict()
        self.style_targets = nn.ModuleDict()
        for layer, weight in content_layers.items():
            if weight > 0:
                target = _at_least_float32(content[layer].detach())
                self.content_targets[layer] = _Target(target, weight * scales.content(target))
        shares = image_weights or [1.0] * len(styles)
        for layer, weight in style_layers.items():
            if weight > 0:
                grams = [gram_matrix(style[layer].detach()) for style in styles]
                gram = sum(s * g for s, g in zip(shares, grams, strict=True)) / sum(shares)
                assert isinstance(gram, Tensor)
                positions = content[layer].shape[2] * content[layer].shape[3]
                self.style_targets[layer] = _Target(gram, weight * scales.style(gram, positions))

    def forward(self, features: Mapping[str, Tensor]) -> LossTerms:
        """Measures images by their features, layer to (B, C, H, W)."""
        content = [target(features[layer]) for layer, target in self.content_targets.items()]
        style_layers = {
            layer: target(gram_matrix(features[layer]))
            for layer, target in self.style_targets.items()
        }
        content_loss = torch.stack(content).sum(0)
        style_loss = torch.stack(list(style_layers.values())).sum(0)
        total = self.content_weight * content_loss + self.style_weight * style_loss
        return LossTerms(total, content_loss, style_loss, style_layers)
