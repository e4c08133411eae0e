"""How good a finished picture is, as VGG-19 sees it, whatever network it was painted with."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from overpaint.encoder.vgg import Vgg19Features
from overpaint.losses.gram import gram_matrix
from overpaint.pictures.io import fit_size, resize, size_of
from overpaint.pictures.tensors import to_tensor

# They define S and C, whatever the losses compare by default.
STYLE_LAYERS = tuple(f"relu{block}_1" for block in range(1, 6))
CONTENT_LAYER = "relu4_2"
SCORE_LAYERS = (*STYLE_LAYERS, CONTENT_LAYER)


@dataclass(frozen=True)
class Scores:
    """Distances of a picture; lower is better, and one can be traded for the other."""

    style: float
    """S, the mean over the style layers of |G(x) - G(a)|^2 / |G(p) - G(a)|^2: 1 for the photo."""
    content: float
    """C, |F(x) - F(p)|^2 / |F(p)|^2 at relu4_2: 0 for the photo."""


class Judge:
    """Scores pictures x of one photo p and one painting a by VGG-19, in float32.

    Args:
        encoder: VGG-19 with `SCORE_LAYERS`, in float32.
        content: the photo p.
        style: the painting a.
        long_edge: of the pictures to come; photo and painting are scaled to it.

    Raises:
        ValueError: if photo and painting have the same Gram matrices, so that S has no unit.
    """

    def __init__(
        self, encoder: Vgg19Features, content: Image.Image, style: Image.Image, long_edge: int
    ) -> None:
        self._encoder = encoder
        content, style = (
            resize(one, fit_size(size_of(one), long_edge)) for one in (content, style)
        )
        self._style = self._read(style)[1]
        self._photo, grams = self._read(content)
        self._start = [_distance(a, b) for a, b in zip(grams, self._style, strict=True)]
        if not all(self._start):
            raise ValueError("the photo already has the style of the painting")

    def score(self, picture: Image.Image) -> Scores:
        """The scores of one picture, as large as the scaled photo."""
        features, grams = self._read(picture)
        parts = zip(grams, self._style, self._start, strict=True)
        return Scores(
            sum(_distance(a, b) / start for a, b, start in parts) / len(STYLE_LAYERS),
            _distance(features, self._photo) / float(self._photo.square().sum()),
        )

    def _read(self, picture: Image.Image) -> tuple[Tensor, list[Tensor]]:
        with torch.no_grad():
            features = self._encoder(to_tensor(picture))
        return features[CONTENT_LAYER], [gram_matrix(features[layer]) for layer in STYLE_LAYERS]


def _distance(a: Tensor, b: Tensor) -> float:
    return float((a - b).square().sum())
