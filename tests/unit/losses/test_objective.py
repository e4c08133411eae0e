from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from conftest import draw, positions, random_tensors, summed_gram
from torch import Tensor

from overpaint.encoder.calibration import Calibration
from overpaint.encoder.vgg import Vgg19Features, Visit
from overpaint.errors import ConfigError
from overpaint.losses.normalizations import NORMALIZATIONS
from overpaint.losses.objective import LossTerms, Objective
from overpaint.losses.summing import Encoder

ONE = {"relu1_1": slice(None)}
# Maps of one, two and three channels.
THREE = {"relu1_1": slice(0, 1), "relu2_1": slice(1, 3), "conv3_1": slice(3, 6)}
every_normalization = pytest.mark.parametrize("normalization", NORMALIZATIONS)


class Channels:
    """An encoder whose maps are channels of the image, so that losses have closed forms."""

    def __init__(
        self,
        layers: Mapping[str, slice] = ONE,
        calibration: Mapping[str, Calibration] | None = None,
    ) -> None:
        self.calibration = dict(calibration or {})
        self._layers = layers
        self.asked: list[tuple[str, ...]] = []

    def __call__(
        self, image: Tensor, layers: Iterable[str], *, visit: Visit | None = None
    ) -> dict[str, Tensor]:
        self.asked.append(tuple(layers))
        maps = {name: 1 * image[:, self._layers[name]] for name in self.asked[-1]}
        return {name: visit(name, x) for name, x in maps.items()} if visit else maps


def objective(
    content: Tensor, *styles: Tensor, encoder: Encoder | None = None, **settings: object
) -> Objective:
    """One layer, `relu1_1`, both for content and for style, as Gatys et al. have it."""
    given: dict[str, object] = {
        "content_layers": {"relu1_1": 1.0},
        "style_layers": {"relu1_1": 1.0},
        "content_weight": 1.0,
        "style_weight": 1.0,
        "normalization": "gatys",
        **settings,
    }
    return Objective(encoder or Channels(), content, styles, **given)  # type: ignore[arg-type]


def three_layers(
    content_layers: Mapping[str, float], style_layers: Mapping[str, float], **settings: object
) -> Objective:
    """Of photo 10 and painting 20."""
    return objective(
        draw((1, 6, 3, 4), 10),
        draw((1, 6, 3, 4), 20),
        content_layers=content_layers,
        style_layers=style_layers,
        **{"encoder": Channels(THREE), **settings},  # type: ignore[arg-type]
    )


def gatys_losses(image: Tensor, content: Tensor, style: Tensor) -> tuple[float, float]:
    """Eq. 1 and eq. 4 of arXiv:1508.06576, of two pictures of one size."""
    f, p = image[0].double().numpy(), content[0].double().numpy()
    squares = np.sum((summed_gram(image[0]) - summed_gram(style[0])) ** 2)
    divisor = 4 * image.shape[1] ** 2 * positions(image) ** 2
    return float(np.sum((f - p) ** 2) / 2), float(squares / divisor)


def test_losses_are_those_of_eq_1_and_eq_4() -> None:
    image, content, style = (draw((1, 5, 3, 4), seed) for seed in range(3))
    terms = objective(content, style)(image)
    found = (terms.content.item(), terms.style.item())
    assert found == pytest.approx(gatys_losses(image, content, style))


def test_layer_weights_multiply_the_terms_of_their_layers() -> None:
    image, content, style = (draw((1, 6, 3, 4), seed) for seed in (0, 10, 20))
    weights = {"relu1_1": 0.25, "relu2_1": 2.0, "conv3_1": 7.0}
    terms = three_layers(weights, weights)(image)
    each = {
        name: gatys_losses(image[:, part], content[:, part], style[:, part])
        for name, part in THREE.items()
    }
    assert terms.content.item() == pytest.approx(sum(weights[n] * each[n][0] for n in THREE))
    assert list(terms.style_layers) == list(THREE)
    for name in THREE:
        expected = weights[name] * each[name][1]
        assert terms.style_layers[name].item() == pytest.approx(expected)
    assert terms.style.item() == pytest.approx(sum(weights[n] * each[n][1] for n in THREE))


@every_normalization
def test_losses_are_zero_at_the_target_and_above_it_elsewhere(normalization: str) -> None:
    photo, image = (draw((1, 4, 5, 6), seed, torch.float32) for seed in range(2))
    measured = objective(photo, photo, normalization=normalization)
    terms = measured(photo)
    assert terms.total.item() == terms.content.item() == terms.style.item() == 0
    assert measured(image).content.item() > 0
    assert measured(image).style.item() > 0


def test_relative_losses_of_a_target_without_any_signal_are_numbers() -> None:
    black = torch.zeros(1, 3, 4, 4)
    assert objective(black, black, normalization="relative")(black).total.item() == 0


@pytest.mark.parametrize("normalization", ["gatys", "paper"])
def test_content_gradient_is_the_difference_of_the_features(normalization: str) -> None:
    image, content = draw((1, 3, 4, 5), seed=0).requires_grad_(), draw((1, 3, 4, 5), seed=1)
    objective(content, content, normalization=normalization)(image).content.sum().backward()
    torch.testing.assert_close(image.grad, image.detach() - content)


def test_gatys_style_gradient_is_that_of_the_paper() -> None:
    # Eq. 6: dE/dF = (F^T (G - A))^T / (N^2 M^2), with Gram matrices that are sums.
    image, style = draw((1, 3, 4, 5), seed=0).requires_grad_(), draw((1, 3, 4, 5), seed=1)
    objective(style, style)(image).style.sum().backward()
    flat = image.detach()[0].flatten(1).numpy()
    difference = summed_gram(image.detach()[0]) - summed_gram(style[0])
    expected = (flat.T @ difference).T / (3**2 * 20**2)
    assert image.grad is not None
    np.testing.assert_allclose(image.grad[0].flatten(1).numpy(), expected, rtol=1e-9)


@every_normalization
def test_total_gradient_agrees_with_finite_differences(normalization: str) -> None:
    image, content, style = (draw((2, 3, 2, 3), seed) for seed in range(3))
    measured = objective(
        content[:1], style[:1], normalization=normalization, style_weight=0.5, tv_weight=0.3
    )
    assert torch.autograd.gradcheck(lambda x: measured(x).total, image.requires_grad_())


def test_style_is_measured_at_the_positions_of_the_image() -> None:
    image, style = draw((1, 3, 4, 4), seed=0), draw((1, 3, 2, 3), seed=1)
    gram, target = summed_gram(image[0]) / 16, summed_gram(style[0]) / 6
    expected = 16**2 / 2 * np.sum((gram - target) ** 2)
    loss = objective(image, style, normalization="paper")(image).style.item()
    assert loss == pytest.approx(expected)


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
    loss = objective(image, *styles, image_weights=shares)(image).style.item()
    assert loss == pytest.approx(expected)


def test_shares_must_be_as_many_as_styles() -> None:
    image = draw((1, 3, 4, 4), seed=0)
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        objective(image, image, image, image_weights=(1, 2, 3))


def test_layers_of_weight_zero_are_not_even_computed() -> None:
    encoder = Channels(THREE)
    measured = three_layers(
        {"relu1_1": 1.0, "relu2_1": 0.0}, {"relu1_1": 0.0, "conv3_1": 2.0}, encoder=encoder
    )
    terms = measured(draw((1, 6, 3, 4), 0))
    assert list(terms.style_layers) == ["conv3_1"]
    assert measured.layers == ("relu1_1", "conv3_1")
    assert encoder.asked == [("relu1_1", "conv3_1")] * 3  # photo, painting, image


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 7.0), (0.0, 2.0), (3.0, 0.0)])
def test_total_is_the_weighted_sum_and_terms_come_before_their_weights(
    alpha: float, beta: float
) -> None:
    image, content, style = (draw((1, 3, 4, 4), seed) for seed in range(3))
    plain = objective(content, style)(image)
    terms = objective(content, style, content_weight=alpha, style_weight=beta)(image)
    assert (terms.content.item(), terms.style.item()) == (plain.content.item(), plain.style.item())
    assert terms.total.item() == pytest.approx(
        alpha * terms.content.item() + beta * terms.style.item()
    )


def test_the_default_settings_are_those_of_the_project() -> None:
    parts = {f"relu{block}_1": slice(block, block + 1) for block in range(1, 6)}
    encoder = Channels({**parts, "relu4_2": slice(0, 1)})
    image, content, style = (draw((1, 6, 3, 4), seed) for seed in range(3))
    terms = Objective(encoder, content, [style])(image)
    shares = dict(zip(parts, (0.35, 0.20, 0.17, 0.18, 0.10), strict=True))

    def gram(picture: Tensor, layer: str) -> float:
        return float(picture[:, parts[layer]].square().mean())  # of one channel

    squares = [(image - content)[:, :1].square().sum(), content[:, :1].square().sum()]
    assert terms.content.item() == pytest.approx(float(squares[0] / squares[1]))
    for layer, share in shares.items():
        expected = share * (gram(image, layer) / gram(style, layer) - 1) ** 2
        assert terms.style_layers[layer].item() == pytest.approx(expected)
    assert terms.total.item() == pytest.approx(terms.content.item() + 7 * terms.style.item())
    assert terms.tv is None


@every_normalization
def test_a_batch_gives_the_losses_of_each_image_alone(normalization: str) -> None:
    layers = dict.fromkeys(THREE, 1.0)
    measured = three_layers(layers, layers, normalization=normalization, tv_weight=2.0)
    batch = draw((3, 6, 3, 4), 0)
    together = measured(batch).named()
    alone = [measured(one).named() for one in batch.split(1)]
    assert len(together) == 7
    for name, value in together.items():
        assert value.shape == (3,)
        torch.testing.assert_close(value, torch.cat([terms[name] for terms in alone]))


@pytest.mark.parametrize(
    ("normalization", "content", "style"), [("relative", 0, 0), ("gatys", 2, 4), ("paper", 2, 4)]
)
def test_losses_grow_with_a_factor_on_all_features_by_these_powers(
    normalization: str, content: int, style: int
) -> None:
    pictures = [draw((1, 3, 2, 4), seed) for seed in range(3)]
    before, after = (
        objective(c * pictures[1], c * pictures[2], normalization=normalization)(c * pictures[0])
        for c in (1.0, 3.0)
    )
    assert after.content.item() == pytest.approx(3**content * before.content.item())
    assert after.style.item() == pytest.approx(3**style * before.style.item())


def test_each_layer_has_its_own_calibration_and_some_have_none() -> None:
    calibration = {"relu1_1": Calibration(2, 3, 5, balance=7), "conv3_1": Calibration(11, 13, 3)}
    layers = dict.fromkeys(THREE, 1.0)
    image = draw((1, 6, 3, 4), 0)
    plain = three_layers({"conv3_1": 1.0}, layers)(image)
    terms = three_layers({"conv3_1": 1.0}, layers, encoder=Channels(THREE, calibration))(image)
    assert terms.content.item() == pytest.approx(11 * plain.content.item())
    # relu1_1 has one channel here and is said to stand for five.
    for name, factor in {"relu1_1": 7 * 3 / 5**2, "relu2_1": 1, "conv3_1": 13}.items():
        expected = factor * plain.style_layers[name].item()
        assert terms.style_layers[name].item() == pytest.approx(expected)


def test_bfloat16_features_are_measured_in_float32() -> None:
    image, content, style = (draw((1, 4, 8, 8), seed).bfloat16() for seed in range(3))
    terms = objective(content, style)(image)
    assert terms.total.dtype == torch.float32
    content_loss, style_loss = gatys_losses(image, content, style)
    assert terms.content.item() == pytest.approx(content_loss, rel=1e-5)
    assert terms.style.item() == pytest.approx(style_loss, rel=1e-4)


def test_the_scale_of_a_bfloat16_target_is_not_rounded() -> None:
    photo = torch.tensor([3.0, 1.0, 1.0]).view(1, 1, 1, 3).bfloat16()
    terms = objective(photo, photo, normalization="relative")(torch.zeros_like(photo))
    assert terms.content.item() == pytest.approx(1, rel=1e-6)  # 11 / 11; 8 bits have no 1 / 11


def test_targets_are_kept_apart_from_the_graph_of_the_pictures() -> None:
    content = draw((1, 2, 3, 3), seed=0).requires_grad_()
    measured = objective(content, content)
    assert not list(measured.parameters())
    assert len(list(measured.buffers())) == 4  # a target and a scale, for content and for style
    assert all(not buffer.requires_grad for buffer in measured.buffers())


@every_normalization
def test_measuring_while_encoding_gives_the_gradient_of_measuring_afterwards(
    normalization: str,
) -> None:
    encoder = Vgg19Features(["relu2_1"], random_tensors()).double()
    content, style, start = (draw((1, 3, 12, 16), seed) for seed in range(3))
    target = Objective(
        encoder,
        content,
        [style],
        content_layers={"relu2_1": 1.0, "conv1_2": 0.5},  # relu2_1 is both
        style_layers={"relu2_1": 0.2, "relu1_1": 0.5},
        content_weight=1.5,
        style_weight=3.0,
        normalization=normalization,
    )
    image = torch.cat([start, content]).requires_grad_()
    terms = target(image)
    maps = encoder(image, target.layers)
    losses = 0.0
    for layer, one in target.content_targets.items():
        losses = losses + 1.5 * one.scale * (maps[layer] - one.value).square().sum()
    for layer, one in target.style_targets.items():
        rows = maps[layer].flatten(2)
        gram = rows @ rows.mT / rows.shape[2]
        losses = losses + 3.0 * one.scale * (gram - one.gram).square().sum()
    assert isinstance(losses, Tensor)
    torch.testing.assert_close(terms.total.sum(), losses)
    assert list(terms.style_layers) == ["relu2_1", "relu1_1"]
    gradients = [torch.autograd.grad(loss, image)[0] for loss in (terms.total.sum(), losses)]
    assert gradients[0].abs().max() > 0
    torch.testing.assert_close(gradients[1], gradients[0])


def test_total_variation_of_the_image_is_added_with_its_weight() -> None:
    step = torch.zeros(2, 3, 2, 2)
    step[1, ..., 1] = 0.5  # a step to the right: 0.5^2 in every row, nothing downwards
    photo = draw((1, 3, 2, 2), 0, torch.float32)
    plain, terms = objective(photo, photo)(step), objective(photo, photo, tv_weight=8.0)(step)
    assert plain.tv is None
    assert terms.tv is not None
    assert terms.tv.tolist() == [0.0, 0.25]
    assert (terms.total - plain.total).tolist() == pytest.approx([0.0, 2.0])


def test_an_unknown_normalization_is_answered_with_the_closest_name() -> None:
    photo = draw((1, 2, 3, 3), seed=0)
    with pytest.raises(ConfigError, match=r"loss\.normalization 'gatis'; did you mean 'gatys'"):
        objective(photo, photo, normalization="gatis")


def test_an_encoder_must_reach_as_deep_as_the_layers() -> None:
    encoder, photo = Vgg19Features(["conv1_2"], random_tensors()), torch.rand(1, 3, 8, 8)
    with pytest.raises(ValueError, match="has no relu2_1; it ends with relu1_2"):
        objective(photo, photo, encoder=encoder, content_layers={"relu2_1": 1.0})


def test_an_objective_needs_a_style() -> None:
    with pytest.raises(ValueError, match="at least one style"):
        objective(draw((1, 2, 3, 3), seed=0))


@pytest.mark.parametrize("tv", [None, torch.tensor([5.0])])
def test_terms_have_names(tv: Tensor | None) -> None:
    total, content, style, deep, shallow = (torch.tensor([float(i)]) for i in range(5))
    terms = LossTerms(total, content, style, {"relu5_1": deep, "relu1_1": shallow}, tv)
    named = terms.named()
    names = ["total", "content", "style", "style/relu5_1", "style/relu1_1"]
    assert list(named) == names + (["tv"] if tv is not None else [])
    assert [value.item() for value in named.values()] == list(range(len(named)))


def test_copied_terms_are_apart_from_the_graph_and_from_the_memory() -> None:
    image, photo = draw((1, 2, 3, 3), 0).requires_grad_(), draw((1, 2, 3, 3), 1)
    terms = objective(photo, photo, tv_weight=1.0)(image)
    copy = terms.copied()
    before = {name: value.item() for name, value in terms.named().items()}
    for name, value in terms.named().items():
        assert value.requires_grad, name
        value.data.fill_(math.nan)
    assert {name: value.item() for name, value in copy.named().items()} == before
    assert not any(value.requires_grad for value in copy.named().values())
    assert objective(photo, photo)(image).copied().tv is None


@pytest.mark.parametrize("which", ["content_layers", "style_layers"])
def test_an_objective_needs_a_layer_of_each_kind(which: str) -> None:
    image = draw((1, 2, 3, 3), seed=0)
    with pytest.raises(ValueError, match="need weights above 0"):
        objective(image, image, **{which: {"relu1_1": 0.0}})


def test_statistics_are_those_asked_for_and_the_papers_know_one() -> None:
    photo, painting, image = (draw((1, 3, 4, 5), seed) for seed in range(3))
    gram, covariance = (
        objective(photo, painting, normalization="relative", statistics=name)(image).style.item()
        for name in ("gram", "covariance")
    )
    assert gram != pytest.approx(covariance, rel=0.01)
    for normalization in ("gatys", "paper"):
        with pytest.raises(ValueError, match=f"{normalization} losses are about Gram matrices"):
            objective(photo, painting, normalization=normalization, statistics="covariance")
    with pytest.raises(
        ConfigError, match=r"^unknown style\.statistics .covarianse.; did you mean .covariance"
    ):
        objective(photo, painting, statistics="covarianse")


def test_a_painting_counts_only_in_the_layers_that_it_has_shares_in() -> None:
    encoder = Vgg19Features(["relu2_1"], random_tensors())
    photo, one, other, image = (draw((1, 3, 16, 16), seed).float().sigmoid() for seed in range(4))
    layers = {"relu1_1": 1.0, "relu2_1": 1.0}

    def terms(styles: list[Tensor], weights: Any) -> LossTerms:
        objective = Objective(
            encoder,
            photo,
            styles,
            content_layers={"relu2_1": 1.0},
            style_layers=layers,
            image_weights=weights,
        )
        found: LossTerms = objective(image)
        return found

    mixed = terms([one, other], {"relu1_1": [1.0, 0.0], "relu2_1": [0.0, 3.0]})
    first, second = (terms([style], None) for style in (one, other))
    assert torch.equal(mixed.style_layers["relu1_1"], first.style_layers["relu1_1"])
    assert torch.equal(mixed.style_layers["relu2_1"], second.style_layers["relu2_1"])
    assert not torch.equal(first.style, second.style)
