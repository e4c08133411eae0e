"""The picture as the only trainable parameter of a LightningModule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from overpaint.losses.objective import LossTerms, Objective
from overpaint.optimisation.guard import Divergence, FiniteGuard
from overpaint.optimisation.step import Show, grey_levels_moved, project, unchanged

Measure = Callable[[Objective, Tensor], LossTerms]

# Of a checkpoint, beside what Lightning keeps: what is computed from the start of a size.
_EXTRA = "size"


@dataclass(frozen=True)
class StepReport:
    """What one logged step did."""

    step: int
    """Counted from 1 over the whole run."""
    terms: LossTerms
    """Of the image before the step."""
    moved: Tensor
    """Mean absolute change of the image in the step, (1,), in grey levels of 255."""
    rate: float
    """Learning rate of the step."""
    evaluations: int
    """Forward and backward passes so far."""

    @cached_property
    def losses(self) -> dict[str, float]:
        """The terms by name, as numbers: `total`, `content`, `style`, ...; waits for the device."""
        terms = self.terms.named()
        return dict(zip(terms, torch.cat([*terms.values()]).tolist(), strict=True))


class StyleTransferModule(pl.LightningModule):
    """Optimises an image until its features agree with the targets of an objective.

    Args:
        image: (1, 3, H, W), sRGB in [0, 1]: the start, which the steps change in place.
        objective: the losses with their targets, over the frozen encoder.
        build_optimizer: makes the optimiser for the image, and its rate schedule if there is one.
        steps: the last step of the run, for logging.
        first_step: steps that the run has done before, at smaller sizes.
        evaluations: forward and backward passes that the run has done before.
        log_every: step 1, each multiple of this and the last step are reported.
        loss_scale: factor of the loss that the optimiser sees; reported losses are without it.
        measure: how the objective measures the image; a compiled form may take its place.
        show: what makes the picture to be seen of the image.

    Steps count from 1. A reported loss belongs to the image before its step. A checkpoint holds the
    image and what the steps have made of it; encoder and targets are built anew.
    """

    strict_loading = False  # encoder and targets are not in checkpoints

    def __init__(
        self,
        image: nn.Parameter,
        objective: Objective,
        *,
        build_optimizer: Callable[[nn.Parameter], OptimizerLRScheduler],
        steps: int,
        first_step: int = 0,
        evaluations: int = 0,
        log_every: int = 10,
        loss_scale: float = 1.0,
        measure: Measure = Objective.forward,
        show: Show = unchanged,
    ) -> None:
        super().__init__()
        self.image = image
        self.objective = objective
        self.guard = FiniteGuard(image, first_step=first_step)
        self.evaluations = evaluations
        self.report: StepReport | None = None
        """Of the last step, if it is one of those to be logged."""
        self._build_optimizer = build_optimizer
        self._steps = steps
        self.first_step = first_step
        """Steps that the run has done before, at smaller sizes."""
        self._log_every = log_every
        self._loss_scale = loss_scale
        self._measure = measure
        self._show = show
        self._rate = 0.0  # of the last step
        self.last_terms: LossTerms
        """Of the last evaluation."""

    def forward(self, image: Tensor) -> LossTerms:
        """The losses of any (B, 3, H, W) images."""
        terms: LossTerms = self.objective(image)
        return terms

    def shown(self) -> Tensor:
        """The image as people see it, (1, 3, H, W), sRGB in [0, 1]."""
        return self._show(self.image.detach())

    @property
    def completed(self) -> int:
        """Steps that the run has done, at this size and smaller ones."""
        return self.first_step + self.global_step

    def is_logged(self, step: int) -> bool:
        """Whether `step` is reported."""
        return step == 1 or step % self._log_every == 0 or step == self._steps

    def divergence(self) -> Divergence | None:
        """Where these steps left the finite numbers, if they did; waits for the device."""
        return self.guard.divergence()

    @torch.no_grad()
    def conclude(self) -> LossTerms:
        """The losses of the picture as it is, which no step has measured; waits for the device.

        If their total is not finite, the last good picture takes its place, and `divergence` tells.
        """
        terms = self.forward(self.image)
        if self.global_step == 0 or self.divergence() or torch.isfinite(terms.total).all():
            return terms
        self.guard.refuse(self.image, after=self.completed, rate=self._rate)
        return self.forward(self.image)

    def state_dict(  # type: ignore[override]  # PyTorch's has overloads
        self, *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        """The image and its guard alone."""
        state: dict[str, Any] = super().state_dict(*args, **kwargs)
        return {name: one for name, one in state.items() if not name.startswith("objective.")}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what belongs to the size and is no tensor."""
        checkpoint[_EXTRA] = {
            "first_step": self.first_step,
            "completed": self.completed,
            "evaluations": self.evaluations,
            "loss_scale": self._loss_scale,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes it back; the scale of the loss is that of the size's own start."""
        self.evaluations = checkpoint[_EXTRA]["evaluations"]
        self._loss_scale = checkpoint[_EXTRA]["loss_scale"]

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimiser of the image alone, with its rate schedule."""
        return self._build_optimizer(self.image)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """J_total of the image; the closure that the optimiser calls, perhaps repeatedly."""
        self.last_terms = self._measure(self.objective, self.image)
        return self.last_terms.total.sum() * self._loss_scale

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Any,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        """One step, kept finite and projected to [0, 1].

        Raises:
            BaseException: what the step raises; the image is then the one before it, so that an
                interrupt leaves a whole step and no trial point of a line search.
        """
        assert optimizer_closure is not None
        step, before = self.completed + 1, self.image.detach().clone()
        evaluate = _Evaluations(self, optimizer_closure, keep_terms=self.is_logged(step))
        try:
            optimizer.step(evaluate)
            rate = self._rate = float(optimizer.param_groups[0]["lr"])
            self.guard.keep_finite(
                self.image,
                before,
                loss=evaluate.loss_is_finite,
                gradient=evaluate.gradient_is_finite,
                step=step,
                rate=rate,
            )
            project(self.image)
        except BaseException:
            with torch.no_grad():
                self.image.copy_(before)
            raise
        self.report = None
        if evaluate.terms:
            moved = grey_levels_moved(before, self.image.detach())
            self.report = StepReport(step, evaluate.terms, moved, rate, self.evaluations)


class _Evaluations:
    """The closure of one step: counts its calls, and keeps what the first of them found.

    The first is for the image before the step; further ones try points of a line search.
    """

    loss_is_finite: Tensor
    gradient_is_finite: Tensor

    def __init__(
        self, module: StyleTransferModule, closure: Callable[[], Any], *, keep_terms: bool
    ) -> None:
        self.terms: LossTerms | None = None
        self._module = module
        self._closure = closure
        self._keep_terms = keep_terms
        self._is_first = True

    def __call__(self) -> Any:
        self._module.evaluations += 1
        loss = self._closure()
        if self._is_first:
            self._is_first = False
            gradient = self._module.image.grad
            assert gradient is not None
            # A copy, for a CUDA graph overwrites what it returned before.
            self.terms = self._module.last_terms.copied() if self._keep_terms else None
            self.loss_is_finite, self.gradient_is_finite = (
                torch.isfinite(x).all() for x in (loss, gradient)
            )
        return loss
