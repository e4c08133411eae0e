from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import draw, positions, quickly, seeds, shapes, summed_gram
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from overpaint.losses.gram import (
    gram_matrix,
    total_variation,
    with_gram,
    with_squared_distance,
)

Array = NDArray[np.float64]


@quickly
@given(shapes, seeds)
def test_gram_agrees_with_a_loop_over_positions(
    shape: tuple[int, int, int, int], seed: int
) -> None:
    features = draw(shape, seed)
    expected = [summed_gram(one) / positions(one) for one in features]
    np.testing.assert_allclose(gram_matrix(features).numpy(), np.stack(expected), atol=1e-12)


def test_gram_divides_by_height_times_width() -> None:
    features = torch.full((1, 2, 3, 5), 2.0)
    assert gram_matrix(features).tolist() == [[[4.0, 4.0], [4.0, 4.0]]]


@quickly
@given(shapes, seeds)
def test_gram_is_symmetric_and_positive_semi_definite(
    shape: tuple[int, int, int, int], seed: int
) -> None:
    gram = gram_matrix(draw(shape, seed)).numpy()
    np.testing.assert_allclose(gram, gram.transpose(0, 2, 1), atol=1e-12)
    assert np.linalg.eigvalsh(gram).min() > -1e-12


@quickly
@given(shapes, seeds)
def test_gram_ignores_pixel_order(shape: tuple[int, int, int, int], seed: int) -> None:
    features = draw(shape, seed)
    order = torch.randperm(positions(features), generator=torch.Generator().manual_seed(seed))
    shuffled = features.flatten(2)[:, :, order].view(shape)
    torch.testing.assert_close(gram_matrix(shuffled), gram_matrix(features))


@quickly
@given(shapes, seeds, st.floats(-8, 8))
def test_gram_is_quadratic_in_scale(
    shape: tuple[int, int, int, int], seed: int, factor: float
) -> None:
    features = draw(shape, seed)
    torch.testing.assert_close(gram_matrix(factor * features), factor**2 * gram_matrix(features))


def test_gram_sees_channels_that_change_places() -> None:
    features = draw((1, 3, 4, 4), seed=0)
    swapped = gram_matrix(features[:, [1, 0, 2]])
    assert not torch.allclose(swapped, gram_matrix(features))
    torch.testing.assert_close(swapped[:, [1, 0, 2]][:, :, [1, 0, 2]], gram_matrix(features))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_gram_of_half_precision_is_accumulated_in_float32(dtype: torch.dtype) -> None:
    features = draw((1, 4, 16, 20), seed=3).to(dtype)
    gram = gram_matrix(features)
    assert gram.dtype == torch.float32
    expected = summed_gram(features[0]) / positions(features)
    np.testing.assert_allclose(gram[0].numpy(), expected, rtol=1e-5, atol=1e-5)


def test_gram_inside_autocast_is_not_rounded_to_bfloat16() -> None:
    features = draw((1, 4, 12, 12), seed=4, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (features.flatten(2) @ features.flatten(2).mT).dtype == torch.bfloat16
        gram = gram_matrix(features)
    assert gram.dtype == torch.float32
    expected = summed_gram(features[0]) / positions(features)
    np.testing.assert_allclose(gram[0].numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 3, 4, 5, 6), (7,)])
def test_gram_refuses_what_has_not_four_dimensions(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=str(shape).replace("(", r"\(").replace(")", r"\)")):
        gram_matrix(torch.zeros(shape))


def test_squared_distance_sums_within_each_image() -> None:
    x = torch.tensor([[1.0, 2.0], [5.0, 5.0]])[:, :, None, None]
    target = torch.tensor([[0.0, 4.0]])[:, :, None, None]
    assert with_squared_distance(x, target)[1].tolist() == [5.0, 26.0]


# 12 channels: in bfloat16, whole runs; runs and a rest; too few positions for runs.
@pytest.mark.parametrize("size", [(64, 48), (61, 47), (32, 16), (5, 6), (3, 1)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gram_of_bfloat16_is_within_a_fraction_of_its_rounding(
    size: tuple[int, int], layout: torch.memory_format
) -> None:
    features = draw((2, 12, *size), seed=8).relu().bfloat16().to(memory_format=layout)
    gram = gram_matrix(features)
    assert gram.dtype == torch.float32
    exact = features.double().flatten(2) @ features.double().flatten(2).mT / positions(features)
    assert (gram - exact).norm() < 2**-9 / 4 * exact.norm()


def a_map(
    seed: int, dtype: torch.dtype = torch.float64, layout: torch.memory_format = torch.channels_last
) -> Tensor:
    return draw((2, 3, 4, 5), seed, dtype).to(memory_format=layout).requires_grad_()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gradients_agree_with_finite_differences(layout: torch.memory_format) -> None:
    features, target = a_map(1, layout=layout), draw((1, 3, 4, 5), 2)

    def both(x: Tensor) -> tuple[Tensor, ...]:
        same, gram = with_gram(x)
        same, distance = with_squared_distance(same, target)
        return same, gram, distance

    for outputs in ([0], [1], [2], [0, 1], [0, 2], [0, 1, 2]):
        assert torch.autograd.gradcheck(
            lambda x, outputs=outputs: tuple(both(x)[i] for i in outputs), features
        )


def test_features_pass_through_unchanged() -> None:
    features = a_map(3)
    assert torch.equal(with_gram(features)[0], features)
    assert torch.equal(with_squared_distance(features, draw((1, 3, 4, 5), 4))[0], features)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_a_gradient_that_comes_in_is_left_as_it_is(dtype: torch.dtype) -> None:
    features = a_map(5, dtype)
    incoming = draw((2, 3, 4, 5), 6, dtype)
    kept = incoming.clone()
    for same, other in (with_gram(features), with_squared_distance(features, features * 0)):
        (gradient,) = torch.autograd.grad(
            (same, other), features, (incoming, torch.ones_like(other)), retain_graph=True
        )
        assert gradient.dtype == dtype
        assert not torch.equal(gradient, kept)
        assert torch.equal(incoming, kept)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(32, 24), (3, 5)])
@pytest.mark.parametrize("passes_on", [False, True])
def test_gradients_in_bfloat16_are_those_of_float64_rounded(
    layout: torch.memory_format, size: tuple[int, int], passes_on: bool
) -> None:
    values = draw((2, 12, *size), 11).relu().bfloat16().to(memory_format=layout)
    weight_gram, weight_same = draw((2, 12, 12), 12), draw((2, 12, *size), 13)
    target = draw((1, 12, *size), 14, torch.float32)

    def gradient(features: Tensor) -> Tensor:
        wide = features.dtype
        with torch.autocast("cpu", torch.bfloat16, enabled=wide == torch.bfloat16):
            same, gram = with_gram(features)
            same, distance = with_squared_distance(same, target)
        loss = (gram * weight_gram.to(gram.dtype)).sum() + 0.01 * distance.sum()
        if passes_on:
            loss = loss + 0.1 * (same * weight_same.to(wide)).sum()
        (result,) = torch.autograd.grad(loss, features)
        return result

    exact = gradient(values.double().requires_grad_())
    rounded = gradient(values.detach().requires_grad_())
    assert rounded.dtype == torch.bfloat16
    assert rounded.is_contiguous(memory_format=layout)
    assert (rounded - exact).norm() < 2**-7 * exact.norm()


def test_the_target_of_a_distance_gets_no_gradient() -> None:
    features, target = a_map(7), a_map(8)
    with_squared_distance(features, target)[1].sum().backward()
    assert features.grad is not None
    assert target.grad is None


def test_gradients_that_nobody_asks_for_cost_nothing() -> None:
    features = a_map(9)
    same, _ = with_gram(features)
    same, _ = with_squared_distance(same, features * 0)
    (gradient,) = torch.autograd.grad(same.sum(), features)
    assert torch.equal(gradient, torch.ones_like(features))


def test_variation_of_one_colour_is_zero_and_that_of_a_ramp_its_squared_slope() -> None:
    flat = torch.full((1, 3, 5, 7), 0.3)
    down = torch.arange(5.0).mul(0.1).view(1, 1, 5, 1).expand(1, 3, 5, 7)
    right = torch.arange(7.0).mul(0.2).view(1, 1, 1, 7).expand(1, 3, 5, 7)
    assert total_variation(flat).tolist() == [0.0]
    assert total_variation(down).item() == pytest.approx(0.01)
    assert total_variation(torch.cat([flat, right, down + right])).tolist() == pytest.approx(
        [0.0, 0.04, 0.05]
    )


def test_variation_does_not_grow_with_the_size() -> None:
    stripes = torch.tensor([0.0, 1.0]).repeat(8).view(1, 1, 1, 16).expand(1, 3, 4, 16)
    assert total_variation(stripes).item() == 1.0
    assert total_variation(stripes.repeat(1, 1, 3, 5)).item() == 1.0


def test_a_line_of_pixels_varies_along_it_alone() -> None:
    assert total_variation(torch.tensor([[[[0.0, 0.5, 1.0]]]])).item() == 0.25
    assert total_variation(torch.ones(1, 3, 1, 1)).item() == 0.0


def test_gradient_of_the_variation_agrees_with_finite_differences() -> None:
    image = draw((2, 3, 4, 5), 10).requires_grad_()
    assert torch.autograd.gradcheck(total_variation, image)
