"""The content and style losses under three normalizations.

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
its balance counts, for the rest is in both distances. Layer weights multiply each term, and

    total = content_weight * content + style_weight * style + tv_weight * tv,

where tv is the total variation of the image itself. The papers have no such term (weight 0).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from overpaint.encoder.layers import Calibration
from overpaint.encoder.vgg import Visit
from overpaint.errors import lookup
from overpaint.losses.gram import (
    at_least_float32,
    gram_matrix,
    total_variation,
    with_gram,
    with_squared_distance,
)


@dataclass(frozen=True)
class Normalization:
    """The two scales that turn squared distances into losses."""

    content: Callable[[Tensor, Calibration], Tensor | float]
    """From the target features P, (1, N, H, W)."""
    style: Callable[[Tensor, int, Calibration], Tensor | float]
    """From the target Gram matrix A, (1, N, N), and the image's number of positions M."""
    growth: tuple[int, int]
    """The powers of M with which the content and the style loss of one picture grow."""


def _inverse_square(target: Tensor) -> Tensor:
    return target.square().sum().clamp_min(torch.finfo(target.dtype).tiny).reciprocal()


NORMALIZATIONS: dict[str, Normalization] = {
    "relative": Normalization(
        lambda p, _: _inverse_square(p),
        lambda a, m, layer: layer.balance * _inverse_square(a),
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


@dataclass(frozen=True)
class LossTerms:
    """The losses of B images, each (B,)."""

    total: Tensor
    content: Tensor
    """J_content, before the content weight."""
    style: Tensor
    """J_style, before the style weight; the sum of `style_layers`."""
    style_layers: dict[str, Tensor]
    tv: Tensor | None = None
    """Total variation, before its weight; None where that is 0."""


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

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x, to be used from here on, and its loss."""
        same, distance = with_squared_distance(x, self.value)
        return same, self.scale * distance


class StyleObjective(nn.Module):
    """J_total, the weighted sum of J_content, J_style and total variation, with its targets.

    Args:
        content: the content picture's features, layer to (1, C, H, W); same size as the image's.
        styles: the features of each style picture, which may differ in size.
        content_layers: layer to weight; layers of weight 0 are left out.
        style_layers: layer to weight w_l, likewise.
        content_weight: alpha.
        style_weight: beta.
        tv_weight: of the total variation.
        normalization: a name in `NORMALIZATIONS`.
        image_weights: share of each style picture; their Gram matrices are averaged. Equal if None.
        calibration: of a slim network, by layer; layers that are not in it are VGG-19's own.

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
        tv_weight: float = 0.0,
        normalization: str = "relative",
        image_weights: Sequence[float] | None = None,
        calibration: Mapping[str, Calibration] | None = None,
    ) -> None:
        super().__init__()
        if not styles:
            raise ValueError("at least one style picture is needed")
        scales = lookup(NORMALIZATIONS, normalization, "loss.normalization")
        self.content_weight = content_weight
        self.style_weight = style_weight
        self.tv_weight = tv_weight
        self.content_targets = nn.ModuleDict()
        self.style_targets = nn.ModuleDict()

        def calibrated(layer: str) -> Calibration:
            return (calibration or {}).get(layer) or Calibration(1, 1, content[layer].shape[1])

        for layer, weight in content_layers.items():
            if weight > 0:
                target = at_least_float32(content[layer].detach())
                scale = scales.content(target, calibrated(layer))
                self.content_targets[layer] = _Target(target, weight * scale)
        shares = image_weights or [1.0] * len(styles)
        for layer, weight in style_layers.items():
            if weight > 0:
                grams = [gram_matrix(style[layer].detach()) for style in styles]
                gram = sum(s * g for s, g in zip(shares, grams, strict=True)) / sum(shares)
                assert isinstance(gram, Tensor)
                positions = content[layer].shape[2] * content[layer].shape[3]
                scale = scales.style(gram, positions, calibrated(layer))
                self.style_targets[layer] = _Target(gram, weight * scale)

    def forward(self, features: Mapping[str, Tensor], image: Tensor | None = None) -> LossTerms:
        """Measures images by their features, layer to (B, C, H, W).

        The images themselves, (B, 3, H, W), are needed where `tv_weight` is above 0.

        Raises:
            KeyError: if features lack a layer.
            ValueError: if the images are needed and missing.
        """
        content: dict[str, Tensor] = {}
        style: dict[str, Tensor] = {}
        for layer in dict.fromkeys((*self.content_targets, *self.style_targets)):
            self._read(layer, features[layer], content, style)
        return self._terms(content, style, image)

    def measure(self, encoder: Callable[[Tensor, Visit], object], image: Tensor) -> LossTerms:
        """Measures images while an encoder reads them, which saves passes over the gradients.

        Args:
            encoder: called with the image and a function of (layer, map); it gives that function
                each of its maps and goes on with what it returns.
            image: (B, 3, H, W).

        Raises:
            KeyError: if the encoder reads too few layers.
        """
        content: dict[str, Tensor] = {}
        style: dict[str, Tensor] = {}
        encoder(image, lambda layer, features: self._read(layer, features, content, style))
        return self._terms(content, style, image)

    def _read(
        self, layer: str, features: Tensor, content: dict[str, Tensor], style: dict[str, Tensor]
    ) -> Tensor:
        """Adds the losses of one layer; returns its features, to be used from here on."""
        if layer in self.style_targets:
            features, gram = with_gram(features)
            style[layer] = self.style_targets[layer](gram)[1]
        if layer in self.content_targets:
            features, content[layer] = self.content_targets[layer](features)
        return features

    def _terms(
        self, content: dict[str, Tensor], style: dict[str, Tensor], image: Tensor | None
    ) -> LossTerms:
        style_layers = {layer: style[layer] for layer in self.style_targets}
        content_loss = torch.stack(list(content.values())).sum(0)
        style_loss = torch.stack(list(style_layers.values())).sum(0)
        total = self.content_weight * content_loss + self.style_weight * style_loss
        tv = None
        if self.tv_weight > 0:
            if image is None:
                raise ValueError("the image is needed for its total variation")
            tv = total_variation(image)
            total = total + self.tv_weight * tv
        return LossTerms(total, content_loss, style_loss, style_layers, tv)
