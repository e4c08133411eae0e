from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import Array, draw, positions, quickly, seeds, shapes, summed_gram
from hypothesis import given
from torch import Tensor

from overpaint.encoder.calibration import Calibration
from overpaint.errors import ConfigError, lookup
from overpaint.losses.normalizations import NORMALIZATIONS

Losses = tuple[Array, Array]


def paper(image: Tensor, content: Tensor, style: Tensor) -> Losses:
    """Plain sums, 1/2 |F - P|^2 and 1/2 |G - A|^2, with A of as many positions as G."""
    f, p = (x[0].double().numpy() for x in (image, content))
    target = summed_gram(style[0]) * positions(image) / positions(style)
    return np.sum((f - p) ** 2) / 2, np.sum((summed_gram(image[0]) - target) ** 2) / 2


def gatys(image: Tensor, content: Tensor, style: Tensor) -> Losses:
    """Eq. 1 and eq. 4 of arXiv:1508.06576."""
    content_loss, style_loss = paper(image, content, style)
    return content_loss, 2 * style_loss / (4 * image.shape[1] ** 2 * positions(image) ** 2)


def relative(image: Tensor, content: Tensor, style: Tensor) -> Losses:
    f, p = (x[0].double().numpy() for x in (image, content))
    gram, target = (summed_gram(x[0]) / positions(x) for x in (image, style))
    return (
        np.sum((f - p) ** 2) / np.sum(p**2),
        np.sum((gram - target) ** 2) / np.sum(target**2),
    )


FORMULAS = {"relative": relative, "gatys": gatys, "paper": paper}
every_normalization = pytest.mark.parametrize("normalization", FORMULAS)


def scaled(
    normalization: str,
    image: Tensor,
    content: Tensor,
    style: Tensor,
    layer: Calibration | None = None,
) -> tuple[float, float]:
    """The scales times the squared distances that they are for."""
    scales = NORMALIZATIONS[normalization]
    layer = layer or Calibration(1, 1, image.shape[1])
    gram, target = (
        torch.from_numpy(summed_gram(x[0]) / positions(x))[None] for x in (image, style)
    )
    return (
        float(scales.content(content.square().sum(), layer) * (image - content).square().sum()),
        float(scales.style(target, positions(image), layer) * (gram - target).square().sum()),
    )


def test_every_normalization_has_its_formula_checked() -> None:
    assert set(FORMULAS) == set(NORMALIZATIONS)


@every_normalization
@quickly
@given(shapes, seeds)
def test_scaled_distances_are_the_losses_of_the_papers(
    normalization: str, shape: tuple[int, int, int, int], seed: int
) -> None:
    image, content, style = (draw((1, *shape[1:]), (seed + i) % 2**32) for i in range(3))
    expected = FORMULAS[normalization](image, content, style)
    found = scaled(normalization, image, content, style)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


# One channel, F = [1, 3], P = [2, 1]; style [2, 2]: |F - P|^2 = 5, sums G = 10, A = 8, M = 2.
@pytest.mark.parametrize(
    ("normalization", "content", "style"),
    [
        ("relative", 5 / 5, 1 / 16),  # |P|^2 = 5; means 5 and 4: (5 - 4)^2 / 4^2
        ("gatys", 5 / 2, 1 / 4),  # (10 - 8)^2 / (4 * 1 * 2^2)
        ("paper", 5 / 2, 2.0),  # (10 - 8)^2 / 2
    ],
)
def test_losses_of_two_pixels_are_those_worked_out_by_hand(
    normalization: str, content: float, style: float
) -> None:
    row = [torch.tensor(values).view(1, 1, 1, 2) for values in ([1.0, 3.0], [2.0, 1.0], [2.0, 2.0])]
    assert scaled(normalization, *row) == pytest.approx((content, style))


def test_eq_4_is_a_quarter_of_the_mean_squared_difference_of_mean_grams() -> None:
    image, style = draw((1, 5, 3, 4), 0), draw((1, 5, 3, 4), 2)
    mean_grams = [summed_gram(x[0]) / 12 for x in (image, style)]
    loss = scaled("gatys", image, image, style)[1]
    assert loss == pytest.approx(np.mean((mean_grams[0] - mean_grams[1]) ** 2) / 4)


@every_normalization
def test_a_style_picture_of_another_size_is_compared_by_its_means(normalization: str) -> None:
    image, content, style = (draw((1, 3, 4, 4), seed) for seed in range(3))
    tiled = style.tile(1, 1, 2, 3)[..., :-1]  # and not a whole number of times
    assert scaled(normalization, image, content, tiled) == pytest.approx(
        FORMULAS[normalization](image, content, tiled)
    )
    whole = scaled(normalization, image, content, style.tile(1, 1, 2, 3))
    assert whole == pytest.approx(scaled(normalization, image, content, style))


@every_normalization
def test_losses_of_a_picture_grow_with_its_positions_as_said(normalization: str) -> None:
    content_power, style_power = NORMALIZATIONS[normalization].growth
    image, content, style = (draw((1, 3, 4, 5), seed) for seed in range(3))
    small = scaled(normalization, image, content, style)
    large = scaled(normalization, image.tile(1, 1, 3, 2), content.tile(1, 1, 3, 2), style)
    assert min(small) > 0
    assert large == pytest.approx((6**content_power * small[0], 6**style_power * small[1]))


def test_a_target_without_any_signal_has_a_finite_scale() -> None:
    black = torch.zeros(1, 3, 4, 4)
    assert scaled("relative", black, black, black) == (0, 0)
    scales, layer = NORMALIZATIONS["relative"], Calibration(1, 1, 3)
    assert np.isfinite(float(scales.content(black.sum(), layer)))
    assert np.isfinite(float(scales.style(black[:, 0], 16, layer)))


# Content and style over those without a calibration of 2, 3 and 5 instead of 1, 1 and N = 4.
@pytest.mark.parametrize(
    ("normalization", "content", "style"),
    [("relative", 1, 7), ("gatys", 2, 7 * 3 * 4**2 / 5**2), ("paper", 2, 7 * 3)],
)
def test_a_calibration_brings_losses_to_the_size_of_vgg_19s(
    normalization: str, content: float, style: float
) -> None:
    pictures = [draw((1, 4, 3, 2), seed) for seed in range(3)]
    plain = scaled(normalization, *pictures)
    found = scaled(normalization, *pictures, Calibration(2, 3, 5, balance=7))
    assert found == pytest.approx((content * plain[0], style * plain[1]))


def test_an_unknown_normalization_is_answered_with_the_closest_name() -> None:
    with pytest.raises(ConfigError, match="'gatis'; did you mean 'gatys'"):
        lookup(NORMALIZATIONS, "gatis", "loss.normalization")
