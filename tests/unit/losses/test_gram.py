from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import draw, positions, quickly, seeds, shapes, summed_gram
from hypothesis import given

from overpaint.losses.gram import gram_matrix, total_variation


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


def test_gram_is_symmetric_and_positive_semi_definite() -> None:
    gram = gram_matrix(draw((3, 6, 2, 2), seed=1)).numpy()  # more channels than positions
    np.testing.assert_allclose(gram, gram.transpose(0, 2, 1), atol=1e-12)
    assert np.linalg.eigvalsh(gram).min() > -1e-12


def test_gram_ignores_pixel_order() -> None:
    features = draw((2, 3, 4, 5), seed=2)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    shuffled = features.flatten(2)[:, :, order].view(features.shape)
    torch.testing.assert_close(gram_matrix(shuffled), gram_matrix(features))


def test_gram_is_quadratic_in_scale() -> None:
    features = draw((2, 3, 4, 5), seed=3)
    torch.testing.assert_close(gram_matrix(-3 * features), 9 * gram_matrix(features))


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


@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 3, 4, 5, 6)])
def test_gram_refuses_what_has_not_four_dimensions(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=str(shape).replace("(", r"\(").replace(")", r"\)")):
        gram_matrix(torch.zeros(shape))


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
