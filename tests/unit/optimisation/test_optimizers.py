from __future__ import annotations

import copy
import dataclasses
import inspect
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from overpaint.errors import ConfigError
from overpaint.optimisation.lbfgs import FIRST_STEP, Lbfgs
from overpaint.optimisation.optimizers import (
    LONGEST_STEP,
    OPTIMIZERS,
    SHORTEST_STEP,
    build_optimizer,
    loss_scale,
    rates_by_length,
)
from overpaint.settings.schema import OptimizerConfig

RATES = {"adam": 0.05, "lbfgs": 1.0, "sgd": 0.05}  # each entry of OPTIMIZERS needs one
WAYS = [
    *((name, {}) for name in OPTIMIZERS),
    ("lbfgs", {"line_search": "none"}),
    ("lbfgs", {"line_search": "strong_wolfe"}),
    ("sgd", {"momentum": 0.9}),
]
CURVATURES = torch.logspace(-1, 1, 12).view(1, 3, 2, 2)
TARGET = torch.linspace(0, 1, 12).view(1, 3, 2, 2)


def start() -> nn.Parameter:
    return nn.Parameter(torch.full((1, 3, 2, 2), 0.5))


def quadratic(image: Tensor) -> Tensor:
    return (CURVATURES * (image - TARGET).square()).sum()


def build(name: str, parameter: nn.Parameter, **options: Any) -> torch.optim.Optimizer:
    """With the defaults of the schema but for `options`."""
    defaults = dataclasses.asdict(getattr(OptimizerConfig(), name))
    return build_optimizer(name, parameter, lr=RATES[name], options={**defaults, **options})


def closure_of(
    optimizer: torch.optim.Optimizer,
    parameter: nn.Parameter,
    loss: Callable[[Tensor], Tensor] = quadratic,
    calls: list[float] | None = None,
) -> Callable[[], Tensor]:
    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(parameter)
        value.backward()
        if calls is not None:
            calls.append(value.item())
        return value

    return closure


@pytest.mark.parametrize(("name", "options"), WAYS)
def test_the_loss_falls(name: str, options: Any) -> None:
    image = start()
    optimizer = build(name, image, **options)
    before = quadratic(image).item()
    for _ in range(20):
        optimizer.step(closure_of(optimizer, image))
    assert quadratic(image).item() < 0.5 * before


@pytest.mark.parametrize(("name", "options"), WAYS)
@pytest.mark.parametrize("done", [1, 4])
def test_a_resumed_run_continues_the_same_path(name: str, options: Any, done: int) -> None:
    image = start()
    optimizer = build(name, image, **options)
    for _ in range(done):
        optimizer.step(closure_of(optimizer, image))
    state = copy.deepcopy(optimizer.state_dict())
    paused = image.detach().clone()
    for _ in range(4):
        optimizer.step(closure_of(optimizer, image))
    ends = []
    for remembers in (True, False):
        resumed_image = nn.Parameter(paused.clone())
        resumed = build(name, resumed_image, **options)
        if remembers:
            resumed.load_state_dict(state)
        for _ in range(4):
            resumed.step(closure_of(resumed, resumed_image))
        ends.append(resumed_image)
    assert torch.equal(ends[0], image)
    has_memory = (name, options.get("momentum")) != ("sgd", None)
    assert torch.equal(ends[1], image) != has_memory, "else nothing was tested"


@pytest.mark.parametrize(("name", "options"), WAYS)
def test_one_call_is_one_step_and_leaves_the_rate_as_it_was(name: str, options: Any) -> None:
    image = start()
    optimizer = build(name, image, **options)
    path = [image.detach().clone()]
    for step in range(1, 6):
        optimizer.step(closure_of(optimizer, image))
        path.append(image.detach().clone())
        assert not torch.equal(path[-1], path[-2])
        assert optimizer.param_groups[0]["lr"] == RATES[name]
        state = optimizer.state[image]
        counted = {"adam": state.get("step"), "lbfgs": state.get("n_iter")}.get(name, step)
        assert counted == step


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_options_of_the_schema_reach_the_optimizer(name: str) -> None:
    reached = {
        "adam": ({"beta1": 0.5, "beta2": 0.25, "eps": 1e-3}, {"betas": (0.5, 0.25), "eps": 1e-3}),
        "lbfgs": (
            {"history_size": 7, "line_search": "none"},
            {"history_size": 7, "line_search_fn": None},
        ),
        "sgd": ({"momentum": 0.5, "nesterov": True}, {"momentum": 0.5, "nesterov": True}),
    }
    options, expected = reached[name]
    group = build(name, start(), **options).param_groups[0]
    assert {key: group[key] for key in expected} == expected
    assert group["lr"] == RATES[name]


def test_an_unknown_optimizer_is_answered_with_the_closest_name() -> None:
    with pytest.raises(ConfigError, match="'adma'; did you mean 'adam'"):
        build_optimizer("adma", start(), lr=1.0, options={})
    with pytest.raises(ConfigError, match="'lbgfs'; did you mean 'lbfgs'"):
        loss_scale("lbgfs", torch.tensor(1.0), torch.zeros(1))


@pytest.mark.parametrize("values", [12, 300, 3000])
@pytest.mark.parametrize("rate", [1.0, 0.25])
def test_the_first_step_without_line_search_has_the_length_promised(
    values: int, rate: float
) -> None:
    image = nn.Parameter(torch.full((values,), 0.5))
    slopes = torch.linspace(-3, 2, values)
    optimizer = Lbfgs(image, lr=rate, line_search_fn=None)
    optimizer.step(closure_of(optimizer, image, lambda x: (slopes * x).sum() + x.square().sum()))
    assert (image.detach() - 0.5).abs().mean().item() == pytest.approx(FIRST_STEP, rel=1e-4)


@pytest.mark.parametrize("distance", [0.02, 0.05, 0.3])
def test_the_first_step_with_line_search_is_at_most_ten_times_as_long(distance: float) -> None:
    image = start()
    target = 0.5 + distance * torch.tensor([1.0, -1.0]).repeat(6).view_as(image)
    optimizer = build("lbfgs", image, line_search="strong_wolfe")
    optimizer.step(
        closure_of(optimizer, image, lambda x: (CURVATURES * (x - target).square()).sum())
    )
    length = (image.detach() - 0.5).abs().mean().item()
    assert FIRST_STEP / 4 < length < 10.1 * FIRST_STEP


def test_later_steps_of_lbfgs_use_the_rate() -> None:
    # On a quadratic with one curvature, L-BFGS knows the curvature after one step.
    paths = []
    for rate in (1.0, 0.5):
        image = start()
        optimizer = Lbfgs(image, lr=rate, line_search_fn=None)
        path = []
        for _ in range(2):
            optimizer.step(closure_of(optimizer, image, lambda x: (x - 3).square().sum()))
            path.append(image.detach().clone())
        paths.append(path)
    torch.testing.assert_close(paths[0][0], paths[1][0])
    torch.testing.assert_close(paths[0][1], torch.full_like(paths[0][1], 3.0))
    torch.testing.assert_close(paths[1][1], (paths[1][0] + 3) / 2)


def test_the_first_step_of_lbfgs_is_restored_after_an_interrupt() -> None:
    image = start()
    optimizer = build("lbfgs", image)

    def interrupted() -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        optimizer.step(interrupted)
    assert optimizer.param_groups[0]["lr"] == RATES["lbfgs"]


def rugged(image: Tensor) -> Tensor:
    """So full of bumps that a line search wants more trials than it may have."""
    return (image + 0.3 * torch.sin(300 * image)).square().sum() * 50


@pytest.mark.parametrize("limit", [2, 3, 4, 8, 20])
def test_a_step_of_lbfgs_takes_no_more_evaluations_than_allowed(limit: int) -> None:
    if "max_ls=max_eval" not in inspect.getsource(torch.optim.LBFGS.step):
        pytest.skip("this PyTorch's line search has a limit of its own, 25")
    image = nn.Parameter(torch.linspace(-1, 1, 40))
    optimizer = build("lbfgs", image, line_search="strong_wolfe", max_evaluations=limit)
    used = []
    for _ in range(25):
        calls: list[float] = []
        optimizer.step(closure_of(optimizer, image, rugged, calls))
        used.append(len(calls))
    assert max(used) > 1
    assert max(used) <= limit


def test_without_line_search_each_step_of_lbfgs_is_one_evaluation() -> None:
    image = start()
    optimizer = build("lbfgs", image, line_search="none")
    calls: list[float] = []
    for _ in range(5):
        optimizer.step(closure_of(optimizer, image, calls=calls))
    assert len(calls) == 5


def test_lbfgs_never_takes_a_small_gradient_for_the_end() -> None:
    image = nn.Parameter(torch.full((1, 3, 2, 2), 0.5, dtype=torch.float64))
    optimizer = build("lbfgs", image, line_search="none")
    for _ in range(2):
        before = image.detach().clone()
        optimizer.step(closure_of(optimizer, image, lambda x: 1e-12 * quadratic(x)))
        assert not torch.equal(image, before)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.sampled_from(sorted(OPTIMIZERS)),
    st.floats(1e-30, 1e30),
    st.integers(1, 2000),
)
def test_loss_scale_is_a_power_of_two_that_brings_gradients_near_one(
    name: str, loss: float, pixels: int
) -> None:
    scale = loss_scale(
        name, torch.tensor([loss], dtype=torch.float64), torch.zeros(1, 3, 1, pixels)
    )
    mantissa, _ = math.frexp(scale)
    assert mantissa == 0.5, "a power of two"
    if name == "sgd":
        assert scale == 1
    else:
        assert 0.7 < scale * loss / (3 * pixels) < 1.42


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("loss", [0.0, math.inf, math.nan])
def test_loss_scale_of_a_loss_without_a_size_is_one(name: str, loss: float) -> None:
    assert loss_scale(name, torch.tensor([loss]), torch.zeros(1, 3, 8, 8)) == 1


@pytest.mark.parametrize("exponent", [-40, -7, 9, 60])
def test_a_power_of_two_leaves_the_path_of_adam_unchanged(exponent: int) -> None:
    ends = []
    for factor in (1.0, 2.0**exponent):
        image = start()
        optimizer = build("adam", image, eps=0.0)
        for _ in range(10):
            optimizer.step(closure_of(optimizer, image, lambda x, f=factor: f * quadratic(x)))
        ends.append(image.detach().clone())
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], start())


@pytest.mark.parametrize(
    ("factor", "rate"), [(1e-12, 0.5), (1e12, 0.5)], ids=["tiny losses", "huge losses"]
)
@pytest.mark.parametrize("name", [name for name, entry in OPTIMIZERS.items() if entry.scale_free])
def test_scale_free_optimizers_learn_whatever_the_unit(
    name: str, factor: float, rate: float
) -> None:
    image = start()
    optimizer = build(name, image)
    before = quadratic(image).item()
    scale = loss_scale(name, factor * quadratic(image).detach(), image)
    for _ in range(20):
        optimizer.step(closure_of(optimizer, image, lambda x: scale * factor * quadratic(x)))
    assert quadratic(image).item() < rate * before


@pytest.mark.parametrize(("loss", "raises"), [(math.nan, False), (1.0, True)])
def test_a_line_search_that_breaks_down_over_nan_leaves_nan(
    monkeypatch: pytest.MonkeyPatch, loss: float, raises: bool
) -> None:
    def breaks_down(self: object, closure: Callable[[], Tensor]) -> None:
        closure()
        raise IndexError("list index out of range")

    image = start()
    image.grad = torch.ones_like(image)
    optimizer = build("lbfgs", image, line_search="strong_wolfe")
    monkeypatch.setattr(torch.optim.LBFGS, "step", breaks_down)
    if raises:
        with pytest.raises(IndexError):
            optimizer.step(lambda: torch.tensor(loss))
    else:
        optimizer.step(lambda: torch.tensor(loss))
    assert bool(image.isnan().all()) is not raises
    assert optimizer.param_groups[0]["lr"] == RATES["lbfgs"]


@pytest.mark.parametrize("size", [1e-20, 1e-6, 1.0, 1e20])
@pytest.mark.parametrize(
    ("name", "options"), [("adam", {"eps": 0.0}), ("sgd", {}), ("sgd", {"momentum": 0.9})]
)
def test_the_first_step_at_a_rate_by_length_has_that_length(
    name: str, options: Any, size: float
) -> None:
    slopes = size * torch.linspace(-3, 2, 300, dtype=torch.float64)
    for lengths, rates in (
        ((SHORTEST_STEP, LONGEST_STEP), rates_by_length(name, slopes)),
        ((0.002, 0.25), rates_by_length(name, slopes, 0.002, 0.25)),
    ):
        for length, rate in zip(lengths, rates, strict=True):
            image = nn.Parameter(torch.full((300,), 0.5, dtype=torch.float64))
            image.grad = slopes
            defaults = dataclasses.asdict(getattr(OptimizerConfig(), name))
            optimizer = build_optimizer(name, image, lr=rate, options={**defaults, **options})
            optimizer.step()
            assert (image.detach() - 0.5).abs().mean().item() == pytest.approx(length)


def test_a_rate_of_lbfgs_is_a_share_of_the_curvature_s_step() -> None:
    gradient = torch.ones(1, 3, 2, 2)
    assert rates_by_length("lbfgs", gradient) == rates_by_length("lbfgs", 1e9 * gradient, 0.1, 0.2)
    low, high = rates_by_length("lbfgs", gradient)
    assert low < 1 < high


def test_a_huge_gradient_still_has_rates() -> None:
    low, high = rates_by_length("sgd", torch.full((1, 3, 64, 64), 3e38))
    assert low == pytest.approx(SHORTEST_STEP / 3e38)
    assert high == pytest.approx(LONGEST_STEP / 3e38)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize(
    ("value", "size"), [(0.0, "0.0"), (math.nan, "nan"), (math.inf, "inf"), (-math.inf, "inf")]
)
def test_a_gradient_without_a_size_has_no_rates(name: str, value: float, size: str) -> None:
    gradient = torch.zeros(1, 3, 2, 2)
    gradient[0, 1, 0, 1] = value
    with pytest.raises(ValueError, match=f"mean size of {size}$"):
        rates_by_length(name, gradient)


def test_rates_of_an_unknown_optimizer_are_refused() -> None:
    with pytest.raises(ConfigError, match="'sdg'; did you mean 'sgd'"):
        rates_by_length("sdg", torch.ones(3))
