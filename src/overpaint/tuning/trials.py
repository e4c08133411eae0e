"""Short runs from one start with different optimisers, side by side as one batch.

Each picture is a parameter of its own with an optimiser of its own. The losses of a batch do not
depend on each other, so one backward pass of their sum gives every picture the gradient that it
would have had alone; only the passes through the encoder are shared.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import torch
from PIL import Image
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from overpaint.optimisation.step import Show, evaluation, grey_levels_moved, take_step, unchanged
from overpaint.pictures.tensors import clamped_share, to_picture
from overpaint.tuning.search import Trial

# From (K, 3, H, W) to (K,).
Measure = Callable[[Tensor], Tensor]
# From a picture to its optimiser and that one's rate schedule.
Build = Callable[[nn.Parameter], tuple[Optimizer, LRScheduler]]


def run_trials(
    start: Tensor,
    measure: Measure,
    optimizers: Mapping[float, Build],
    *,
    steps: int,
    pictures_at: Collection[int] = (),
    loss_scale: float = 1.0,
    most_clamped: float = 1.0,
    show: Show = unchanged,
) -> list[Trial]:
    """Optimises copies of `start` together, one with each optimiser.

    Args:
        start: (1, 3, H, W), sRGB in [0, 1].
        measure: the total losses of images, none of which depends on another image.
        optimizers: a rate to what builds the optimiser of a picture and its rate schedule.
        steps: of each trial.
        pictures_at: steps after which the pictures are kept, beside the last step.
        loss_scale: factor of the loss that the optimisers see; losses returned are without it.
        most_clamped: share of values at 0 or 1 above which a picture counts as saturated.
        show: what makes the picture to be seen of an image.

    Returns:
        One trial for each optimiser, in their order. As in a run, pictures are clamped to [0, 1]
        after each step. A trial that diverges has losses that are not finite from there on, and
        does not touch the others.
    """
    images = [nn.Parameter(start.detach().clone()) for _ in optimizers]
    built = [build(image) for build, image in zip(optimizers.values(), images, strict=True)]
    losses: list[Tensor] = []
    moved: list[Tensor] = []
    pictures: list[dict[int, Image.Image]] = [{} for _ in images]
    for step in range(1, steps + 1):
        totals, gradients = gradients_of(images, measure, loss_scale)
        losses.append(totals)
        before = torch.cat([image.detach() for image in images])
        for image, total, gradient, (optimizer, rates) in zip(
            images, totals, gradients, built, strict=True
        ):
            known = total * loss_scale, gradient
            take_step(image, optimizer, _closure(image, known, measure, loss_scale))
            rates.step()
        after = torch.cat([image.detach() for image in images])
        moved.append(grey_levels_moved(before, after))
        if step == steps or step in pictures_at:
            for kept, picture in zip(pictures, torch.split(after.cpu(), 1), strict=True):
                if torch.isfinite(picture).all():
                    kept[step] = to_picture(show(picture))
    with torch.no_grad():
        losses.append(measure(torch.cat([*images])))
    columns = (optimizers, torch.stack(losses, 1).tolist(), torch.stack(moved, 1).tolist())
    return [
        Trial(rate, tuple(own_losses), tuple(own_moved), clamped, clamped > most_clamped, kept)
        for rate, own_losses, own_moved, clamped, kept in zip(
            *columns, [clamped_share(image.detach()) for image in images], pictures, strict=True
        )
    ]


def gradients_of(
    images: Sequence[Tensor], measure: Measure, loss_scale: float = 1.0
) -> tuple[Tensor, list[Tensor]]:
    """The losses of images and the gradient of each one's own loss, in one pass.

    Args:
        images: K of (1, 3, H, W).
        measure: their losses, none of which depends on another image.
        loss_scale: factor of the gradients.

    Returns:
        (K,) and K of (1, 3, H, W).
    """
    batch = torch.cat([image.detach() for image in images]).requires_grad_()
    totals = measure(batch)
    # Not torch.autograd.grad: its gradient may lie in memory in another order than the images, and
    # PyTorch's fused Adam on the CPU reads both in one order.
    (totals.sum() * loss_scale).backward()  # type: ignore[no-untyped-call]
    assert batch.grad is not None
    return totals.detach(), list(torch.split(batch.grad, 1))


def _closure(
    image: nn.Parameter, known: tuple[Tensor, Tensor], measure: Measure, loss_scale: float
) -> Callable[[], Tensor]:
    """What an optimiser calls: first the values that the batch has found, then the image alone.

    Only a line search calls it again within a step, with the image moved.
    """
    alone = evaluation(image, measure, loss_scale)
    is_known = True

    def evaluate() -> Tensor:
        nonlocal is_known
        if is_known:
            is_known = False
            loss, image.grad = known
            return loss
        return alone()

    return evaluate
