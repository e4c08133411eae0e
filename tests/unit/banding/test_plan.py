from __future__ import annotations

import pytest
from conftest import quickly
from hypothesis import given
from hypothesis import strategies as st

from overpaint.banding.plan import BlockSize, Plan, plan_bands, step_bytes

VGG = tuple(BlockSize(*one) for one in ((64, 2), (128, 2), (256, 4), (512, 4), (512, 1)))
edges = st.integers(16, 20_000)


def plan(height: int, width: int, *, free: int | None = None, itemsize: int = 2) -> Plan:
    return plan_bands((1, 3, height, width), VGG, itemsize, free=free)


@quickly
@given(height=edges, width=edges, free=st.one_of(st.none(), st.integers(0, 10**11)))
def test_heights_are_even_and_the_shallow_blocks_come_first(
    height: int, width: int, free: int | None
) -> None:
    heights = plan(height, width, free=free).heights
    assert len(heights) == len(VGG)
    assert all(rows % 2 == 0 for rows in heights)
    banded = [rows > 0 for rows in heights]
    assert banded == sorted(banded, reverse=True)
    assert sum(banded) >= 3


@quickly
@given(height=edges, width=edges, free=st.integers(0, 10**11))
def test_what_is_planned_fits_or_is_the_least_that_there_is(
    height: int, width: int, free: int
) -> None:
    found = plan(height, width, free=free)
    least = plan(height, width, free=0)
    assert found.needed <= max(free, least.needed)
    assert least.needed <= plan(height, width).needed


def test_a_wide_picture_has_lower_bands_and_never_lower_than_the_halo_is_worth() -> None:
    narrow, wide, huge = (plan(8000, width).heights for width in (500, 1000, 20_000))
    assert narrow[0] > wide[0] > huge[0] == 48
    assert huge[:4] == (48, 48, 96, 96)


def test_memory_grows_with_the_pixels_and_no_more_than_that() -> None:
    per_pixel = [
        plan(3 * size // 4, size).needed / (3 * size // 4 * size)
        for size in (1024, 2048, 4096, 8192, 16384)
    ]
    assert per_pixel == sorted(per_pixel, reverse=True)
    assert per_pixel[2] < 1.15 * per_pixel[-1]


def test_a_small_step_is_fast_and_a_large_one_spares_memory() -> None:
    small, large = (sum(map(bool, plan(edge, edge).heights)) for edge in (1000, 4000))
    assert (small, large) == (3, 4)


def test_float32_and_a_batch_take_more() -> None:
    one = plan(1000, 1000).needed
    assert 1.3 * one < plan(1000, 1000, itemsize=4).needed < 2 * one
    assert plan_bands((2, 3, 1000, 1000), VGG, 2, free=None).needed > 1.8 * one


def test_each_block_in_bands_takes_less_than_the_block_whole() -> None:
    shape, heights = (1, 3, 3072, 4096), [64, 64, 64, 64, 64]
    needed = [
        step_bytes(shape, VGG, 2, [*heights[:number], *[0] * (5 - number)])
        for number in range(1, 6)
    ]
    assert needed == sorted(needed, reverse=True)
    assert needed[0] > 2 * needed[3]


@pytest.mark.parametrize(
    ("heights", "words"),
    [
        ((0, 0), "computed whole"),
        ((64, 0), "block 1 in bands of 64 rows"),
        ((64, 32, 96, 0), "blocks 1 to 3 in bands of 64, 32 and 96 rows"),
    ],
)
def test_a_plan_in_words(heights: tuple[int, ...], words: str) -> None:
    assert str(Plan(heights, 0)) == words
