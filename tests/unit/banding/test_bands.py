from __future__ import annotations

import pytest
import torch
from conftest import draw, quickly
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from overpaint.banding.bands import bands, in_bands

pytestmark = pytest.mark.usefixtures("one_thread")

heights, rows_of_a_band, counts = st.integers(1, 300), st.integers(1, 90), st.integers(1, 4)


@quickly
@given(height=heights, rows=rows_of_a_band, convolutions=counts)
def test_bands_follow_each_other_and_begin_at_even_rows(
    height: int, rows: int, convolutions: int
) -> None:
    found = bands(height, rows, convolutions)
    assert [band.first for band in found] == [0, *(band.last for band in found[:-1])]
    assert found[-1].last == height
    assert all(band.first % 2 == 0 for band in found)
    assert max(band.last - band.first for band in found) <= max(3, rows + 1)
    if height > 1:
        assert min(band.last - band.first for band in found) >= 2


@quickly
@given(height=heights, rows=rows_of_a_band, convolutions=counts)
def test_a_band_reads_what_its_convolutions_reach_and_no_row_that_is_not_there(
    height: int, rows: int, convolutions: int
) -> None:
    for band in bands(height, rows, convolutions):
        source = band.source
        assert 0 <= source.start <= max(0, band.first - convolutions)
        assert min(height, band.last + convolutions) <= source.stop <= height
        assert band.above <= convolutions + 1
        assert band.pads == (band.first < convolutions or height - band.last < convolutions)


def doubled(part: Tensor) -> tuple[Tensor, list[Tensor]]:
    return 2 * part, [part.square().sum((1, 2, 3))]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_pieces_that_overlap_add_up_in_the_gradient(layout: torch.memory_format) -> None:
    x = draw((2, 3, 6, 5), 1).to(memory_format=layout).requires_grad_()
    y, (total,) = in_bands(x, [(slice(0, 4), doubled), (slice(2, 6), doubled)], 8)
    assert y is not None
    assert y.is_contiguous(memory_format=layout)
    torch.testing.assert_close(y, 2 * torch.cat([x[:, :, :4], x[:, :, 2:]], 2))
    weight = draw(tuple(y.shape), 2)
    (gradient,) = torch.autograd.grad((y * weight).sum() + total.sum(), x)
    expected = torch.zeros_like(x)
    for rows, back in ((slice(0, 4), slice(0, 4)), (slice(2, 6), slice(4, 8))):
        expected[:, :, rows] += 2 * weight[:, :, back] + 2 * x.detach()[:, :, rows]
    torch.testing.assert_close(gradient, expected)
    assert gradient.is_contiguous(memory_format=layout)


def test_gradients_of_sums_alone_and_of_rows_alone() -> None:
    x = draw((1, 2, 4, 3), 1).requires_grad_()
    pieces = [(slice(0, 2), doubled), (slice(2, 4), doubled)]
    (by_sums,) = torch.autograd.grad(in_bands(x, pieces, 4)[1][0].sum(), x)
    torch.testing.assert_close(by_sums, 2 * x.detach())
    y, _ = in_bands(x, pieces, 4)
    assert y is not None
    (by_rows,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(by_rows, torch.full_like(x, 2))


def test_nothing_of_the_pieces_is_kept_for_the_backward_pass() -> None:
    x, kept = draw((1, 2, 4, 3), 1).requires_grad_(), list[Tensor]()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        in_bands(x, [(slice(0, 4), doubled)], 4)
    assert [one.data_ptr() for one in kept] == [x.data_ptr()]
