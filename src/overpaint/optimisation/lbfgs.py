"""L-BFGS for a picture, whose values end at black and white."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from overpaint.optimisation.step import BLACK, WHITE, project

# Mean length of the first step, which has no curvature to go by: five grey levels.
FIRST_STEP = 0.02


class Lbfgs(torch.optim.LBFGS):
    """PyTorch's L-BFGS with `max_iter=1`, for values in [0, 1] that the caller projects.

    It differs in three ways. The first step has a known length in pixels: PyTorch gives it a length
    of `lr` in total, summed over all values, about a millionth of a grey level for each pixel of a
    picture, too short to measure curvature with. A value at 0 or 1 whose gradient points outwards
    is held: it has no part in the step (Bertsekas 1982, "Projected Newton methods for optimization
    problems with simple constraints"). And curvature is measured along the move that was made
    between two evaluations, whatever projections made of the step that was taken.

    Between steps the state has the picture (`iterate`) and the whole gradient (`prev_flat_grad`)
    of the last evaluation; PyTorch's `d` and `t` are made from the picture.
    """

    def __init__(self, parameter: nn.Parameter, *, lr: float, **options: Any) -> None:
        # Without tolerances a step is never skipped; PyTorch's suit losses of about 1 per value.
        super().__init__(
            [parameter], lr=lr, max_iter=1, tolerance_grad=0, tolerance_change=0, **options
        )

    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        """One iteration: a direction and a step along it.

        The picture becomes NaN if a line search finds no step because losses are NaN.
        """
        group = self.param_groups[0]
        parameter, lr = group["params"][0], group["lr"]
        state = self.state[parameter]
        losses = [closure()]
        before, gradient = parameter.detach().clone(), parameter.grad.detach().flatten().clone()
        held = _held(before, parameter.grad)
        if "iterate" in state:
            _put_the_move_made(state, before, held)
        if not state.get("n_iter"):
            group["lr"] = FIRST_STEP * max(1, int((~held).sum()))
        parameter.grad.masked_fill_(held, 0)
        is_known = True

        def evaluate() -> Any:
            """The loss before the step, then those of a line search along the projected path."""
            nonlocal is_known
            if is_known:
                is_known = False
                return losses[0]
            project(_put_back(parameter, before, held))
            losses.append(closure())
            with torch.no_grad():  # what has met a bound does not move as the path goes on
                parameter.grad.masked_fill_((parameter <= BLACK) | (parameter >= WHITE), 0)
            return losses[-1]

        try:
            loss = super().step(evaluate)  # type: ignore[no-untyped-call]
        except IndexError:  # of PyTorch's line search, which compares losses and keeps none of them
            if all(math.isfinite(loss) for loss in losses):
                raise
            with torch.no_grad():
                parameter.fill_(math.nan)
            return losses[0]
        finally:
            group["lr"] = lr
        _put_back(parameter, before, held)
        state["iterate"], state["prev_flat_grad"] = before, gradient
        state.pop("d", None)
        return loss


def _held(image: Tensor, gradient: Tensor) -> Tensor:
    """Where an image is black or white and its loss would fall beyond; booleans."""
    return ((image <= BLACK) & (gradient > 0)) | ((image >= WHITE) & (gradient < 0))


def _put_the_move_made(state: dict[str, Any], image: Tensor, held: Tensor) -> None:
    """Lets PyTorch take the move since the last evaluation for its step d times t.

    Of that move and of the gradient before it only the part that is free now counts: what bounds
    hold tells nothing about the curvature of the rest.
    """
    apart = held.flatten()
    state["d"] = (image - state["iterate"]).flatten().masked_fill_(apart, 0)
    state["t"] = 1.0
    state["prev_flat_grad"].masked_fill_(apart, 0)


@torch.no_grad()
def _put_back(image: nn.Parameter, before: Tensor, held: Tensor) -> Tensor:
    """Undoes what a step did to the values that are held."""
    return image.copy_(torch.where(held, before, image))
