"""What all loops over a picture share: how a loss is evaluated, and what makes up one step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

Show = Callable[[Tensor], Tensor]
"""From the (1, 3, H, W) image that is optimised to the picture that people see."""

GREY_LEVELS = 255.0
"""Of an 8-bit picture, from black to white: the unit in which changes are told to people."""

BLACK, WHITE = 0.0, 1.0
"""The least and the greatest value of a picture."""


def unchanged(image: Tensor) -> Tensor:
    """The image as the picture that people see."""
    return image


def evaluation(
    image: nn.Parameter, loss: Callable[[Tensor], Tensor], scale: float = 1.0
) -> Callable[[], Tensor]:
    """The closure that an optimiser calls for the loss of an image and its gradient.

    Args:
        image: (B, 3, H, W); its `grad` is set by each call.
        loss: from the image to (B,).
        scale: factor of what the optimiser sees.
    """

    def evaluate() -> Tensor:
        image.grad = None
        total = loss(image).sum() * scale
        total.backward()  # type: ignore[no-untyped-call]
        return total.detach()

    return evaluate


def take_step(image: nn.Parameter, optimizer: Optimizer, evaluate: Callable[[], object]) -> None:
    """One step of an optimiser, then the projection."""
    optimizer.step(evaluate)  # type: ignore[arg-type]  # losses are tensors, as PyTorch's own are
    project(image)


@torch.no_grad()
def project(image: Tensor) -> None:
    """Clamps an image to [0, 1], where pictures are, in place."""
    image.clamp_(BLACK, WHITE)


def grey_levels_moved(before: Tensor, after: Tensor) -> Tensor:
    """Mean absolute change of each image, (B, 3, H, W) to (B,), in grey levels of 255."""
    return (after - before).abs().mean((1, 2, 3)) * GREY_LEVELS
