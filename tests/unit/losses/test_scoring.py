from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from conftest import make_picture
from PIL import Image

from overpaint.encoder.vgg import Vgg19Features
from overpaint.losses.scoring import SCORE_LAYERS, STYLE_LAYERS, Judge
from overpaint.pictures.io import resize
from overpaint.pictures.tensors import to_tensor

pytestmark = pytest.mark.usefixtures("one_thread")

PHOTO, PAINTING = make_picture((64, 48), seed=1), make_picture((40, 60), seed=2)


@pytest.fixture(scope="module")
def encoder(make_encoder: Callable[..., Vgg19Features]) -> Vgg19Features:
    return make_encoder(*SCORE_LAYERS)


def test_the_photo_is_as_far_from_the_style_as_can_be_and_keeps_all_content(
    encoder: Vgg19Features,
) -> None:
    scores = Judge(encoder, PHOTO, PAINTING, 32).score(resize(PHOTO, (24, 32)))
    assert scores.style == pytest.approx(1)
    assert scores.content == 0


def test_the_painting_has_its_own_style(encoder: Vgg19Features) -> None:
    painting = make_picture((64, 48), seed=2)
    scores = Judge(encoder, PHOTO, painting, 64).score(painting)
    assert scores.style == pytest.approx(0, abs=1e-12)
    assert scores.content > 0.1


def test_scores_are_those_of_the_formulas(encoder: Vgg19Features) -> None:
    picture = make_picture((32, 24), seed=3)

    def read(image: Image.Image) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            return {name: maps[0] for name, maps in encoder(to_tensor(image)).items()}

    x, p, a = read(picture), read(resize(PHOTO, (24, 32))), read(resize(PAINTING, (32, 21)))

    def gram(maps: torch.Tensor) -> np.ndarray:  # type: ignore[type-arg]
        rows = maps.double().flatten(1).numpy()
        return np.asarray(rows @ rows.T / rows.shape[1])

    style = np.mean(
        [
            np.sum((gram(x[name]) - gram(a[name])) ** 2)
            / np.sum((gram(p[name]) - gram(a[name])) ** 2)
            for name in STYLE_LAYERS
        ]
    )
    content = float(((x["relu4_2"] - p["relu4_2"]) ** 2).sum() / (p["relu4_2"] ** 2).sum())
    scores = Judge(encoder, PHOTO, PAINTING, 32).score(picture)
    assert scores.style == pytest.approx(style, rel=1e-4)
    assert scores.content == pytest.approx(content, rel=1e-4)


def test_a_painting_that_is_the_photo_gives_no_unit(encoder: Vgg19Features) -> None:
    with pytest.raises(ValueError, match="already has the style"):
        Judge(encoder, PHOTO, PHOTO, 32)
