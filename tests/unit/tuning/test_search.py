from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overpaint.errors import DivergedError
from overpaint.tuning.search import (
    Round,
    Trial,
    bracket,
    choose,
    grey_levels,
    next_rates,
    plan_rounds,
    spaced,
)

NAN, INF = math.nan, math.inf


def outcome(rate: float, loss: float, *, saturated: bool = False) -> Trial:
    """A trial of four steps that came down from 10 to a loss at once."""
    return Trial(rate, (10.0, loss, loss, loss, loss), (1.0,) * 4, 0.0, saturated)


def outcomes(losses: dict[float, float], saturated: Sequence[float] = ()) -> list[Trial]:
    return [outcome(rate, loss, saturated=rate in saturated) for rate, loss in losses.items()]


@pytest.mark.parametrize(
    ("candidates", "steps", "rounds", "plan"),
    [
        (12, 80, 3, [(12, 20), (6, 40), (3, 80)]),
        (8, 40, 3, [(8, 10), (4, 20), (2, 40)]),
        (8, 40, 9, [(8, 10), (4, 20), (2, 40)]),  # one rate alone is not compared
        (8, 40, 1, [(8, 40)]),
        (2, 80, 3, [(2, 80)]),
        (3, 80, 3, [(3, 80)]),
        (5, 80, 3, [(5, 40), (2, 80)]),
        (16, 4, 4, [(16, 2), (8, 4)]),
        (16, 1, 3, [(16, 1)]),
    ],
)
def test_each_round_halves_the_rates_and_doubles_the_steps(
    candidates: int, steps: int, rounds: int, plan: list[tuple[int, int]]
) -> None:
    assert plan_rounds(candidates, steps, rounds) == [Round(*one) for one in plan]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.integers(2, 500), st.integers(1, 5000), st.integers(1, 12))
def test_rounds_cost_about_the_same_and_end_with_the_steps_asked_for(
    candidates: int, steps: int, rounds: int
) -> None:
    plan = plan_rounds(candidates, steps, rounds)
    assert 1 <= len(plan) <= rounds
    assert plan[0].rates == candidates
    assert plan[-1].steps == steps
    for earlier, later in itertools.pairwise(plan):
        assert later.rates == earlier.rates // 2
        assert abs(later.steps - 2 * earlier.steps) <= 2, "but for rounding"
    assert all(one.rates >= 2 and one.steps >= 1 for one in plan)


def test_rates_have_equal_ratios_from_end_to_end() -> None:
    assert spaced(0.001, 10.0, 5) == [0.001, 0.01, 0.1, 1.0, 10.0]
    assert spaced(1e-25, 1e-21, 3) == [1e-25, 1e-23, 1e-21]
    assert spaced(1.0, 2.0, 4) == [1.0, 1.26, 1.59, 2.0]  # cube roots of 2 and 4


def test_one_rate_is_the_lowest() -> None:
    assert spaced(0.3, 9.0, 1) == [0.3]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.floats(1e-30, 1e30), st.floats(2, 1e6), st.integers(2, 40))
def test_rates_have_three_digits_and_hardly_leave_equal_ratios(
    lowest: float, ratio: float, count: int
) -> None:
    rates = spaced(lowest, lowest * ratio, count)
    assert len(rates) == count
    assert [float(f"{rate:.2e}") for rate in rates] == rates
    for i, rate in enumerate(rates):
        assert rate == pytest.approx(lowest * ratio ** (i / (count - 1)), rel=0.00501)


def test_the_loss_of_a_trial_is_the_mean_over_its_last_tenth() -> None:
    falling = tuple(float(100 - i) for i in range(61))  # 60 steps down to 40
    found = Trial(0.1, falling)
    assert found.steps == 60
    assert found.loss == pytest.approx((45 + 44 + 43 + 42 + 41 + 40) / 6)


def test_the_loss_of_a_short_trial_is_the_mean_of_three_values() -> None:
    assert Trial(0.1, (9.0, 8.0, 4.0, 3.0, 2.0)).loss == pytest.approx(3.0)
    assert Trial(0.1, (9.0, 5.0)).loss == pytest.approx(7.0)  # of one step there are two


def test_a_rate_that_raises_the_loss_is_never_chosen() -> None:
    worse, better = Trial(0.1, (2.0, 2.1, 2.1, 2.1)), Trial(0.2, (2.0, 1.9, 1.9, 1.9))
    assert choose([worse, better]) is better
    assert next_rates([worse, better], 2, refine=False) == [0.2]
    with pytest.raises(DivergedError, match=r"No rate from 0\.1 to 0\.1 .* raised the loss"):
        choose([worse])


def test_one_noisy_last_value_does_not_decide() -> None:
    calm, lucky = [2.0] + [1.0] * 40, [2.0] + [1.5] * 39 + [0.9]
    assert Trial(0.1, tuple(calm)).loss < Trial(0.2, tuple(lucky)).loss
    assert choose([Trial(0.1, tuple(calm)), Trial(0.2, tuple(lucky))]).rate == 0.1


@pytest.mark.parametrize("lost", [NAN, INF, -INF])
def test_a_trial_that_left_the_finite_numbers_has_an_infinite_loss(lost: float) -> None:
    for tail in ((lost,), (lost, 1.0), (lost, lost, lost)):
        diverged = Trial(0.1, (3.0, 2.0, 1.0, *tail))
        assert diverged.loss == INF
        assert not diverged.is_usable
    assert Trial(0.1, (3.0, lost, 1.0, 1.0, 1.0)).loss == 1.0  # it came back


def test_a_saturated_picture_makes_a_rate_unusable_whatever_its_loss() -> None:
    assert outcome(0.1, 1.0).is_usable
    assert not outcome(0.1, 1.0, saturated=True).is_usable


RATES = spaced(1e-4, 1e4, 9)


@pytest.mark.parametrize(
    ("after", "ends"),
    [
        # from 10 to 2 at the least: 5 % of that way is 9.6
        ([10, 10, 9.7, 9.5, 6, 2, 5, 9.9, 14], (1e-1, 1e3)),
        ([10, 9, 8, 7, 6, 5, 4, 3, 2], (1e-3, 1e4)),  # falls to the end
        ([10, 9, 8, 11, 3, 12, 13, 14, 15], (1e-3, 1.0)),  # the last time it is below counts
        ([10, 10.1, 10.2, 9, 4, NAN, NAN, NAN, NAN], (1e-1, 1.0)),
        ([10, 10.1, 10.2, 9, 4, INF, INF, INF, INF], (1e-1, 1.0)),
        ([10, 10, 10, 9, 4, 1e30, INF, NAN, NAN], (1e-1, 1.0)),
        ([10, 9, NAN, NAN, 8, 20, 20, 20, 20], (1e-3, 1.0)),  # it came back
    ],
)
def test_a_range_test_finds_where_the_loss_falls(
    after: list[float], ends: tuple[float, float]
) -> None:
    assert bracket(RATES, [10.0, *after]) == ends


@pytest.mark.parametrize(
    "after",
    [
        [10.0] * 9,
        [10.0, 11, 12, 13, 14, 15, 16, 17, 18],
        [10.0, 11, NAN, NAN, NAN, NAN, NAN, NAN, NAN],
        [NAN] * 9,
        [INF] * 9,
        [INF, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN],
        [NAN, 5, 4, 3, 2, 1, 2, 3, 4],
    ],
    ids=["flat", "rises", "rises, then no number", "no number", "infinite", "both", "first"],
)
def test_a_loss_that_never_falls_leaves_the_whole_range(after: list[float]) -> None:
    assert bracket(RATES, [10.0, *after]) == (RATES[0], RATES[-1])


def test_a_first_step_of_a_length_of_its_own_does_not_count_as_a_fall() -> None:
    # L-BFGS's first step takes the loss from 10 to 4 at the lowest rate; rates begin to help at 1.
    after = [4, 4, 3.999, 3.99, 3.0, 1.0, 2.0, 4.5, 9.0]
    assert bracket(RATES, [10.0, *after]) == (1.0, 100.0)


def test_a_first_step_that_raises_the_loss_is_where_the_fall_begins() -> None:
    after = [20, 20, 19.9, 15, 5, 5, 12, 19, 30]
    assert bracket(RATES, [10.0, *after]) == (1e-1, 1e3)


def test_a_first_step_to_infinity_leaves_the_whole_range() -> None:
    assert bracket(RATES, [10.0, INF, 5, 4, 3, 2, 1, 2, 3, 4]) == (RATES[0], RATES[-1])


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.lists(st.one_of(st.floats(1e-3, 1e3), st.just(NAN), st.just(INF)), min_size=10, max_size=10)
)
def test_a_range_is_never_empty_and_has_ends_that_were_tried(losses: list[float]) -> None:
    low, high = bracket(RATES, losses)
    assert low < high
    assert {low, high} <= set(RATES)


def test_the_best_rates_stay_and_two_places_go_to_their_neighbours() -> None:
    found = outcomes({0.01: 9, 0.04: 5, 0.16: 3, 0.64: 4, 2.56: 8})
    # halfway in ratio: 0.04 * 0.16 = 0.08 ** 2, 0.16 * 0.64 = 0.32 ** 2
    assert next_rates(found, 4, refine=True) == [0.08, 0.16, 0.32, 0.64]
    assert next_rates(found, 3, refine=True) == [0.08, 0.16, 0.32]
    assert next_rates(found, 5, refine=True) == [0.04, 0.08, 0.16, 0.32, 0.64]


def test_without_refining_the_best_rates_stay_alone() -> None:
    found = outcomes({0.01: 9, 0.04: 5, 0.16: 3, 0.64: 4, 2.56: 8})
    assert next_rates(found, 3, refine=False) == [0.04, 0.16, 0.64]
    assert next_rates(found, 2, refine=True) == [0.16, 0.64], "two are too few to refine"


@pytest.mark.parametrize("best", [0.01, 2.56])
def test_a_best_rate_at_an_end_has_one_neighbour(best: float) -> None:
    rates = [0.01, 0.04, 0.16, 0.64, 2.56]
    found = [outcome(rate, 1 + abs(math.log(rate / best))) for rate in rates]
    inner = {0.01: [0.01, 0.02, 0.04], 2.56: [0.64, 1.28, 2.56]}[best]
    assert next_rates(found, 3, refine=True) == inner


def test_midpoints_have_three_digits() -> None:
    assert next_rates(outcomes({1.0: 2, 2.0: 1, 3.0: 2}), 3, refine=True) == [1.41, 2.0, 2.45]


def test_rates_that_diverged_or_saturated_go_no_further() -> None:
    found = outcomes({0.1: 9, 0.2: 8, 0.4: 1, 0.8: 0.5, 1.6: NAN}, saturated=[0.4])
    assert next_rates(found, 3, refine=False) == [0.1, 0.2, 0.8]
    # A step towards a neighbour that diverged may still be a good one.
    assert next_rates(found, 4, refine=True) == [0.2, 0.566, 0.8, 1.13]


def test_few_usable_rates_make_a_small_round() -> None:
    found = outcomes({0.1: 9, 0.2: NAN, 0.4: INF, 0.8: NAN})
    assert next_rates(found, 2, refine=False) == [0.1]


@pytest.mark.parametrize("decide", [lambda found: next_rates(found, 2, refine=True), choose])
def test_nothing_usable_names_the_range_tried(decide: object) -> None:
    found = outcomes({0.25: NAN, 0.5: INF, 4.0: 1.0}, saturated=[4.0])
    with pytest.raises(DivergedError, match=r"rate from 0\.25 to 4 .* lower tune\.lowest"):
        decide(found)  # type: ignore[operator]


def test_the_lower_rate_wins_a_tie() -> None:
    tie = outcomes({0.1: 1.019, 0.2: 1.0, 0.4: 1.001})
    assert choose(tie).rate == 0.1
    assert choose(tie[::-1]) is tie[0], "whatever the order"


def test_a_loss_just_outside_a_tie_loses() -> None:
    assert choose(outcomes({0.1: 1.021, 0.2: 1.0, 0.4: 1.001})).rate == 0.2


def test_only_the_least_loss_of_a_usable_rate_can_be_tied_with() -> None:
    found = outcomes({0.1: 1.01, 0.2: 1.0, 0.4: 0.5, 0.8: NAN}, saturated=[0.4])
    assert choose(found).rate == 0.1


def test_the_lowest_rate_is_not_chosen_for_being_saturated_or_diverged() -> None:
    assert choose(outcomes({0.1: 1.0, 0.2: NAN, 0.4: 1.0}, saturated=[0.1])).rate == 0.4


@pytest.mark.parametrize(
    ("moved", "words"),
    [
        (0.0012345, "0.0012"),
        (0.5, "0.5"),
        (2.57, "2.6"),
        (9.96, "10"),
        (127.4, "127"),
        (NAN, "nan"),
    ],
)
def test_grey_levels_are_told_with_two_digits(moved: float, words: str) -> None:
    assert grey_levels(moved) == words
