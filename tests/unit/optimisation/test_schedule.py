from __future__ import annotations

import itertools

import pytest
from conftest import quickly
from hypothesis import given, settings
from hypothesis import strategies as st

from overpaint.optimisation.schedule import (
    Scale,
    plan_scales,
    rate_factor,
    replanned,
    share_of_work,
)


def test_one_scale_has_all_steps() -> None:
    assert plan_scales(512, 7) == [Scale(512, 0, 7)]


def test_steps_are_divided_by_shares() -> None:
    plan = plan_scales(512, 240, scales=[0.25, 0.5, 1.0], shares=[100, 80, 60])
    assert plan == [Scale(128, 0, 100), Scale(256, 100, 80), Scale(512, 180, 60)]


def test_steps_are_divided_equally_without_shares() -> None:
    plan = plan_scales(100, 10, scales=[0.5, 1.0])
    assert [scale.steps for scale in plan] == [5, 5]


def test_a_size_that_is_too_small_leaves_its_steps_to_the_next() -> None:
    plan = plan_scales(64, 90, scales=[0.25, 0.5, 1.0], smallest=20)
    assert plan == [Scale(32, 0, 60), Scale(64, 60, 30)]


def test_the_result_s_size_is_kept_even_if_it_is_too_small() -> None:
    assert plan_scales(10, 3, scales=[0.5, 1.0], smallest=20) == [Scale(10, 0, 3)]


def test_few_steps_go_to_the_largest_sizes() -> None:
    scales = [0.25, 0.5, 1.0]
    assert plan_scales(64, 1, scales=scales) == [Scale(64, 0, 1)]
    assert plan_scales(64, 2, scales=scales) == [Scale(32, 0, 1), Scale(64, 1, 1)]
    few = plan_scales(64, 3, scales=scales, shares=[98, 1, 1])
    assert [scale.steps for scale in few] == [1, 1, 1]


@settings(deadline=None)
@given(
    st.integers(1, 500),
    st.lists(st.integers(1, 99), max_size=4, unique=True),
    st.integers(1, 300),
    st.data(),
)
def test_steps_add_up_without_gaps(
    steps: int, percents: list[int], smallest: int, data: st.DataObject
) -> None:
    scales = [percent / 100 for percent in sorted(percents)] + [1.0]
    shares = data.draw(st.lists(st.floats(0.01, 100), min_size=len(scales), max_size=len(scales)))
    plan = plan_scales(256, steps, scales=scales, shares=shares, smallest=smallest)
    assert plan[-1].long_edge == 256
    done = 0
    for scale in plan:
        assert scale.first_step == done
        assert scale.steps >= 1
        done += scale.steps
    assert done == steps
    assert [scale.long_edge for scale in plan] == sorted(scale.long_edge for scale in plan)


def test_a_constant_rate_stays() -> None:
    assert {rate_factor("constant", step, 10, 0.1) for step in range(10)} == {1.0}


@pytest.mark.parametrize(
    ("step", "factor"), [(0, 1.0), (25, 0.86819805), (50, 0.55), (100, 0.1), (200, 0.1)]
)
def test_a_cosine_falls_from_one_to_its_end(step: int, factor: float) -> None:
    # 0.1 + 0.9 * (1 + cos(pi * step / 100)) / 2, worked out by hand
    assert rate_factor("cosine", step, 100, 0.1) == pytest.approx(factor)


def test_the_rest_of_an_unchanged_plan_is_the_plan_itself() -> None:
    plan = plan_scales(64, 12, scales=[0.25, 0.5, 1.0])
    for index, scale in enumerate(plan):
        rest = replanned(
            plan, long_edge=scale.long_edge, first_step=scale.first_step, completed=scale.steps
        )
        assert rest == plan[index:]


@given(
    steps=st.integers(3, 60),
    more=st.integers(0, 60),
    shares=st.lists(st.floats(0.1, 10), min_size=3, max_size=3),
    at=st.integers(0, 2),
    done=st.floats(0, 1),
)
@quickly
def test_a_longer_plan_gives_all_its_steps_to_what_is_left(
    steps: int, more: int, shares: list[float], at: int, done: float
) -> None:
    scales = [0.25, 0.5, 1.0]
    reached = plan_scales(64, steps, scales=scales, shares=shares)[at]
    completed = reached.first_step + max(1, round(done * reached.steps))
    longer = plan_scales(64, steps + more, scales=scales, shares=shares)
    rest = replanned(
        longer,
        long_edge=reached.long_edge,
        first_step=reached.first_step,
        completed=completed,
    )
    assert [scale.long_edge for scale in rest] == [16, 32, 64][at:]
    assert rest[0].first_step == reached.first_step
    assert rest[0].first_step + rest[0].steps >= completed
    for before, after in itertools.pairwise(rest):
        assert after.first_step == before.first_step + before.steps
    assert rest[-1].first_step + rest[-1].steps == steps + more
    assert all(scale.steps >= 1 for scale in rest)


def test_a_step_counts_as_its_pixels_do() -> None:
    plan = [Scale(10, 0, 4), Scale(20, 4, 2)]
    shares = [share_of_work(plan, step) for step in range(7)]
    assert shares == pytest.approx([i / 12 for i in (0, 1, 2, 3, 4, 8, 12)])


def test_of_a_run_that_goes_on_what_is_left_counts() -> None:
    left = [Scale(20, 4, 2)]
    assert [share_of_work(left, step) for step in (3, 5, 6, 7)] == [0, 0.5, 1, 1]
