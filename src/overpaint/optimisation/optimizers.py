"""The optimisers by name, and what each needs so that any loss and picture size suits it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from overpaint.errors import lookup
from overpaint.optimisation.lbfgs import Lbfgs

# Mean length, in units of the image's [0, 1], of the shortest and the longest steps worth a look: a
# hundredth of a grey level, and the whole range.
SHORTEST_STEP, LONGEST_STEP = 0.01 / 255, 1.0


def _adam(parameter: nn.Parameter, *, lr: float, beta1: float, beta2: float, eps: float) -> Any:
    # One pass over the picture where PyTorch has it, not a dozen.
    fused = parameter.device.type in ("cpu", "cuda")
    return torch.optim.Adam([parameter], lr=lr, betas=(beta1, beta2), eps=eps, fused=fused)


def _lbfgs(
    parameter: nn.Parameter, *, lr: float, history_size: int, line_search: str, max_evaluations: int
) -> Any:
    return Lbfgs(
        parameter,
        lr=lr,
        history_size=history_size,
        line_search_fn=None if line_search == "none" else line_search,
        max_eval=max_evaluations - 1,  # PyTorch's line search goes over it by one
    )


def _sgd(parameter: nn.Parameter, *, lr: float, momentum: float, nesterov: bool) -> Any:
    return torch.optim.SGD([parameter], lr=lr, momentum=momentum, nesterov=nesterov)


@dataclass(frozen=True)
class OptimizerEntry:
    """How an optimiser is built, and whether its path depends on the loss's unit."""

    build: Callable[..., torch.optim.Optimizer]
    scale_free: bool
    """True if multiplying the loss by a constant should not change the path."""
    rate_of: Callable[[float, float], float] | None
    """From the length of a first step and the gradient's size to the rate, if they determine it."""


OPTIMIZERS: dict[str, OptimizerEntry] = {
    # Its first step moves every value by the rate, whatever the gradient.
    "adam": OptimizerEntry(_adam, scale_free=True, rate_of=lambda length, _: length),
    # Its steps are as long as the curvature says; a rate is a share of that.
    "lbfgs": OptimizerEntry(_lbfgs, scale_free=True, rate_of=None),
    "sgd": OptimizerEntry(_sgd, scale_free=False, rate_of=lambda length, size: length / size),
}


def build_optimizer(
    name: str, parameter: nn.Parameter, *, lr: float, options: Mapping[str, Any]
) -> torch.optim.Optimizer:
    """Builds an optimiser over one image.

    Args:
        name: a key of `OPTIMIZERS`.
        parameter: the image.
        lr: learning rate; for Adam in units of the image's [0, 1] per step.
        options: the optimiser's own settings, as in its section of the schema.

    Raises:
        ConfigError: if `name` is unknown.
    """
    return lookup(OPTIMIZERS, name, "optimizer.name").build(parameter, lr=lr, **options)


def rates_by_length(
    name: str, gradient: Tensor, shortest: float = SHORTEST_STEP, longest: float = LONGEST_STEP
) -> tuple[float, float]:
    """The rates whose first steps have two mean lengths.

    For Adam a rate is that length. For gradient descent it depends on the loss: a good one is about
    100 with relative losses and 1e-23 with the paper's. L-BFGS's rate is a share of the step that
    the curvature suggests, here from a thousandth to thirty times that.

    Args:
        name: a key of `OPTIMIZERS`.
        gradient: of the loss at the start.
        shortest: mean absolute change of a value of the image in [0, 1].
        longest: likewise.

    Raises:
        ConfigError: if `name` is unknown.
        ValueError: if the gradient is zero or not finite.
    """
    size = float(gradient.abs().mean(dtype=torch.float64))
    if not 0 < size < math.inf:
        raise ValueError(f"the gradient at the start has a mean size of {size}")
    rate_of = lookup(OPTIMIZERS, name, "optimizer.name").rate_of
    if rate_of is None:
        return 1e-3, 30.0
    return rate_of(shortest, size), rate_of(longest, size)


def loss_scale(name: str, start_loss: Tensor, image: Tensor) -> float:
    """A power of two that brings the gradient of one value to about 1 at the start.

    Adam's `eps`, the squares in its second moment and L-BFGS's thresholds have a fixed size, while
    the gradient of one pixel is tiny with relative losses at a large size, and so great with the
    paper's sums that its square is beyond float32. A power of two changes no digit of the gradient.
    Plain gradient descent gets 1: its rate is meant for the loss as written.

    Args:
        name: a key of `OPTIMIZERS`.
        start_loss: total loss of the start image, one value.
        image: that image; its number of values counts.

    Raises:
        ConfigError: if `name` is unknown.
    """
    loss = float(start_loss)
    if not lookup(OPTIMIZERS, name, "optimizer.name").scale_free or not 0 < loss < math.inf:
        return 1.0
    return float(2.0 ** round(math.log2(image.numel() / loss)))
