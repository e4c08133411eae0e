from __future__ import annotations

import pytest
import torch
from conftest import draw, positions
from torch import Tensor

from overpaint.losses.fused import (
    at_least_float32,
    square_sum,
    with_moments,
    with_products,
    with_squared_distance,
)

pytestmark = pytest.mark.usefixtures("one_thread")

LAYOUTS = pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])


def a_map(
    seed: int, dtype: torch.dtype = torch.float64, layout: torch.memory_format = torch.channels_last
) -> Tensor:
    return draw((2, 3, 4, 5), seed, dtype).to(memory_format=layout).requires_grad_()


def test_squared_distance_sums_within_each_image() -> None:
    x = torch.tensor([[1.0, 2.0], [5.0, 5.0]])[:, :, None, None]
    target = torch.tensor([[0.0, 4.0]])[:, :, None, None]
    assert with_squared_distance(x, target)[1].tolist() == [5.0, 26.0]


def test_squared_distance_of_bfloat16_is_measured_in_float32() -> None:
    x = torch.ones(1, 1, 1, 301).bfloat16()  # 8 bits cannot hold 301
    distance = with_squared_distance(x, torch.zeros_like(x))[1]
    assert (distance.dtype, distance.item()) == (torch.float32, 301)


@pytest.mark.parametrize(
    ("given", "wide"),
    [
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_half_precision_is_widened_and_nothing_is_narrowed(
    given: torch.dtype, wide: torch.dtype
) -> None:
    assert at_least_float32(torch.ones(1, dtype=given)).dtype == wide


# 12 channels: in bfloat16, whole runs; runs and a rest; too few positions for runs.
@pytest.mark.parametrize("size", [(64, 48), (61, 47), (32, 16), (5, 6), (3, 1)])
@LAYOUTS
def test_gram_of_bfloat16_is_within_a_fraction_of_its_rounding(
    size: tuple[int, int], layout: torch.memory_format
) -> None:
    features = draw((2, 12, *size), seed=8).relu().bfloat16().to(memory_format=layout)
    gram = with_products(features)[1] / positions(features)
    assert gram.dtype == torch.float32
    exact = features.double().flatten(2) @ features.double().flatten(2).mT / positions(features)
    assert (gram - exact).norm() < 2**-9 / 4 * exact.norm()


@pytest.mark.parametrize("size", [(64, 48), (5, 6)])
@LAYOUTS
def test_sums_of_bfloat16_are_made_in_float32(
    size: tuple[int, int], layout: torch.memory_format
) -> None:
    features = draw((2, 12, *size), seed=8).relu().bfloat16().to(memory_format=layout)
    _, products, sums = with_moments(features)
    assert torch.equal(products, with_products(features)[1])
    torch.testing.assert_close(sums, features.float().sum((2, 3)))


@LAYOUTS
def test_gradients_of_the_moments_agree_with_finite_differences(
    layout: torch.memory_format,
) -> None:
    features = a_map(1, layout=layout)
    for outputs in ([0], [1], [2], [0, 1], [0, 2], [1, 2], [0, 1, 2]):
        assert torch.autograd.gradcheck(
            lambda x, outputs=outputs: tuple(with_moments(x)[i] for i in outputs), features
        )


@LAYOUTS
def test_gradients_agree_with_finite_differences(layout: torch.memory_format) -> None:
    features, target = a_map(1, layout=layout), draw((1, 3, 4, 5), 2)

    def both(x: Tensor) -> tuple[Tensor, ...]:
        same, products = with_products(x)
        same, distance = with_squared_distance(same, target)
        return same, products, distance

    for outputs in ([0], [1], [2], [0, 1], [0, 2], [0, 1, 2]):
        assert torch.autograd.gradcheck(
            lambda x, outputs=outputs: tuple(both(x)[i] for i in outputs), features
        )


def test_features_pass_through_unchanged() -> None:
    features = a_map(3)
    assert torch.equal(with_products(features)[0], features)
    assert torch.equal(with_squared_distance(features, draw((1, 3, 4, 5), 4))[0], features)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_a_gradient_that_comes_in_is_left_as_it_is(dtype: torch.dtype) -> None:
    features = a_map(5, dtype)
    incoming = draw((2, 3, 4, 5), 6, dtype)
    kept = incoming.clone()
    for same, other in (with_products(features), with_squared_distance(features, features * 0)):
        (gradient,) = torch.autograd.grad(
            (same, other), features, (incoming, torch.ones_like(other)), retain_graph=True
        )
        assert gradient.dtype == dtype
        assert not torch.equal(gradient, kept)
        assert torch.equal(incoming, kept)


@LAYOUTS
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
            same, products = with_products(features)
            same, distance = with_squared_distance(same, target)
        gram = products / positions(features)
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


@LAYOUTS
def test_only_rows_that_count_are_summed_and_the_others_pass_their_gradient_on(
    layout: torch.memory_format,
) -> None:
    features, rows = draw((2, 3, 6, 5), 1).to(memory_format=layout).requires_grad_(), slice(2, 5)
    target, weight = draw((1, 3, 3, 5), 2), draw((2, 3, 6, 5), 3)

    def sums(x: Tensor, rows: slice | None) -> list[Tensor]:
        same, *found = with_moments(x, rows)
        same, distance = with_squared_distance(same, target, rows)
        return [same, *found, distance]

    same, *found = sums(features, rows)
    part, *expected = sums(features[:, :, rows], None)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
    assert torch.equal(same[:, :, rows], part)
    (gradient,) = torch.autograd.grad([(same * weight).sum(), *(x.sum() for x in found)], features)
    (own,) = torch.autograd.grad([x.sum() for x in expected], features)
    torch.testing.assert_close(gradient, own + weight)
    assert torch.autograd.gradcheck(lambda x: tuple(sums(x, rows)[1:]), features)


def test_a_large_distance_is_summed_in_parts_to_the_same_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, target = draw((2, 3, 7, 5), 1).requires_grad_(), draw((1, 3, 7, 5), 2)
    whole = with_squared_distance(x, target)[1]
    (gradient,) = torch.autograd.grad(whole.sum(), x)
    monkeypatch.setattr("overpaint.losses.fused._AT_ONCE", 60)
    parts = with_squared_distance(x, target)[1]
    torch.testing.assert_close(parts, whole)
    assert torch.equal(torch.autograd.grad(parts.sum(), x)[0], gradient)
    assert square_sum(target).item() == pytest.approx(target.square().sum().item())


def test_gradients_that_nobody_asks_for_cost_nothing() -> None:
    features = a_map(9)
    same, _ = with_products(features)
    same, _ = with_squared_distance(same, features * 0)
    (gradient,) = torch.autograd.grad(same.sum(), features)
    assert torch.equal(gradient, torch.ones_like(features))
