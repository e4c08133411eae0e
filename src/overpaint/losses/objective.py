"""The total loss of an image: content, style and total variation, with their targets.

    total = content_weight * content + style_weight * style + tv_weight * tv

Content and style are sums over layers of squared distances to the targets, times the layers'
weights; a normalization scales each (`normalizations`). The total variation is of the image itself;
the papers have no such term (weight 0).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from overpaint.banding.bands import Rows
from overpaint.banding.network import PIXELS
from overpaint.banding.shares import Share
from overpaint.encoder.calibration import Calibration
from overpaint.encoder.layers import CONTENT_LAYERS, STYLE_LAYERS
from overpaint.errors import lookup
from overpaint.losses.content import ContentTarget, Photo
from overpaint.losses.fused import square_sum
from overpaint.losses.gram import variation_of_sums, variation_sums
from overpaint.losses.guides import Guides
from overpaint.losses.normalizations import NORMALIZATIONS, Normalization
from overpaint.losses.regions import LayerTarget, guidance, measured_targets
from overpaint.losses.statistics import STATISTICS, Scale, Summed
from overpaint.losses.summing import Encoder, Summing

MAIN_LOSSES = ("total", "content", "style")
"""Of `LossTerms.named`, those that stand for a picture in one line."""


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
        image_weights: share of each painting, or of each in each style layer; their statistics are
            averaged. Equal if None.
        guides: which painting counts where, and how much; without, all of them everywhere.
        bands: rows of a band in each block of the network, from the first on, 0 for blocks that are
            computed whole; for `Vgg19Features` alone. By default all blocks are.
        style_targets: of another objective for the same paintings, formulas, guides and size of
            photo; then the paintings are not measured again.
        share: of this process in the rows of each picture; the others have the rest. It keeps its
            own rows of the photo's features, and of the weights of positions.

    The targets are computed here, under the autocast of the caller.

    Raises:
        ConfigError: if a layer, `normalization` or `statistics` is unknown.
        ValueError: if there is no painting, no content or no style layer, another number of
            `image_weights` than paintings, `statistics` that the normalization has no scale for, a
            picture too small for the layers, or an encoder that does not reach as deep as they do.

    Gatys et al. 2015 (arXiv:1508.06576), eq. 7.
    """

    kept: Tensor | None
    photo: Tensor | None

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
        image_weights: Sequence[float] | Mapping[str, Sequence[float]] | None = None,
        guides: Guides | None = None,
        bands: Sequence[int] = (),
        style_targets: nn.ModuleDict | None = None,
        share: Share | None = None,
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
        self.bands = tuple(bands)
        self._summing = Summing(encoder, self.layers, self.bands, share)
        guides = guides or Guides()
        self.content_targets = nn.ModuleDict()
        scales = lookup(NORMALIZATIONS, normalization, "loss.normalization")
        make_target = lookup(STATISTICS, statistics, "style.statistics")
        if statistics != "gram" and normalization != "relative":
            raise ValueError(f"{normalization} losses are about Gram matrices, not {statistics}")
        with torch.no_grad():
            photo = self._photo(content, tuple(content_layers))
            maps: Mapping[str, Tensor] = {}
            if guides.content is not None:
                maps = guidance(self._summing, guides.content)
                maps = self._summing.own_rows(maps, content.shape[2])
            for layer, weight in content_layers.items():
                calibration = self._calibration(layer, photo.channels[layer])
                scale = weight * scales.content(photo.squares[layer], calibration)
                self.content_targets[layer] = ContentTarget(
                    photo.maps[layer], scale, maps.get(layer)
                )
            if style_targets is None:
                style_targets = measured_targets(
                    self._summing,
                    styles,
                    guides,
                    make_target,
                    {
                        layer: self._style_scale(scales, layer, weight, photo)
                        for layer, weight in style_layers.items()
                    },
                    _by_layer(image_weights or [1.0] * len(styles), style_layers),
                )
        self.style_targets = style_targets
        self.register_buffer("kept", None if guides.kept is None else guides.kept.to(content))
        self.register_buffer("photo", None if guides.kept is None else content)

    def _calibration(self, layer: str, channels: int) -> Calibration:
        """That of a slimmer network, or the one that changes nothing."""
        return self.encoder.calibration.get(layer) or Calibration(1, 1, channels)

    def _style_scale(self, scales: Normalization, layer: str, weight: float, photo: Photo) -> Scale:
        """From a target to the factor of its squared distance, layer weight included."""
        calibration = self._calibration(layer, photo.channels[layer])
        return lambda target: weight * scales.style(target, photo.positions[layer], calibration)

    def forward(self, image: Tensor) -> LossTerms:
        """Measures images while the encoder reads them, which saves passes over the gradients.

        Args:
            image: (B, 3, H, W).
        """
        if self.kept is not None and self.photo is not None:
            image = torch.lerp(image, self.photo, self.kept)
        return self.concluded(self._summing(image, self.tally), image.shape)

    def tally(
        self, layer: str, features: Tensor, rows: Rows | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """What the losses of one layer are made of: sums over positions, first those of the style.

        Args:
            layer: its name, or `PIXELS` for the image itself.
            features: (B, C, H, W), the layer's map or some rows of it.
            rows: those that count; by default all of them.

        Returns:
            The features, to be used from here on, and the sums.
        """
        if layer == PIXELS:
            here = None if rows is None else rows.here
            return features, variation_sums(features, here) if self.tv_weight > 0 else ()
        sums: tuple[Tensor, ...] = ()
        if layer in self.style_targets:
            style = cast(LayerTarget, self.style_targets[layer])
            features, sums = style.sums(features, rows)
        if layer in self.content_targets:
            content = cast(ContentTarget, self.content_targets[layer])
            features, more = content.sums(features, rows)
            sums = (*sums, *more)
        return features, sums

    def concluded(self, summed: Mapping[str, Summed], shape: Sequence[int]) -> LossTerms:
        """The losses that the sums over all positions make.

        Args:
            summed: the totals of `tally` by layer, and for `PIXELS` if total variation counts.
            shape: (B, 3, H, W), of the images.
        """
        content: dict[str, Tensor] = {}
        style: dict[str, Tensor] = {}
        for layer, target in self.style_targets.items():
            here = summed[layer]
            own = here.sums[:-1] if layer in self.content_targets else here.sums
            style[layer] = target(Summed(own, here.positions))
        for layer, target in self.content_targets.items():
            content[layer] = target(Summed(summed[layer].sums[-1:], summed[layer].positions))
        content_loss = torch.stack(list(content.values())).sum(0)
        style_loss = torch.stack(list(style.values())).sum(0)
        total = self.content_weight * content_loss + self.style_weight * style_loss
        tv = None
        if self.tv_weight > 0:
            tv = variation_of_sums(summed[PIXELS].sums, shape)
            total = total + self.tv_weight * tv
        return LossTerms(total, content_loss, style_loss, style, tv)

    def _photo(self, image: Tensor, kept: Collection[str]) -> Photo:
        """The photo's maps."""
        photo = Photo()

        def keep(
            layer: str, features: Tensor, rows: Rows | None
        ) -> tuple[Tensor, Sequence[Tensor]]:
            photo.channels[layer] = features.shape[1]
            if layer not in kept:
                return features, ()
            photo.keep(layer, features, rows)
            return features, (square_sum(features if rows is None else features[:, :, rows.here]),)

        summed = self._summing(image, keep)
        photo.positions |= {layer: int(one.positions) for layer, one in summed.items()}
        photo.squares |= {layer: summed[layer].sums[0] for layer in kept}
        return photo


def _by_layer(
    shares: Sequence[float] | Mapping[str, Sequence[float]], layers: Iterable[str]
) -> Mapping[str, Sequence[float]]:
    """The shares of the paintings in each layer."""
    return shares if isinstance(shares, Mapping) else dict.fromkeys(layers, shares)
