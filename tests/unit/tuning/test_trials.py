from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from conftest import draw, random_tensors
from PIL import Image
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from overpaint.encoder.vgg import Vgg19Features
from overpaint.losses.normalizations import NORMALIZATIONS
from overpaint.losses.objective import Objective
from overpaint.optimisation.optimizers import build_optimizer
from overpaint.tuning.search import Trial
from overpaint.tuning.trials import Build, Measure, gradients_of, run_trials

pytestmark = pytest.mark.usefixtures("one_thread")

STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
OPTIONS = {
    "adam": {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8},
    "sgd": {"momentum": 0.5, "nesterov": False},
    "lbfgs": {"history_size": 5, "line_search": "none", "max_evaluations": 20},
}


def picture(seed: int, height: int = 37, width: int = 27) -> Tensor:
    """Noise with edges that 16 does not divide."""
    return torch.rand((1, 3, height, width), generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def make_measure() -> Callable[..., Measure]:
    """The total losses of a random, narrow VGG-19, as a run measures them."""
    widths = (16, 16, 24, 24, *(32,) * 9)
    encoder = Vgg19Features([*STYLE_LAYERS, "relu4_2"], random_tensors(widths), whole=True)

    def build(normalization: str = "relative", *, rounded: bool = False) -> Measure:
        layout = torch.channels_last if rounded else torch.contiguous_format
        encoder.to(memory_format=layout)

        def autocast() -> torch.autocast:
            return torch.autocast("cpu", torch.bfloat16, enabled=rounded)

        content, style = (
            one.to(memory_format=layout) for one in (picture(1), picture(2, height=29, width=41))
        )
        with autocast():
            objective = Objective(
                encoder,
                content,
                [style],
                content_layers={"relu4_2": 1.0},
                style_layers=dict.fromkeys(STYLE_LAYERS, 0.2),
                content_weight=1.0,
                style_weight=7.0,
                tv_weight=6.0,
                normalization=normalization,
            )

        def measure(images: Tensor) -> Tensor:
            with autocast():
                total: Tensor = objective(images).total
            return total

        return measure

    return build


def with_rate(
    name: str, lr: float, factor: Callable[[int], float] = lambda step: 1.0, **options: object
) -> Build:
    def build(image: nn.Parameter) -> tuple[Optimizer, LambdaLR]:
        optimizer = build_optimizer(name, image, lr=lr, options={**OPTIONS[name], **options})
        return optimizer, LambdaLR(optimizer, factor)

    return build


def together(
    start: Tensor, measure: Measure, builders: Sequence[Build], **options: Any
) -> list[Trial]:
    """The trials of some builders, under made-up rates."""
    return run_trials(start, measure, {float(i): b for i, b in enumerate(builders)}, **options)


def apart(kept: Image.Image, exact: Tensor) -> float:
    """How far a picture is from a tensor at most, in grey levels of 255."""
    levels = torch.from_numpy(np.array(kept)).permute(2, 0, 1).double()
    return float((levels - exact[0].double() * 255).abs().max())


@dataclass
class Path:
    """What a plain PyTorch loop does with one picture."""

    losses: list[float] = field(default_factory=list)
    pictures: list[Tensor] = field(default_factory=list)
    evaluations: int = 0


def alone(start: Tensor, measure: Measure, build: Build, steps: int, scale: float = 1.0) -> Path:
    image = nn.Parameter(start.clone())
    optimizer, rates = build(image)
    path = Path()

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = measure(image).sum()
        (loss * scale).backward()
        evaluated.append(loss.item())
        return loss * scale

    for _ in range(steps):
        evaluated: list[float] = []
        optimizer.step(closure)
        path.losses.append(evaluated[0])
        path.evaluations += len(evaluated)
        with torch.no_grad():
            image.clamp_(0, 1)
        rates.step()
        path.pictures.append(image.detach().clone())
    path.losses.append(measure(image).item())
    return path


CURVATURES = torch.logspace(-1, 1, 12).view(1, 3, 2, 2)
TARGET = torch.linspace(-0.3, 1.2, 12).view(1, 3, 2, 2)
GREY = torch.full((1, 3, 2, 2), 0.5)


def quadratic(images: Tensor) -> Tensor:
    return (CURVATURES * (images - TARGET).square()).sum((1, 2, 3))


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_gradients_of_a_batch_are_those_of_each_picture_alone(
    make_measure: Callable[..., Measure], normalization: str
) -> None:
    measure = make_measure(normalization)
    images = [picture(seed) for seed in (11, 12, 13)]
    totals, gradients = gradients_of(images, measure)
    assert totals.shape == (3,)
    for image, total, gradient in zip(images, totals, gradients, strict=True):
        own = image.clone().requires_grad_()
        loss = measure(own)
        loss.sum().backward()
        assert own.grad is not None
        assert total.item() == pytest.approx(loss.item(), rel=1e-5)
        assert gradient.shape == image.shape
        assert (gradient - own.grad).norm() < 1e-5 * own.grad.norm()
        assert (gradient - own.grad).abs().max() < 1e-5 * own.grad.abs().max()
    assert (gradients[0] - gradients[1]).norm() > 0.1 * gradients[0].norm(), "they differ"


@pytest.mark.parametrize("rounded", [False, True], ids=["float32", "bfloat16, channels last"])
@pytest.mark.parametrize("count", [1, 3])
def test_gradients_lie_in_memory_as_the_pictures_do(
    make_measure: Callable[..., Measure], rounded: bool, count: int
) -> None:
    layout = torch.channels_last if rounded else torch.contiguous_format
    images = [picture(seed).to(memory_format=layout) for seed in range(count)]
    for gradient in gradients_of(images, make_measure(rounded=rounded))[1]:
        assert gradient.stride() == images[0].stride()


def test_gradients_are_multiplied_and_losses_are_not() -> None:
    images = [GREY, 0.25 * GREY]
    plain, scaled = gradients_of(images, quadratic), gradients_of(images, quadratic, 8.0)
    for i, image in enumerate(images):
        gradient = 2 * CURVATURES * (image - TARGET)
        torch.testing.assert_close(plain[1][i], gradient)
        torch.testing.assert_close(scaled[1][i], 8 * gradient)
        assert scaled[0][i].item() == pytest.approx(quadratic(image).item())
    assert not scaled[0].requires_grad


@pytest.mark.parametrize(
    ("name", "rates", "rounded"),
    [
        ("adam", (0.003, 0.03, 0.3), False),
        ("adam", (0.003, 0.03), True),
        ("sgd", (0.1, 1.0, 10.0), False),
        ("sgd", (0.1, 10.0), True),
        ("lbfgs", (0.1, 0.5, 1.0), False),
    ],
)
def test_trials_of_many_rates_are_those_of_each_rate_alone(
    make_measure: Callable[..., Measure], name: str, rates: tuple[float, ...], rounded: bool
) -> None:
    measure = make_measure(rounded=rounded)
    layout = torch.channels_last if rounded else torch.contiguous_format
    start = picture(3).to(memory_format=layout)
    scale = 1.0 if name == "sgd" else 512.0
    builders = [with_rate(name, rate, lambda step: 1 / (1 + step)) for rate in rates]
    trials = together(start, measure, builders, steps=3, pictures_at=[1], loss_scale=scale)
    ends = []
    for trial, build in zip(trials, builders, strict=True):
        path = alone(start, measure, build, 3, scale)
        assert trial.losses == pytest.approx(path.losses, rel=1e-5)
        for step, kept in trial.pictures.items():
            assert apart(kept, path.pictures[step - 1]) < 0.6
        ends.append(trial.losses[-1])
    assert len({f"{loss:.3g}" for loss in ends}) == len(rates), "the rate matters"


def test_losses_are_those_before_each_step_and_after_the_last() -> None:
    rate = 0.01
    (trial,) = together(GREY, quadratic, [with_rate("sgd", rate, momentum=0.0)], steps=5)
    assert len(trial.losses) == 6
    assert len(trial.moved) == 5
    image, expected = GREY.double(), []
    for _ in range(6):
        expected.append(quadratic(image).item())
        image = (image - rate * 2 * CURVATURES * (image - TARGET)).clamp(0, 1)
    assert trial.losses == pytest.approx(expected, rel=1e-5)


def test_what_is_returned_is_without_the_scale_that_the_optimizer_sees() -> None:
    plain, scaled = (
        together(GREY, quadratic, [with_rate("sgd", rate)], steps=4, loss_scale=scale)[0]
        for rate, scale in ((0.01, 1.0), (0.01 / 64, 64.0))
    )
    assert scaled.losses == pytest.approx(plain.losses, rel=1e-6)
    assert scaled.moved == pytest.approx(plain.moved, rel=1e-5)
    other = together(GREY, quadratic, [with_rate("sgd", 0.01)], steps=4, loss_scale=2.0)[0]
    assert other.moved[0] == pytest.approx(2 * plain.moved[0], rel=1e-5)


def test_how_far_a_step_moves_is_told_in_grey_levels() -> None:
    slopes = torch.tensor([1.0, -3.0, 2.0, -2.0]).repeat(3).view(1, 3, 2, 2)  # mean size 2

    def ramp(images: Tensor) -> Tensor:
        return (slopes * images).sum((1, 2, 3))

    builders = [
        with_rate("sgd", 0.01, lambda step: (1.0, 0.5, 0.25)[step], momentum=0.0),
        with_rate("sgd", 1.0, momentum=0.0),
    ]
    slow, fast = together(GREY, ramp, builders, steps=2)
    assert slow.moved == pytest.approx([0.01 * 2 * 255, 0.005 * 2 * 255], rel=1e-5)
    assert slow.clamped == 0
    # From grey every value goes 0.5 to its end, and stays there.
    assert fast.moved == pytest.approx([0.5 * 255, 0.0])
    assert fast.clamped == 1


def test_the_share_on_the_clamp_is_each_picture_s_own() -> None:
    targets = torch.tensor([-1.0, 0.4, 0.6, 2.0]).repeat(3).view(1, 3, 2, 2)

    def to_targets(images: Tensor) -> Tensor:
        return (images - targets).square().sum((1, 2, 3))

    # A rate of 0.5 is Newton's step: values reach their targets, or the end on the way there.
    near, there = together(
        GREY, to_targets, [with_rate("sgd", rate, momentum=0.0) for rate in (0.01, 0.5)], steps=1
    )
    assert (near.clamped, there.clamped) == (0.0, 0.5)


def test_pictures_are_kept_after_the_steps_asked_for_and_the_last() -> None:
    builders = [with_rate("adam", rate) for rate in (0.01, 0.1)]
    trials = together(GREY, quadratic, builders, steps=6, pictures_at=(1, 4, 99))
    for trial, build in zip(trials, builders, strict=True):
        path = alone(GREY, quadratic, build, 6)
        assert list(trial.pictures) == [1, 4, 6]
        for step, kept in trial.pictures.items():
            assert apart(kept, path.pictures[step - 1]) < 0.51
    assert trials[0].pictures[1].tobytes() != trials[0].pictures[6].tobytes()
    (plain,) = together(GREY, quadratic, builders[:1], steps=6)
    assert list(plain.pictures) == [6]


def test_the_start_stays_as_it_is() -> None:
    start = GREY.clone()
    together(start, quadratic, [with_rate("sgd", 0.1)] * 2, steps=2)
    assert torch.equal(start, GREY)
    assert not start.requires_grad


@pytest.mark.parametrize(
    ("rate", "is_number"), [(1e30, True), (math.nan, False)], ids=["black and white", "nan"]
)
def test_a_trial_that_diverges_touches_no_other(
    make_measure: Callable[..., Measure], rate: float, is_number: bool
) -> None:
    measure = make_measure("paper")
    with_lost, with_calm = (
        together(
            picture(3),
            measure,
            [with_rate("sgd", 1e-10), with_rate("sgd", one), with_rate("adam", 0.03)],
            steps=3,
            pictures_at=(1,),
        )
        for one in (rate, 1e-12)
    )
    lost = with_lost[1]
    assert math.isfinite(lost.losses[0])
    assert math.isfinite(lost.losses[-1]) == is_number
    assert (lost.clamped > 0.99) == is_number
    for place in (0, 2):
        assert with_lost[place].losses == with_calm[place].losses
        assert with_lost[place].moved == with_calm[place].moved
        for step in (1, 3):
            pictures = [trials[place].pictures[step] for trials in (with_lost, with_calm)]
            assert pictures[0].tobytes() == pictures[1].tobytes()


def rugged(images: Tensor) -> Tensor:
    """Many valleys, so that a line search tries several points."""
    return (images.sin() * 3 + (9 * images).cos() + (images - TARGET).square()).sum((1, 2, 3))


def test_a_line_search_tries_its_points_on_its_own_picture() -> None:
    sizes: list[int] = []

    def counted(images: Tensor) -> Tensor:
        sizes.append(len(images))
        return rugged(images)

    builders = [with_rate("lbfgs", rate, line_search="strong_wolfe") for rate in (0.2, 1.0)]
    start = draw((1, 3, 2, 2), 5).sigmoid()
    trials = together(start, counted, builders, steps=6, loss_scale=4.0)
    tried = sizes.count(1)
    assert sizes.count(2) == 7, "one batch for each step, and one after the last"
    paths = [alone(start, rugged, build, 6, scale=4.0) for build in builders]
    for trial, path in zip(trials, paths, strict=True):
        assert trial.losses == pytest.approx(path.losses, rel=1e-9)
        assert apart(trial.pictures[6], path.pictures[5]) < 0.51
    assert tried == sum(path.evaluations for path in paths) - 2 * 6
    assert tried > 6, "else nothing was searched"
    assert trials[0].losses[-1] != trials[1].losses[-1]
