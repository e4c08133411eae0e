from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from conftest import draw, positions, quickly, seeds, shapes, summed_gram
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from overpaint.encoder.vgg import Vgg19Features
from overpaint.errors import ConfigError
from overpaint.losses.gram import total_variation
from overpaint.losses.objective import NORMALIZATIONS, StyleObjective

Array = NDArray[np.float64]


def objective(
    content: Tensor, *styles: Tensor, normalization: str = "gatys", **settings: object
) -> StyleObjective:
    """One layer, `relu1_1`, both for content and for style."""
    given_settings: dict[str, object] = {
        "content_layers": {"relu1_1": 1.0},
        "style_layers": {"relu1_1": 1.0},
        "content_weight": 1.0,
        "style_weight": 1.0,
        **settings,
    }
    return StyleObjective(
        {"relu1_1": content},
        [{"relu1_1": style} for style in styles],
        normalization=normalization,
        **given_settings,  # type: ignore[arg-type]
    )


def paper_terms(image: Tensor, content: Tensor, style: Tensor) -> tuple[Array, Array]:
    """Plain sums: (1/2 |F - P|^2, 1/2 |G - A|^2) with Gram matrices that are not divided."""
    f, p = image[0].double().numpy(), content[0].double().numpy()
    grams = summed_gram(image[0]), summed_gram(style[0])
    return np.sum((f - p) ** 2) / 2, np.sum((grams[0] - grams[1]) ** 2) / 2


def gatys_terms(image: Tensor, content: Tensor, style: Tensor) -> tuple[Array, Array]:
    """Eq. 1 and eq. 4 of arXiv:1508.06576."""
    paper_content, paper_style = paper_terms(image, content, style)
    channels = image.shape[1]
    return paper_content, 2 * paper_style / (4 * channels**2 * positions(image) ** 2)


def relative_terms(image: Tensor, content: Tensor, style: Tensor) -> tuple[Array, Array]:
    f, p = image[0].double().numpy(), content[0].double().numpy()
    gram = summed_gram(image[0]) / positions(image)
    target = summed_gram(style[0]) / positions(style)
    return (
        np.sum((f - p) ** 2) / np.sum(p**2),
        np.sum((gram - target) ** 2) / np.sum(target**2),
    )


FORMULAS = {"relative": relative_terms, "gatys": gatys_terms, "paper": paper_terms}


def test_every_normalization_has_its_formula_checked() -> None:
    assert set(FORMULAS) == set(NORMALIZATIONS)


@pytest.mark.parametrize("normalization", FORMULAS)
@quickly
@given(shapes, seeds)
def test_losses_agree_with_float64_numpy(
    normalization: str, shape: tuple[int, int, int, int], seed: int
) -> None:
    shape = (1, *shape[1:])
    image, content, style = (draw(shape, (seed + i) % 2**32) for i in range(3))
    terms = objective(content, style, normalization=normalization)({"relu1_1": image})
    content_loss, style_loss = FORMULAS[normalization](image, content, style)
    np.testing.assert_allclose(terms.content.numpy(), [content_loss], rtol=1e-9)
    np.testing.assert_allclose(terms.style.numpy(), [style_loss], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("normalization", FORMULAS)
def test_losses_in_float32_agree_with_float64_numpy(normalization: str) -> None:
    image, content, style = (draw((1, 8, 6, 7), seed, torch.float32) for seed in range(3))
    terms = objective(content, style, normalization=normalization)({"relu1_1": image})
    content_loss, style_loss = FORMULAS[normalization](image, content, style)
    np.testing.assert_allclose(terms.content.numpy(), [content_loss], rtol=1e-5)
    np.testing.assert_allclose(terms.style.numpy(), [style_loss], rtol=1e-4)


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
    terms = objective(row[1], row[2], normalization=normalization)({"relu1_1": row[0]})
    assert terms.content.item() == pytest.approx(content)
    assert terms.style.item() == pytest.approx(style)


def test_eq_4_is_a_quarter_of_the_mean_squared_difference_of_mean_grams() -> None:
    image, content, style = (draw((1, 5, 3, 4), seed) for seed in range(3))
    mean_grams = [summed_gram(x[0]) / 12 for x in (image, style)]
    eq_4 = np.sum((summed_gram(image[0]) - summed_gram(style[0])) ** 2) / (4 * 5**2 * 12**2)
    loss = objective(content, style)({"relu1_1": image}).style.item()
    assert loss == pytest.approx(eq_4)
    assert loss == pytest.approx(np.mean((mean_grams[0] - mean_grams[1]) ** 2) / 4)


@pytest.mark.parametrize("normalization", FORMULAS)
def test_losses_are_zero_at_the_target(normalization: str) -> None:
    features = draw((1, 4, 5, 6), seed=0, dtype=torch.float32)
    terms = objective(features, features, normalization=normalization)({"relu1_1": features})
    assert terms.total.item() == terms.content.item() == terms.style.item() == 0


@pytest.mark.parametrize("normalization", FORMULAS)
def test_losses_are_above_zero_off_the_target(normalization: str) -> None:
    image, content, style = (draw((1, 4, 5, 6), seed, torch.float32) for seed in range(3))
    terms = objective(content, style, normalization=normalization)({"relu1_1": image})
    assert terms.content.item() > 0
    assert terms.style.item() > 0


def test_relative_losses_of_a_target_without_any_signal_are_numbers() -> None:
    black = torch.zeros(1, 3, 4, 4)
    measured = objective(black, black, normalization="relative")
    assert measured({"relu1_1": black}).total.item() == 0


@pytest.mark.parametrize("normalization", ["gatys", "paper"])
def test_content_gradient_is_the_difference_of_the_features(normalization: str) -> None:
    image, content = draw((1, 3, 4, 5), seed=0).requires_grad_(), draw((1, 3, 4, 5), seed=1)
    measured = objective(content, content, normalization=normalization)
    measured({"relu1_1": image}).content.sum().backward()
    torch.testing.assert_close(image.grad, image.detach() - content)


def test_gatys_style_gradient_is_that_of_the_paper() -> None:
    # Eq. 6: dE/dF = (F^T (G - A))^T / (N^2 M^2), with Gram matrices that are sums.
    image, style = draw((1, 3, 4, 5), seed=0).requires_grad_(), draw((1, 3, 4, 5), seed=1)
    objective(style, style)({"relu1_1": image}).style.sum().backward()
    flat = image.detach()[0].flatten(1).numpy()
    difference = summed_gram(image.detach()[0]) - summed_gram(style[0])
    expected = (flat.T @ difference).T / (3**2 * 20**2)
    assert image.grad is not None
    np.testing.assert_allclose(image.grad[0].flatten(1).numpy(), expected, rtol=1e-9)


@pytest.mark.parametrize("normalization", FORMULAS)
def test_total_gradient_agrees_with_finite_differences(normalization: str) -> None:
    image, content, style = (draw((2, 3, 2, 3), seed) for seed in range(3))
    measured = objective(content[:1], style[:1], normalization=normalization, style_weight=0.5)
    assert torch.autograd.gradcheck(
        lambda x: measured({"relu1_1": x}).total, image.requires_grad_()
    )


@pytest.mark.parametrize("normalization", FORMULAS)
def test_a_style_repeated_over_a_larger_picture_is_the_same_style(normalization: str) -> None:
    image, style = draw((1, 3, 4, 4), seed=0), draw((1, 3, 4, 4), seed=1)
    tiled = style.tile(1, 1, 2, 3)
    losses = [
        objective(image, one, normalization=normalization)({"relu1_1": image}).style.item()
        for one in (style, tiled)
    ]
    assert losses[0] > 0
    assert losses[1] == pytest.approx(losses[0])


def test_paper_style_of_another_size_is_rescaled_to_the_positions_of_the_image() -> None:
    image, style = draw((1, 3, 4, 4), seed=0), draw((1, 3, 2, 3), seed=1)
    gram, target = summed_gram(image[0]) / 16, summed_gram(style[0]) / 6
    expected = 16**2 / 2 * np.sum((gram - target) ** 2)
    loss = objective(image, style, normalization="paper")({"relu1_1": image}).style.item()
    assert loss == pytest.approx(expected)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("tiles", [(1, 2), (3, 2), (4, 4)])
def test_losses_of_a_picture_grow_with_its_positions_as_said(
    normalization: str, tiles: tuple[int, int]
) -> None:
    content_power, style_power = NORMALIZATIONS[normalization].growth
    image, content, style = (draw((1, 3, 4, 5), seed) for seed in range(3))
    times = tiles[0] * tiles[1]
    small = objective(content, style, normalization=normalization)({"relu1_1": image})
    wide = [x.tile(1, 1, *tiles) for x in (image, content)]
    terms = objective(wide[1], style, normalization=normalization)({"relu1_1": wide[0]})
    assert small.content.item() > 0 < small.style.item()
    assert terms.content.item() == pytest.approx(times**content_power * small.content.item())
    assert terms.style.item() == pytest.approx(times**style_power * small.style.item())


@pytest.mark.parametrize(
    ("shares", "fractions"), [(None, (0.5, 0.5)), ((1, 1), (0.5, 0.5)), ((3, 1), (0.75, 0.25))]
)
def test_several_styles_are_averaged_by_their_shares(
    shares: tuple[float, ...] | None, fractions: tuple[float, float]
) -> None:
    image = draw((1, 3, 4, 4), seed=0)
    styles = draw((1, 3, 5, 2), seed=1), draw((1, 3, 3, 3), seed=2)
    target = fractions[0] * summed_gram(styles[0][0]) / 10
    target = target + fractions[1] * summed_gram(styles[1][0]) / 9
    expected = np.sum((summed_gram(image[0]) / 16 - target) ** 2) / (4 * 3**2)
    loss = objective(image, *styles, image_weights=shares)({"relu1_1": image}).style.item()
    assert loss == pytest.approx(expected)


def test_shares_must_be_as_many_as_styles() -> None:
    image = draw((1, 3, 4, 4), seed=0)
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        objective(image, image, image, image_weights=(1, 2, 3))


LAYERS = ("relu1_1", "relu2_1", "conv3_1")


def three_layers(seed: int, count: int = 1) -> dict[str, Tensor]:
    return {name: draw((count, 2, 3, 4), seed + i) for i, name in enumerate(LAYERS)}


def three_layer_objective(
    content_layers: Mapping[str, float], style_layers: Mapping[str, float], **settings: object
) -> StyleObjective:
    given_settings: dict[str, object] = {"content_weight": 1.0, "style_weight": 1.0, **settings}
    return StyleObjective(
        three_layers(seed=10),
        [three_layers(seed=20)],
        content_layers=content_layers,
        style_layers=style_layers,
        **given_settings,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("normalization", FORMULAS)
def test_layer_weights_multiply_the_terms_of_their_layers(normalization: str) -> None:
    image, content, style = three_layers(0), three_layers(10), three_layers(20)
    weights = {"relu1_1": 0.25, "relu2_1": 2.0, "conv3_1": 7.0}
    measured = three_layer_objective(weights, weights, normalization=normalization)(image)
    each = {
        name: FORMULAS[normalization](image[name], content[name], style[name]) for name in LAYERS
    }
    assert measured.content.item() == pytest.approx(sum(weights[n] * each[n][0] for n in LAYERS))
    for name in LAYERS:
        expected = weights[name] * each[name][1]
        assert measured.style_layers[name].item() == pytest.approx(expected)


def test_style_layers_sum_to_the_style_loss() -> None:
    measured = three_layer_objective({"conv3_1": 1.0}, dict.fromkeys(LAYERS, 0.3))(three_layers(0))
    assert list(measured.style_layers) == list(LAYERS)
    assert measured.style.item() == pytest.approx(
        sum(value.item() for value in measured.style_layers.values())
    )


def test_layers_of_weight_zero_are_left_out() -> None:
    measured = three_layer_objective(
        {"relu1_1": 1.0, "relu2_1": 0.0}, {"relu1_1": 0.0, "conv3_1": 2.0}
    )
    image = three_layers(0)
    del image["relu2_1"]  # of weight zero, so it need not even be there
    assert list(measured(image).style_layers) == ["conv3_1"]
    alone = three_layer_objective({"relu1_1": 1.0}, {"conv3_1": 2.0})(three_layers(0))
    assert measured(image).total.item() == alone.total.item()


@quickly
@given(st.floats(0, 1e3), st.floats(0, 1e3))
def test_total_is_the_weighted_sum_of_content_and_style(alpha: float, beta: float) -> None:
    layers = dict.fromkeys(LAYERS, 1.0)
    terms = three_layer_objective(layers, layers, content_weight=alpha, style_weight=beta)(
        three_layers(0)
    )
    expected = alpha * terms.content.item() + beta * terms.style.item()
    assert terms.total.item() == pytest.approx(expected)


def test_content_and_style_are_reported_before_their_weights() -> None:
    layers = dict.fromkeys(LAYERS, 1.0)
    light, heavy = (
        three_layer_objective(layers, layers, content_weight=w, style_weight=10 * w)(
            three_layers(0)
        )
        for w in (1.0, 50.0)
    )
    assert (light.content.item(), light.style.item()) == (heavy.content.item(), heavy.style.item())


@pytest.mark.parametrize("normalization", FORMULAS)
def test_a_batch_gives_the_losses_of_each_image_alone(normalization: str) -> None:
    layers = dict.fromkeys(LAYERS, 1.0)
    measured = three_layer_objective(layers, layers, normalization=normalization)
    batch = three_layers(0, count=3)
    together = measured(batch)
    alone = [measured({name: batch[name][i : i + 1] for name in LAYERS}) for i in range(3)]
    for kind in ("total", "content", "style"):
        each = torch.cat([getattr(terms, kind) for terms in alone])
        assert getattr(together, kind).shape == (3,)
        torch.testing.assert_close(getattr(together, kind), each)
    for name in LAYERS:
        each = torch.cat([terms.style_layers[name] for terms in alone])
        torch.testing.assert_close(together.style_layers[name], each)


@quickly
@given(seeds, st.floats(1e-3, 1e3))
def test_relative_losses_are_blind_to_a_factor_on_all_features(seed: int, factor: float) -> None:
    image, content, style = (draw((1, 3, 2, 4), (seed + i) % 2**32) for i in range(3))
    before, after = (
        objective(c * content, c * style, normalization="relative")({"relu1_1": c * image})
        for c in (1.0, factor)
    )
    assert after.content.item() == pytest.approx(before.content.item())
    assert after.style.item() == pytest.approx(before.style.item())


@pytest.mark.parametrize("normalization", ["gatys", "paper"])
def test_the_papers_losses_grow_with_the_features(normalization: str) -> None:
    image, content, style = (draw((1, 3, 2, 4), seed) for seed in range(3))
    before, after = (
        objective(c * content, c * style, normalization=normalization)({"relu1_1": c * image})
        for c in (1.0, 2.0)
    )
    assert after.content.item() == pytest.approx(4 * before.content.item())
    assert after.style.item() == pytest.approx(16 * before.style.item())


def test_bfloat16_features_are_measured_in_float32() -> None:
    image, content, style = (draw((1, 4, 8, 8), seed).bfloat16() for seed in range(3))
    terms = objective(content, style)({"relu1_1": image})
    assert terms.total.dtype == torch.float32
    content_loss, style_loss = gatys_terms(image, content, style)
    assert terms.content.item() == pytest.approx(content_loss, rel=1e-5)
    assert terms.style.item() == pytest.approx(style_loss, rel=1e-4)


def test_targets_are_kept_apart_from_the_graph_of_the_features() -> None:
    content = draw((1, 2, 3, 3), seed=0).requires_grad_()
    measured = objective(content, content)
    assert not list(measured.parameters())
    assert all(not buffer.requires_grad for buffer in measured.buffers())


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_measuring_while_encoding_gives_the_same_terms_and_gradient(
    make_encoder: Callable[..., Vgg19Features], normalization: str
) -> None:
    encoder = make_encoder("conv1_2", "relu1_1", "relu2_1")
    content, style, start = (torch.rand((1, 3, 12, 16)).double() for _ in range(3))
    encoder.double()
    target = StyleObjective(
        encoder(content),
        [encoder(style)],
        content_layers={"relu2_1": 1.0, "conv1_2": 0.5},  # relu2_1 is both
        style_layers={"relu2_1": 0.2, "relu1_1": 0.5},
        content_weight=1.0,
        style_weight=3.0,
        normalization=normalization,
    )
    batch = torch.cat([start, content]).requires_grad_()
    apart, together = target(encoder(batch)), target.measure(encoder, batch)
    assert list(together.style_layers) == ["relu2_1", "relu1_1"]
    for field in ("total", "content", "style"):
        torch.testing.assert_close(getattr(together, field), getattr(apart, field))
    gradients = [torch.autograd.grad(terms.total.sum(), batch)[0] for terms in (apart, together)]
    assert gradients[0].abs().max() > 0
    torch.testing.assert_close(gradients[1], gradients[0])


def test_total_variation_is_added_with_its_weight() -> None:
    image = torch.rand((2, 3, 6, 6))
    features = {"relu1_1": image * 2}
    plain = objective(image[:1], image[1:])
    smooth = objective(image[:1], image[1:], tv_weight=5.0)
    assert plain(features).tv is None
    terms = smooth(features, image)
    assert terms.tv is not None
    torch.testing.assert_close(terms.tv, total_variation(image))
    torch.testing.assert_close(terms.total, plain(features).total + 5 * total_variation(image))
    encoded = smooth.measure(lambda x, visit: visit("relu1_1", x * 2), image)
    torch.testing.assert_close(encoded.total, terms.total)
    with pytest.raises(ValueError, match="the image is needed"):
        smooth(features)


def test_an_unknown_normalization_is_answered_with_the_closest_name() -> None:
    features = draw((1, 2, 3, 3), seed=0)
    with pytest.raises(ConfigError, match="'gatis'; did you mean 'gatys'"):
        objective(features, features, normalization="gatis")


def test_an_objective_needs_a_style() -> None:
    with pytest.raises(ValueError, match="at least one style"):
        objective(draw((1, 2, 3, 3), seed=0))


def test_an_objective_needs_features_of_its_layers() -> None:
    with pytest.raises(KeyError, match="relu5_1"):
        objective(*[draw((1, 2, 3, 3), seed=0)] * 2, style_layers={"relu5_1": 1.0})
