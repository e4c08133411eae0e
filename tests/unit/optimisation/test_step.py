from __future__ import annotations

import pytest
import torch
from conftest import draw
from torch import Tensor, nn

from overpaint.optimisation.step import evaluation, grey_levels_moved, project, take_step


def squares(image: Tensor) -> Tensor:
    """Of each image: the sum of its squares; the gradient is twice the image."""
    return image.square().sum((1, 2, 3))


def picture(seed: int, count: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((count, 3, 2, 4), generator=generator, dtype=torch.float64)


def test_an_evaluation_returns_the_loss_and_leaves_the_gradient() -> None:
    image = nn.Parameter(torch.full((2, 3, 1, 1), 0.5))
    loss = evaluation(image, squares)()
    assert loss.item() == 1.5  # six quarters
    assert not loss.requires_grad
    assert image.grad is not None
    assert torch.equal(image.grad, torch.ones(2, 3, 1, 1))


def test_an_evaluation_scales_what_the_optimizer_sees() -> None:
    image = nn.Parameter(torch.full((1, 3, 1, 1), 0.5))
    assert evaluation(image, squares, 8.0)().item() == 6
    assert image.grad is not None
    assert torch.equal(image.grad, torch.full((1, 3, 1, 1), 8.0))


def test_evaluations_do_not_add_up() -> None:
    image = nn.Parameter(picture(0))
    evaluate = evaluation(image, squares)
    evaluate()
    evaluate()
    torch.testing.assert_close(image.grad, 2 * image.detach())


def test_an_evaluation_sees_the_image_as_it_is_now() -> None:
    image = nn.Parameter(torch.zeros(1, 3, 1, 1))
    evaluate = evaluation(image, squares)
    assert evaluate().item() == 0
    with torch.no_grad():
        image.fill_(2)
    assert evaluate().item() == 12


def test_projecting_clamps_in_place_and_moves_nothing_else() -> None:
    image = nn.Parameter(torch.tensor([-0.5, 0.0, 0.25, 1.0, 1.5, 3.0]).view(1, 3, 1, 2))
    memory = image.data_ptr()
    project(image)
    assert image.data_ptr() == memory
    assert image.flatten().tolist() == [0.0, 0.0, 0.25, 1.0, 1.0, 1.0]
    assert image.requires_grad


def test_a_step_of_gradient_descent_is_followed_by_the_projection() -> None:
    image = nn.Parameter(torch.tensor([0.25, 0.5, 0.75]).view(1, 3, 1, 1))
    slope = torch.tensor([1.0, -1.0, 0.0]).view(1, 3, 1, 1)
    optimizer = torch.optim.SGD([image], lr=1.0)
    take_step(image, optimizer, evaluation(image, lambda x: (slope * x).sum((1, 2, 3))))
    assert image.flatten().tolist() == [0.0, 1.0, 0.75]  # from -0.75, 1.5, 0.75


def adam_by_hand(image: Tensor, target: Tensor, rate: float, steps: int) -> list[Tensor]:
    """Adam of Kingma & Ba (arXiv:1412.6980, algorithm 1) on |x - t|^2, clamped after each step."""
    first, second, path = torch.zeros_like(image), torch.zeros_like(image), []
    for step in range(1, steps + 1):
        gradient = 2 * (image - target)
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        unbiased = first / (1 - 0.9**step), second / (1 - 0.999**step)
        image = (image - rate * unbiased[0] / (unbiased[1].sqrt() + 1e-8)).clamp(0, 1)
        path.append(image)
    return path


def test_the_path_of_adam_is_that_of_a_loop_written_by_hand() -> None:
    start, target = picture(1, count=2), 3 * picture(2, count=2) - 1  # partly beyond the clamp
    image = nn.Parameter(start.clone())
    optimizer = torch.optim.Adam([image], lr=0.1)
    evaluate = evaluation(image, lambda x: squares(x - target))
    path = adam_by_hand(start, target, 0.1, steps=12)
    for expected in path:
        take_step(image, optimizer, evaluate)
        torch.testing.assert_close(image.detach(), expected)
    assert ((path[-1] == 0) | (path[-1] == 1)).any()


def test_an_optimizer_that_evaluates_often_takes_one_step() -> None:
    image, evaluations = nn.Parameter(picture(3)), []
    optimizer = torch.optim.LBFGS([image], lr=0.25, max_iter=4)
    evaluate = evaluation(image, squares)

    def counted() -> Tensor:
        evaluations.append(image.detach().clone())
        return evaluate()

    before = squares(image).item()
    take_step(image, optimizer, counted)
    assert len(evaluations) > 1
    assert squares(image).item() < before


@pytest.mark.parametrize("sign", [1, -1])
def test_movement_is_told_in_grey_levels_of_each_image(sign: int) -> None:
    before = draw((2, 3, 4, 5), 0)
    change = torch.zeros(2, 3, 4, 5, dtype=torch.float64)
    change[1, 0] = sign * 3 / 255  # one channel of three by three levels
    moved = grey_levels_moved(before, before + change)
    assert moved.tolist() == pytest.approx([0.0, 1.0])
