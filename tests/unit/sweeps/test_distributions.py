"""Values of W&B's own package `sweeps` (0.3.0), written down: the same places, the same values."""

from __future__ import annotations

import math
from typing import Any

import pytest

from overpaint.sweeps.distributions import DISTRIBUTIONS, Choice, Range, read_distribution

PLACES = (0.05, 0.3, 0.5, 0.95)

OF_WANDB: list[tuple[dict[str, Any], list[Any]]] = [
    ({"value": 3}, [3, 3, 3, 3]),
    ({"values": [1, 2, 3]}, [1, 1, 2, 3]),
    ({"values": ["a", "b"], "probabilities": [0.2, 0.8]}, ["a", "b", "b", "b"]),
    ({"min": 1, "max": 4}, [1, 2, 2, 4]),
    ({"min": 1.0, "max": 4.0}, [1.15, 1.9, 2.5, 3.85]),
    ({"min": 1, "max": 4.5}, [1.175, 2.05, 2.75, 4.325]),
    ({"min": 1, "max": 4, "distribution": "uniform"}, [1.15, 1.9, 2.5, 3.85]),
    ({"min": 0, "max": 1, "q": 0.25, "distribution": "q_uniform"}, [0.0, 0.25, 0.5, 1.0]),
    ({"min": 0.0, "max": 10.0, "distribution": "q_uniform"}, [0.0, 3.0, 5.0, 10.0]),
    ({"min": 0, "max": 10, "q": 2, "distribution": "q_uniform"}, [0, 4, 4, 10]),
    (
        {"min": -3, "max": 1, "distribution": "log_uniform"},
        [0.0608100626, 0.1652988882, 0.3678794412, 2.2255409285],
    ),
    (
        {"min": 0.003, "max": 0.3, "distribution": "log_uniform_values"},
        [0.0037767762, 0.0119432151, 0.03, 0.2382984705],
    ),
    ({"min": 0, "max": 3, "q": 2, "distribution": "q_log_uniform"}, [2, 2, 4, 18]),
    ({"min": 1, "max": 100, "q": 5, "distribution": "q_log_uniform_values"}, [0, 5, 10, 80]),
    (
        {"min": -3, "max": 1, "distribution": "inv_log_uniform"},
        [0.4493289641, 1.2214027582, 2.7182818285, 16.4446467711],
    ),
    (
        {"min": 0.003, "max": 0.3, "distribution": "inv_log_uniform_values"},
        [0.0037767762, 0.0119432151, 0.03, 0.2382984705],
    ),
    (
        {"distribution": "normal", "mu": 2, "sigma": 0.5},
        [1.1775731865, 1.7377997436, 2.0, 2.8224268135],
    ),
    ({"distribution": "normal"}, [-1.644853627, -0.5244005127, 0.0, 1.644853627]),
    ({"distribution": "q_normal", "mu": 5.0, "sigma": 2.0, "q": 0.5}, [1.5, 4.0, 5.0, 8.5]),
    (
        {"distribution": "log_normal", "mu": 1, "sigma": 0.5},
        [1.1943154625, 2.0913289887, 2.7182818285, 6.1868545882],
    ),
    ({"distribution": "q_log_normal", "mu": 1, "sigma": 0.5, "q": 2}, [2, 2, 2, 6]),
]


@pytest.mark.parametrize(("given", "expected"), OF_WANDB, ids=lambda one: str(one)[:60])
def test_a_place_has_the_value_that_it_has_at_wandb(
    given: dict[str, Any], expected: list[Any]
) -> None:
    distribution, faults = read_distribution("key", given)
    assert faults == []
    assert distribution is not None
    found = [distribution.at(place) for place in PLACES]
    assert found == pytest.approx(expected, rel=1e-8) if _numbers(expected) else found == expected
    assert [type(one) for one in found] == [type(one) for one in expected]


def _numbers(values: list[Any]) -> bool:
    return all(isinstance(value, int | float) for value in values)


def test_the_table_above_has_every_distribution_but_a_choice_of_one_name() -> None:
    named = {given.get("distribution") for given, _ in OF_WANDB} - {None}
    meant = {"constant", "categorical", "categorical_w_probabilities", "int_uniform"}
    assert named | meant == set(DISTRIBUTIONS)


def test_a_grid_has_the_whole_numbers_and_the_steps_that_wandb_has() -> None:
    whole, _ = read_distribution("key", {"min": 1, "max": 4})
    steps, _ = read_distribution(
        "key", {"min": 0, "max": 1, "q": 0.25, "distribution": "q_uniform"}
    )
    tenths, _ = read_distribution(
        "key", {"min": 0, "max": 1, "q": 0.1, "distribution": "q_uniform"}
    )
    assert isinstance(whole, Range)
    assert isinstance(steps, Range)
    assert isinstance(tenths, Range)
    assert whole.values == (1, 2, 3, 4)
    assert steps.values == (0.0, 0.25, 0.5, 0.75)  # without the end, as NumPy's arange
    assert tenths.values is not None
    assert [str(one) for one in tenths.values][3:5] == ["0.3", "0.4"]  # not 0.30000000000000004


def test_the_ends_of_a_range_are_the_ends_given() -> None:
    for given in (
        {"min": 0.003, "max": 0.3, "distribution": "log_uniform_values"},
        {"min": 2.0, "max": 5.0},
        {"min": 2, "max": 5},
    ):
        one, _ = read_distribution("key", given)
        assert one is not None
        assert (one.at(0.0), one.at(1.0)) == (given["min"], given["max"])


def test_a_bell_has_no_ends_and_yet_a_value_at_each_place() -> None:
    one, _ = read_distribution("key", {"distribution": "normal"})
    assert one is not None
    assert math.isfinite(one.at(0.0))
    assert math.isfinite(one.at(1.0))


def test_what_has_no_probability_is_no_choice() -> None:
    one, _ = read_distribution("key", {"values": [1, 2, 3], "probabilities": [0, 3, 1]})
    assert one == Choice((2, 3), (0.75, 0.25))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (3, "expected 'values: [...]', 'value: ...' or a range, got 3"),
        ({}, "neither values, nor value, nor min and max"),
        ({"distribution": "beta"}, "unknown distribution 'beta'"),
        ({"distribution": "log_uniform_value", "min": 1, "max": 2}, "did you mean 'log_uniform_va"),
        ({"distribution": ["uniform"]}, "unknown distribution '['uniform']'"),
        ({"min": 1}, "uniform needs max"),
        ({"distribution": "uniform"}, "uniform needs min"),
        ({"min": 1, "max": 2, "mean": 3}, "unknown key of int_uniform 'mean'"),
        ({"values": []}, "values: expected a list of at least one value, got []"),
        ({"values": "abc"}, "values: expected a list of at least one value, got 'abc'"),
        ({"values": [1, 2], "probabilities": [1]}, "expected 2 numbers, one for each value"),
        ({"values": [1, 2], "probabilities": [0, 0]}, "one of them above 0"),
        ({"values": [1, 2], "probabilities": [-1, 2]}, "numbers from 0 on"),
        ({"min": "1e-4", "max": 1.0}, "as in 1.0e-4, got '1e-4'"),
        ({"min": True, "max": 2}, "min: expected a number, got True"),
        ({"min": 1.0, "max": math.inf}, "max: expected a number, got inf"),
        ({"min": 2.0, "max": 2.0}, "min 2 is not below max 2"),
        ({"min": 1.5, "max": 3, "distribution": "int_uniform"}, "int_uniform is of whole numbers"),
        ({"min": 0, "max": 3, "distribution": "log_uniform_values"}, "needs min above 0, got 0"),
        ({"min": 1, "max": 900, "distribution": "log_uniform"}, "meant log_uniform_values?"),
        ({"min": 0, "max": 3, "q": 0, "distribution": "q_uniform"}, "q must be above 0"),
        ({"distribution": "normal", "sigma": -1}, "sigma must be 0 or more"),
    ],
    ids=lambda one: str(one)[:50],
)
def test_what_wandb_would_not_take_is_named(given: Any, told: str) -> None:
    distribution, faults = read_distribution("style.weight", given)
    assert distribution is None
    assert any(told in fault for fault in faults), faults
    assert all(fault.startswith("style.weight: ") for fault in faults)
