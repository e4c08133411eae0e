"""The total loss of an image: content, style and total variation, with their targets.

    total = content_weight * content + style_weight * style + tv_weight * tv

Content and style are sums over layers of squared distances to the targets, times the layers'
weights; a normalization scales each (`normalizations`). The total variation is of the image itself;
the papers have no such term (weight 0).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from overpaint.encoder.calibration import Calibration
from overpaint.encoder.layers import CONTENT_LAYERS, STYLE_LAYERS
from overpaint.encoder.vgg import Visit
from overpaint.errors import lookup
from overpaint.losses.fused import at_least_float32, with_squared_distance
from overpaint.losses.gram import total_variation
from overpaint.losses.normalizations import NORMALIZATIONS, Normalization
from overpaint.losses.statistics import STATISTICS, Scale

MAIN_LOSSES = ("total", "content", "style")
"""Of `LossTerms.named`, those that stand for a picture in one line."""


class Encoder(Protocol):
    """What an objective needs of a network: maps by name, handed out while they are computed."""

    @property
    def calibration(self) -> Mapping[str, Calibration]:
        """Of a slimmer network's layers; empty for VGG-19 itself."""

    def __call__(
        self, image: Tensor, layers: Iterable[str], *, visit: Visit | None = None
    ) -> Mapping[str, Tensor]:
        """The maps of `layers`, as `Vgg19Features.forward` returns them."""


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

    def named(self) -> dict[str, Tensor]:
        """All of them: `total`, `content`, `style`, `style/<layer>` and, if there is one, `tv`."""
        layers = {f"style/{name}": value for name, value in self.style_layers.items()}
        terms = {"total": self.total, "content": self.content, "style": self.style, **layers}
        return terms if self.tv is None else {**terms, "tv": self.tv}

    def copied(self) -> LossTerms:
        """The same numbers, apart from the graph and from the memory that they lie in."""

        def copy(x: Tensor) -> Tensor:
            return x.detach().clone()

        return LossTerms(
            copy(self.total),
            copy(self.content),
            copy(self.style),
            {name: copy(value) for name, value in self.style_layers.items()},
            None if self.tv is None else copy(self.tv),
        )


class _ContentTarget(nn.Module):
    """The photo's features of one layer, and the factor of the squared distance to them."""

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


class Objective(nn.Module):
    """J_total of images that share one photo and one style; `objective(image).total`.

    Args:
        encoder: the frozen network, on the pictures' device.
        content: the photo, (1, 3, H, W), sRGB in [0, 1], as large as the images to come.
        styles: the paintings, each (1, 3, h, w) of any size.
        content_layers: layer to weight; layers of weight 0 are left out.
        style_layers: layer to weight w_l, likewise.
        content_weight: alpha.
        style_weight: beta.
        tv_weight: of the total variation.
        normalization: a name in `NORMALIZATIONS`.
        statistics: a name in `STATISTICS`; other than `gram` for `relative` losses alone.
        image_weights: share of each painting; their statistics are averaged. Equal if None.

    The targets are computed here, under the autocast of the caller.

    Raises:
        ConfigError: if a layer, `normalization` or `statistics` is unknown.
        ValueError: if there is no painting, no content or no style layer, another number of
            `image_weights` than paintings, `statistics` that the normalization has no scale for, a
            picture too small for the layers, or an encoder that does not reach as deep as they do.

    Gatys et al. 2015 (arXiv:1508.06576), eq. 7.
    """

    def __init__(
        self,
        encoder: Encoder,
        content: Tensor,
        styles: Sequence[Tensor],
        *,
        content_layers: Mapping[str, float] = CONTENT_LAYERS,
        style_layers: Mapping[str, float] = STYLE_LAYERS,
        content_weight: float = 1.0,
        style_weight: float = 7.0,
        tv_weight: float = 0.0,
        normalization: str = "relative",
        statistics: str = "gram",
        image_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if not styles:
            raise ValueError("at least one style picture is needed")
        self.encoder = encoder
        self.content_weight = content_weight
        self.style_weight = style_weight
        self.tv_weight = tv_weight
        content_layers = {name: weight for name, weight in content_layers.items() if weight > 0}
        style_layers = {name: weight for name, weight in style_layers.items() if weight > 0}
        if not content_layers or not style_layers:
            raise ValueError("a content layer and a style layer need weights above 0")
        self.layers = tuple(dict.fromkeys((*content_layers, *style_layers)))
        self.content_targets = nn.ModuleDict()
        self.style_targets = nn.ModuleDict()
        scales = lookup(NORMALIZATIONS, normalization, "loss.normalization")
        make_target = lookup(STATISTICS, statistics, "style.statistics")
        if statistics != "gram" and normalization != "relative":
            raise ValueError(f"{normalization} losses are about Gram matrices, not {statistics}")
        shares = image_weights or [1.0] * len(styles)
        with torch.no_grad():
            photo = encoder(content, self.layers)
            paintings = [encoder(style, self.layers) for style in styles]
            for layer, weight in content_layers.items():
                target = at_least_float32(photo[layer])
                scale = scales.content(target, self._calibration(layer, photo[layer]))
                self.content_targets[layer] = _ContentTarget(target, weight * scale)
            for layer, weight in style_layers.items():
                self.style_targets[layer] = make_target(
                    [painting[layer] for painting in paintings],
                    shares,
                    self._style_scale(scales, layer, weight, photo[layer]),
                )

    def _style_scale(
        self, scales: Normalization, layer: str, weight: float, photo: Tensor
    ) -> Scale:
        """From a target to the factor of its squared distance, layer weight included."""
        positions = photo.shape[2] * photo.shape[3]
        calibration = self._calibration(layer, photo)
        return lambda target: weight * scales.style(target, positions, calibration)

    def _calibration(self, layer: str, features: Tensor) -> Calibration:
        """That of a slimmer network, or the one that changes nothing."""
        return self.encoder.calibration.get(layer) or Calibration(1, 1, features.shape[1])

    def forward(self, image: Tensor) -> LossTerms:
        """Measures images while the encoder reads them, which saves passes over the gradients.

        Args:
            image: (B, 3, H, W).
        """
        content: dict[str, Tensor] = {}
        style: dict[str, Tensor] = {}

        def measure(layer: str, features: Tensor) -> Tensor:
            """Adds the losses of one layer; returns its features, to be used from here on."""
            if layer in self.style_targets:
                features, style[layer] = self.style_targets[layer](features)
            if layer in self.content_targets:
                features, content[layer] = self.content_targets[layer](features)
            return features

        self.encoder(image, self.layers, visit=measure)
        style_layers = {layer: style[layer] for layer in self.style_targets}
        content_loss = torch.stack(list(content.values())).sum(0)
        style_loss = torch.stack(list(style_layers.values())).sum(0)
        total = self.content_weight * content_loss + self.style_weight * style_loss
        tv = None
        if self.tv_weight > 0:
            tv = total_variation(image)
            total = total + self.tv_weight * tv
        return LossTerms(total, content_loss, style_loss, style_layers, tv)
