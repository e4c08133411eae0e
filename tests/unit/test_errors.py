from __future__ import annotations

import pytest

from overpaint.errors import (
    ConfigError,
    DivergedError,
    ImageError,
    TrackingError,
    WeightsError,
    lookup,
    unknown_name,
)


@pytest.mark.parametrize("error", [ConfigError, ImageError, WeightsError])
def test_faults_of_the_input_are_value_errors(error: type[Exception]) -> None:
    assert issubclass(error, ValueError)


@pytest.mark.parametrize("error", [DivergedError, TrackingError])
def test_faults_of_the_run_are_no_value_errors(error: type[Exception]) -> None:
    assert issubclass(error, RuntimeError)
    assert not issubclass(error, ValueError)


def test_a_divergence_may_carry_the_result_with_the_last_good_picture() -> None:
    assert DivergedError("the loss is nan").result is None
    result = object()
    error = DivergedError("the loss is nan", result=result)
    assert str(error) == "the loss is nan"
    assert error.result is result


def test_config_error_takes_a_single_problem_as_a_string() -> None:
    error = ConfigError("seed: -1")
    assert error.problems == ("seed: -1",)
    assert str(error) == "seed: -1"


def test_config_error_prints_one_problem_a_line() -> None:
    error = ConfigError(["seed: -1", "schedule.steps: 0"])
    assert error.problems == ("seed: -1", "schedule.steps: 0")
    assert str(error) == "seed: -1\nschedule.steps: 0"


def test_a_near_miss_gets_a_suggestion_and_all_names() -> None:
    message = unknown_name("adm", ["adam", "lbfgs"], "optimizer")
    assert message == "unknown optimizer 'adm'; did you mean 'adam'? All names: adam, lbfgs."


def test_a_name_unlike_all_others_gets_no_suggestion() -> None:
    message = unknown_name("zzz", ["adam", "lbfgs"], "optimizer")
    assert message == "unknown optimizer 'zzz'. All names: adam, lbfgs."


@pytest.mark.parametrize(
    ("count", "listing"),
    [(20, ", ".join(f"n{i:02}" for i in range(20))), (21, "n00 ... n20")],
)
def test_a_long_list_of_names_is_abbreviated(count: int, listing: str) -> None:
    names = (f"n{i:02}" for i in range(count))
    assert unknown_name("?", names, "thing").endswith(f"All names: {listing}.")


def test_lookup_returns_what_the_name_stands_for() -> None:
    assert lookup({"one": 1, "two": 2}, "two", "number") == 2


def test_lookup_names_the_unknown_name_and_the_closest_one() -> None:
    with pytest.raises(ConfigError, match=r"unknown number 'twoo'; did you mean 'two'\?"):
        lookup({"one": 1, "two": 2}, "twoo", "number")


def test_lookup_finds_falsy_values() -> None:
    assert lookup({"none": None}, "none", "value") is None


def test_a_problem_is_one_line_of_any_terminal() -> None:
    (problem,) = ConfigError("a\nb\x1b[31m\u2028c\udce9 絵").problems
    assert problem == r"a\nb\x1b[31m\u2028c\udce9 絵"
