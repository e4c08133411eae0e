from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor, nn

from overpaint.optimisation.lbfgs import FIRST_STEP, Lbfgs
from overpaint.optimisation.step import evaluation, take_step

Loss = Callable[[Tensor], Tensor]
LINE_SEARCHES = [None, "strong_wolfe"]


def quadratic(values: int, condition: float, *, reach: float = 1.0) -> Loss:
    """Of a random full matrix; its minimum has values from -reach to 1 + reach."""
    generator = torch.Generator().manual_seed(values)
    draw = {"generator": generator, "dtype": torch.float64}
    turn, _ = torch.linalg.qr(torch.randn(values, values, **draw))
    matrix = turn @ torch.diag(torch.logspace(0, np.log10(condition), values).double()) @ turn.T
    centre = torch.rand(values, **draw) * (1 + 2 * reach) - reach
    return lambda x: 0.5 * (x - centre) @ matrix @ (x - centre)


def rosenbrock(x: Tensor) -> Tensor:
    """Its valley leaves the box through x = 1: the free minimum is (1.25, 1.25, ...)."""
    z = 0.8 * x
    return (100 * (z[1:] - z[:-1] ** 2) ** 2 + (1 - z[:-1]) ** 2).sum()


def start(values: int) -> nn.Parameter:
    return nn.Parameter(torch.full((values,), 0.5, dtype=torch.float64))


def closure_of(image: nn.Parameter, loss: Loss) -> Callable[[], Tensor]:
    return evaluation(image, lambda x: loss(x)[None])


def optimise(
    loss: Loss, image: nn.Parameter, *, steps: int, line_search: str | None = None
) -> Lbfgs:
    optimizer = Lbfgs(image, lr=1.0, history_size=20, line_search_fn=line_search, max_eval=19)
    for _ in range(steps):
        take_step(image, optimizer, closure_of(image, loss))
    return optimizer


def minimum_by_scipy(loss: Loss, values: int) -> Any:
    def value_and_gradient(point: np.ndarray) -> tuple[float, np.ndarray]:
        x = torch.tensor(point, requires_grad=True)
        value = loss(x)
        value.backward()
        return value.item(), x.grad.numpy()

    return minimize(
        value_and_gradient,
        np.full(values, 0.5),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0, 1)] * values,
        options={"ftol": 1e-15, "gtol": 1e-10, "maxiter": 2000, "maxfun": 5000},
    )


@pytest.mark.parametrize("line_search", LINE_SEARCHES)
@pytest.mark.parametrize(
    ("loss", "values"),
    [
        (quadratic(8, 3), 8),
        (quadratic(60, 100), 60),
        (quadratic(60, 1e4), 60),
        (quadratic(60, 100, reach=0.0), 60),
        (rosenbrock, 2),
        (rosenbrock, 10),
    ],
)
def test_the_minimum_within_bounds_is_that_of_scipy(
    loss: Loss, values: int, line_search: str | None
) -> None:
    image = start(values)
    optimise(loss, image, steps=100, line_search=line_search)
    found = minimum_by_scipy(loss, values)
    assert loss(image).item() == pytest.approx(found.fun, rel=1e-6, abs=1e-9)
    np.testing.assert_allclose(image.detach().numpy(), found.x, atol=1e-3)


def test_the_problems_reach_the_bounds() -> None:
    """Else the test above would say nothing of them."""
    for loss, values, least in ((quadratic(60, 100), 60, 20), (rosenbrock, 10, 1)):
        found = minimum_by_scipy(loss, values).x
        assert least <= np.sum((found == 0) | (found == 1)) < values


@pytest.mark.parametrize("line_search", LINE_SEARCHES)
def test_steps_and_gradient_changes_kept_are_those_of_the_picture(line_search: str | None) -> None:
    image, loss = start(30), quadratic(30, 10)
    optimizer = Lbfgs(image, lr=1.0, history_size=20, line_search_fn=line_search, max_eval=19)
    points, gradients = [], []
    for _ in range(12):
        closure_of(image, loss)()
        points.append(image.detach().clone())
        gradients.append(image.grad.clone())
        take_step(image, optimizer, closure_of(image, loss))
    moved = clamped = 0
    state = optimizer.state[image]
    assert state["old_stps"]
    for s, y in zip(state["old_stps"], state["old_dirs"], strict=True):
        places = [
            k
            for k in range(11)
            if torch.allclose(s, torch.where(s != 0, points[k + 1] - points[k], 0), atol=1e-12)
            and torch.allclose(y, torch.where(y != 0, gradients[k + 1] - gradients[k], 0))
        ]
        assert places, "no move of the picture"
        moved += 1
        clamped += bool((s == 0).any())
    assert moved > 3
    assert clamped, "nothing reached a bound"


def test_a_value_at_its_bound_moves_only_inwards() -> None:
    slopes = torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64)
    image = nn.Parameter(torch.tensor([0.0, 1.0, 0.0, 1.0], dtype=torch.float64))
    optimizer = Lbfgs(image, lr=1.0)
    optimizer.step(closure_of(image, lambda x: slopes @ x))
    assert image.tolist() == pytest.approx([0, 1, FIRST_STEP, 1 - FIRST_STEP])


def test_a_picture_whose_values_are_all_held_stays() -> None:
    image = nn.Parameter(torch.tensor([0.0, 1.0], dtype=torch.float64))
    beyond = torch.tensor([-1.0, 3.0])
    optimise(lambda x: (x - beyond).square().sum(), image, steps=3)
    assert image.tolist() == [0, 1]


def test_a_value_leaves_its_bound_when_its_gradient_turns() -> None:
    """The first steps drive it to 0, where it must not be left when the other has moved."""

    def loss(x: Tensor) -> Tensor:
        return 50 * (x[0] - 2 * (x[1] - 0.6)).square() + (x[1] - 0.9).square()

    image = nn.Parameter(torch.tensor([0.02, 0.5], dtype=torch.float64))
    path = []
    optimizer = Lbfgs(image, lr=1.0)
    for _ in range(60):
        take_step(image, optimizer, closure_of(image, loss))
        path.append(image[0].item())
    assert 0 in path
    assert image.tolist() == pytest.approx([0.6, 0.9], abs=1e-4)


@pytest.mark.parametrize("line_search", LINE_SEARCHES)
@pytest.mark.parametrize("done", [1, 5])
def test_a_resumed_run_continues_the_same_path_at_the_bounds(
    line_search: str | None, done: int
) -> None:
    loss, image = quadratic(30, 100), start(30)
    optimizer = optimise(loss, image, steps=done, line_search=line_search)
    state, paused = copy.deepcopy(optimizer.state_dict()), image.detach().clone()
    resumed_image = nn.Parameter(paused.clone())
    resumed = Lbfgs(resumed_image, lr=1.0)
    resumed.load_state_dict(state)
    for _ in range(5):
        take_step(image, optimizer, closure_of(image, loss))
        take_step(resumed_image, resumed, closure_of(resumed_image, loss))
    assert torch.equal(image, resumed_image)
    assert bool(((image == 0) | (image == 1)).any())


def test_projecting_is_left_to_the_caller_who_must_see_what_is_not_finite() -> None:
    image = nn.Parameter(torch.full((2,), 0.5))
    optimizer = Lbfgs(image, lr=1e38)
    for _ in range(2):
        optimizer.step(closure_of(image, lambda x: (x - 0.4).square().sum()))
    assert not bool(((image >= 0) & (image <= 1)).any())


def test_no_step_takes_more_than_its_evaluation_without_line_search() -> None:
    image, calls = start(30), []
    loss = quadratic(30, 10)

    def counted(x: Tensor) -> Tensor:
        calls.append(1)
        return loss(x)

    optimise(counted, image, steps=8)
    assert len(calls) == 8
