"""The picture as the only trainable parameter of a LightningModule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from overpaint.encoder.vgg import Vgg19Features
from overpaint.losses.objective import LossTerms, StyleObjective

Measure = Callable[[StyleObjective, Vgg19Features, Tensor], LossTerms]

_NEVER = 2**62  # for Trainer.log_every_n_steps
_FAULTS = ("", "loss", "gradient", "picture")


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


class StyleTransferModule(pl.LightningModule):
    """Optimises an image until its features agree with the targets of an objective.

    Args:
        image: (1, 3, H, W), sRGB in [0, 1]: the start; it is copied.
        encoder: the frozen network.
        objective: the losses with their targets.
        build_optimizer: makes the optimiser for the image, and its rate schedule if there is one.
        steps: the last step of the run, for logging.
        first_step: steps that the run has done before, at smaller sizes.
        evaluations: forward and backward passes that the run has done before.
        log_every: numbers are logged at step 1, at each multiple of this and at the last step.
        loss_scale: factor of the loss that the optimiser sees; logged losses are without it.

    Steps count from 1. A logged loss belongs to the image before its step.
    """

    def __init__(
        self,
        image: Tensor,
        encoder: Vgg19Features,
        objective: StyleObjective,
        *,
        build_optimizer: Callable[[nn.Parameter], OptimizerLRScheduler],
        steps: int,
        first_step: int = 0,
        evaluations: int = 0,
        log_every: int = 10,
        loss_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.image = nn.Parameter(image.detach().clone())
        self.encoder = encoder
        self.objective = objective
        self.evaluations = evaluations
        self.measure: Measure = (
            StyleObjective.measure
        )  # of the steps; a compiled form may take its place
        self._build_optimizer = build_optimizer
        self._steps = steps
        self._first_step = first_step
        self._log_every = log_every
        self._loss_scale = loss_scale
        self._is_trial = False
        # Both stay on the device: what is not finite is put right without asking for it.
        self._good: Tensor  # the last picture of finite loss and gradient
        self._fault: Tensor  # first faulty step, place in _FAULTS, rate; zeros while all is well
        self.register_buffer("_good", image.detach().clone(), persistent=False)
        self.register_buffer("_fault", torch.zeros(3), persistent=False)

    def forward(self, image: Tensor) -> LossTerms:
        """The losses of any (B, 3, H, W) images."""
        return self.objective.measure(self.encoder, image)

    @property
    def completed(self) -> int:
        """Steps that the run has done, at this size and smaller ones."""
        return self._first_step + self.global_step

    def is_logged(self, step: int) -> bool:
        """Whether numbers are logged at `step`."""
        return step == 1 or step % self._log_every == 0 or step == self._steps

    def train(self, mode: bool = True) -> StyleTransferModule:
        """Switches the mode of everything but the encoder, which stays in evaluation mode."""
        super().train(mode)
        self.encoder.eval()
        return self

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimiser of the image alone, with its rate schedule."""
        return self._build_optimizer(self.image)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Lets Lightning read the logged tensors in this step only if there are new ones."""
        interval = 1 if self.is_logged(self.completed + 1) else _NEVER
        self.trainer.log_every_n_steps = interval  # type: ignore[attr-defined]

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The total loss of the image; the closure that the optimiser calls, perhaps repeatedly."""
        terms = self.measure(self.objective, self.encoder, self.image)
        step = self.completed + 1
        if self.is_logged(step) and not self._is_trial:
            self._log_terms(step, terms)
        return terms.total.sum() * self._loss_scale

    def _log_terms(self, step: int, terms: LossTerms) -> None:
        values: dict[str, Any] = {
            "step": float(step),  # Lightning takes a value of this name as the loggers' x axis
            "loss/total": terms.total.detach().sum(),
            "loss/content": terms.content.detach().sum(),
            "loss/style": terms.style.detach().sum(),
        }
        for layer, value in terms.style_layers.items():
            values[f"loss/style/{layer}"] = value.detach().sum()
        if terms.tv is not None:
            values["loss/tv"] = terms.tv.detach().sum()
        self.log_dict(values, batch_size=1)

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Any,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        """One step, then the projection to [0, 1]; measures how far the picture moved.

        Once a loss, a gradient or a picture is not finite, the picture stays the last good one.
        """
        assert optimizer_closure is not None
        step = self.completed + 1
        before = self.image.detach().clone()
        finite: list[Tensor] = []

        def counted() -> Any:
            self.evaluations += 1
            result = optimizer_closure()
            if not self._is_trial:
                assert self.image.grad is not None
                finite.extend(torch.isfinite(x).all() for x in (result, self.image.grad))
            self._is_trial = True  # further calls in this step try points of a line search
            return result

        self._is_trial = False
        try:
            super().optimizer_step(epoch, batch_idx, optimizer, counted)
            rate = float(optimizer.param_groups[0]["lr"])
            with torch.no_grad():
                self._keep_finite(step, rate, before, *finite)
                self.image.clamp_(0, 1)
        except BaseException:
            with torch.no_grad():
                self.image.copy_(before)  # an interrupt leaves a whole step, no line-search trial
            raise
        if self.is_logged(step):
            moved = (self.image.detach() - before).abs().mean() * 255
            values: dict[str, Any] = {
                "update/mean_abs": moved,
                "optimizer/lr": rate,
                "optimizer/evaluations": float(self.evaluations),
            }
            self.log_dict(values, batch_size=1)

    def _keep_finite(
        self, step: int, rate: float, before: Tensor, loss: Tensor, gradient: Tensor
    ) -> None:
        """Puts the last good picture back from the first fault on, and notes that fault.

        Args:
            step: this one.
            rate: of this step.
            before: (1, 3, H, W), the picture before it.
            loss: whether that picture's loss is finite; like `gradient` a boolean of no dimension.
            gradient: whether that picture's gradient is. Trial points of a line search do not
                count: the search may turn back from them.

        Only tensors decide here, for reading one would make every step wait for the device. The
        picture is judged before the clamp, which would make an infinite value black or white.
        """
        whole = self._fault[0] == 0
        sound = loss & gradient & whole
        self._good.copy_(torch.where(sound, before, self._good))
        picture = torch.isfinite(self.image).all()
        self.image.copy_(torch.where(sound & picture, self.image, self._good))
        first = whole & ~(sound & picture)
        kind = 1 + loss.float() + sound.float()
        fault = torch.stack([torch.full_like(kind, step), kind, torch.full_like(kind, rate)])
        self._fault.copy_(torch.where(first, fault, self._fault))

    def divergence(self) -> Divergence | None:
        """The first fault of these steps, if there was one; waits for the device."""
        step, kind, rate = self._fault.tolist()
        if not step:
            return None
        what = _FAULTS[int(kind)]
        made = int(step) - (1 if what == "picture" else 2)  # a step's loss is of the one before
        return Divergence(int(step), what, rate, last_good=max(self._first_step, made))
