"""Infinities and NaN: what they must not reach, and where they first appeared."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

_KINDS = ("", "loss", "gradient", "picture")


@dataclass(frozen=True)
class Divergence:
    """Where a run left the finite numbers."""

    step: int
    """The first step that met an infinity or NaN; steps count from 1."""
    what: str
    """`loss` or `gradient` of the picture before that step, or the `picture` that it made."""
    rate: float
    """Learning rate of that step."""
    last_good: int
    """The step that made the picture that was kept; 0 for the start."""

    def in_words(self, steps: int, rate: float) -> str:
        """What happened, and what to try.

        Args:
            steps: of the run.
            rate: `optimizer.lr`.
        """
        when = f"at step {self.step}"
        if self.step > steps:  # found when all was done
            when = f"after step {self.step - 1}"
        return (
            f"The {self.what} became infinite or not a number {when}, where the learning rate was "
            f"{self.rate:.3g}; try optimizer.lr={rate / 10:.2g}."
        )


class FiniteGuard(nn.Module):
    """Keeps a picture finite: from the first fault on it stays the last good one.

    Only tensors decide here, for reading one would make every step wait for the device.

    Args:
        image: (1, 3, H, W), the start.
        first_step: steps done before, at smaller sizes.
    """

    good: Tensor
    """The last picture of finite loss and gradient."""
    fault: Tensor
    """The first faulty step, its kind, its rate; zeros while all is well."""

    def __init__(self, image: Tensor, *, first_step: int = 0) -> None:
        super().__init__()
        self._first_step = first_step
        self.register_buffer("good", image.detach().clone())
        self.register_buffer("fault", torch.zeros(3))

    @torch.no_grad()
    def keep_finite(
        self,
        image: Tensor,
        before: Tensor,
        *,
        loss: Tensor,
        gradient: Tensor,
        step: int,
        rate: float,
    ) -> None:
        """Puts the last good picture back from the first fault on, and notes that fault.

        To be called before the projection, which would make an infinite value black or white.

        Args:
            image: (1, 3, H, W), the picture after this step; changed in place.
            before: the picture before it.
            loss: whether that picture's loss is finite; like `gradient` a boolean of no dimension.
            gradient: whether that picture's gradient is. Trial points of a line search do not
                count: the search may turn back from them.
            step: this one, counted from 1 over the whole run.
            rate: of this step.
        """
        whole = self.fault[0] == 0
        sound = loss & gradient & whole
        self.good.copy_(torch.where(sound, before, self.good))
        picture = torch.isfinite(image).all()
        image.copy_(torch.where(sound & picture, image, self.good))
        first = whole & ~(sound & picture)
        kind = 1 + loss.float() + sound.float()
        fault = torch.stack([torch.full_like(kind, step), kind, torch.full_like(kind, rate)])
        self.fault.copy_(torch.where(first, fault, self.fault))

    @torch.no_grad()
    def refuse(self, image: Tensor, *, after: int, rate: float) -> None:
        """Puts the last good picture in the place of one whose loss is not finite, and notes that.

        Args:
            image: (1, 3, H, W), changed in place.
            after: the step that made it; it counts as a fault of the next one.
            rate: of that step.
        """
        image.copy_(self.good)
        self.fault.copy_(torch.tensor([after + 1, _KINDS.index("loss"), rate]))

    def divergence(self) -> Divergence | None:
        """The first fault, if there was one; waits for the device."""
        step, kind, rate = self.fault.tolist()
        if not step:
            return None
        what = _KINDS[int(kind)]
        made = int(step) - (1 if what == "picture" else 2)  # a step's loss is of the one before
        return Divergence(int(step), what, rate, last_good=max(self._first_step, made))
