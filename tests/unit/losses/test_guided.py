from __future__ import annotations

import pytest
import torch
from conftest import draw, quickly
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from overpaint.losses.fused import with_moments, with_squared_distance
from overpaint.losses.guided import with_guided_moments

pytestmark = pytest.mark.usefixtures("one_thread")

LAYOUTS = pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])


def some_weights(regions: int, height: int, width: int) -> Tensor:
    return torch.rand((regions, height, width), generator=torch.Generator().manual_seed(4))


def expected(features: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Eq. 4 of Gatys et al. 2017 as it stands: T_r, the root of the weights, times each feature."""
    guided = features[:, None] * weights.to(features).sqrt()[None, :, None]
    maps = guided.flatten(3)
    plain = features[:, None] * weights.to(features)[None, :, None]
    return maps @ maps.transpose(2, 3), plain.flatten(3).sum(3)


@quickly
@given(
    batch=st.integers(1, 2),
    channels=st.integers(1, 4),
    height=st.integers(1, 7),
    width=st.integers(1, 5),
    regions=st.integers(1, 3),
    is_last=st.booleans(),
)
def test_sums_are_those_of_features_times_the_guidance(
    batch: int, channels: int, height: int, width: int, regions: int, is_last: bool
) -> None:
    features = draw((batch, channels, height, width), 1)
    if is_last:
        features = features.to(memory_format=torch.channels_last)
    weights = some_weights(regions, height, width)
    same, products, sums = with_guided_moments(features, weights)
    gram, totals = expected(features, weights)
    torch.testing.assert_close(same, features)
    torch.testing.assert_close(products, gram, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(sums, totals, rtol=1e-12, atol=1e-12)


@LAYOUTS
def test_gradients_are_those_that_differences_show(layout: torch.memory_format) -> None:
    features = draw((2, 3, 5, 4), 2).to(memory_format=layout).requires_grad_()
    weights = some_weights(2, 3, 4).double()

    def through(x: Tensor) -> tuple[Tensor, ...]:
        same, products, sums = with_guided_moments(x, weights, slice(1, 4))
        return same.square(), products, sums

    assert torch.autograd.gradcheck(through, (features,))


@pytest.mark.parametrize("used", [(0,), (1,), (2,), (0, 2), (1, 2)])
def test_gradients_flow_through_whatever_is_used(used: tuple[int, ...]) -> None:
    features = draw((1, 3, 4, 4), 2).requires_grad_()
    weights = some_weights(2, 4, 4).double()

    def through(x: Tensor) -> tuple[Tensor, ...]:
        found = with_guided_moments(x * 1, weights)
        return tuple(found[i] for i in used)

    assert torch.autograd.gradcheck(through, (features,))


@LAYOUTS
def test_large_maps_are_weighed_part_by_part_to_the_same_sums(layout: torch.memory_format) -> None:
    features = draw((1, 16, 300, 256), 3).to(memory_format=layout).requires_grad_()  # over 2^20
    weights = some_weights(2, 300, 256).double()
    _, products, sums = with_guided_moments(features, weights)
    gram, totals = expected(features, weights)
    torch.testing.assert_close(products, gram, rtol=1e-12, atol=1e-9)
    torch.testing.assert_close(sums, totals, rtol=1e-12, atol=1e-9)
    grads = torch.autograd.grad(products.square().sum() + sums.sum(), features)[0]
    true = torch.autograd.grad(gram.square().sum() + totals.sum(), features)[0]
    torch.testing.assert_close(grads, true, rtol=1e-9, atol=1e-9)


@LAYOUTS
def test_in_bfloat16_the_sums_are_as_near_as_those_without_regions(
    layout: torch.memory_format,
) -> None:
    features = draw((1, 12, 64, 48), 8).relu().bfloat16().to(memory_format=layout)
    weights = some_weights(2, 64, 48)
    ones = torch.ones(1, 64, 48)
    exact, _ = expected(features.double(), weights)
    whole, _ = expected(features.double(), ones)
    error = with_guided_moments(features, weights)[1].double() - exact
    usual = with_moments(features)[1].double() - whole[:, 0]
    assert float(error.norm() / exact.norm()) < 2**-9
    assert float(error.norm() / exact.norm()) < 4 * float(usual.norm() / whole.norm()) + 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_of_one_change_nothing(dtype: torch.dtype) -> None:
    features = draw((1, 12, 64, 48), 8).to(dtype)
    _, products, sums = with_guided_moments(features, torch.ones(1, 64, 48))
    _, plain, totals = with_moments(features)
    torch.testing.assert_close(products[:, 0], plain, rtol=1e-6, atol=1e-3)
    torch.testing.assert_close(sums[:, 0], totals, rtol=1e-6, atol=1e-3)


def test_features_have_four_dimensions() -> None:
    with pytest.raises(ValueError, match=r"\(3, 4, 4\)"):
        with_guided_moments(torch.zeros(3, 4, 4), torch.ones(1, 4, 4))


def test_a_weighted_distance_counts_each_square_by_its_place() -> None:
    x, target = torch.tensor([[[[1.0, 2.0]]]]), torch.zeros(1, 1, 1, 2)
    weights = torch.tensor([[[[0.5, 0.25]]]])
    assert with_squared_distance(x, target, None, weights)[1].tolist() == [1.5]


def test_the_gradient_of_a_weighted_distance_is_that_which_differences_show() -> None:
    x = draw((2, 3, 5, 4), 2).requires_grad_()
    weights = some_weights(1, 3, 4).double()[None]

    def through(x: Tensor) -> tuple[Tensor, Tensor]:
        return with_squared_distance(x, draw((1, 3, 3, 4), 5), slice(1, 4), weights)

    assert torch.autograd.gradcheck(through, (x,))
