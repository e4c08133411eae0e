"""Pooling whose gradient needs no map."""

from __future__ import annotations

import pytest
import torch
from conftest import draw, quickly, seeds
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from overpaint.banding.pooling import (
    convolved,
    pooled_relu,
    through_convolution,
    through_pooled_relu,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@quickly
@given(
    height=st.integers(2, 9),
    width=st.integers(2, 9),
    channels=st.sampled_from([1, 3, 4, 8]),
    batch=st.integers(1, 2),
    above=st.integers(0, 2),
    channels_last=st.booleans(),
    seed=seeds,
)
def test_values_and_gradient_are_those_of_relu_and_pooling(
    height: int, width: int, channels: int, batch: int, above: int, channels_last: bool, seed: int
) -> None:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    x = draw((batch, channels, height, width), seed)
    x = (3 * x).round().to(memory_format=layout).requires_grad_()  # many values are equal, or 0
    expected = F.max_pool2d(torch.relu(x), 2)
    gradient = draw(tuple(expected.shape), seed + 1)
    (wanted,) = torch.autograd.grad(expected, x, gradient)
    pooled, choices = pooled_relu(x.detach())
    torch.testing.assert_close(pooled, expected.detach(), rtol=0, atol=0)
    shape = (batch, channels, height + above + 1, width)
    like = torch.full(shape, torch.nan, dtype=x.dtype)
    like = like.to(memory_format=layout)
    found = through_pooled_relu(pooled, choices, gradient, like, above)
    torch.testing.assert_close(found[:, :, above : above + height], wanted, rtol=0, atol=0)
    assert not found[:, :, :above].any()
    assert not found[:, :, above + height :].any()


def test_choices_take_two_bits_a_value() -> None:
    _, choices = pooled_relu(draw((1, 64, 8, 6), 1))
    assert choices.dtype == torch.uint8
    assert choices.numel() == 64 * 4 * 3 // 4


@pytest.mark.parametrize("pads", [True, False])
def test_the_gradient_goes_back_through_a_convolution(pads: bool) -> None:
    x, kernel, bias = draw((2, 3, 6, 5), 1), draw((4, 3, 3, 3), 2), draw((4,), 3)
    x.requires_grad_()
    y = convolved(x, kernel, bias, pads=pads)
    assert y.shape[2] == (6 if pads else 4)
    gradient = draw(tuple(y.shape), 4)
    (wanted,) = torch.autograd.grad(y, x, gradient)
    found = through_convolution(gradient, x.detach(), kernel, pads=pads)
    torch.testing.assert_close(found, wanted)
