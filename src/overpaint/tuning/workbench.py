"""Trials of learning rates under one set of settings: same start, same losses, same seed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from overpaint.building.encoder import build_encoder, choose_precision
from overpaint.building.objective import Problem, build_problem
from overpaint.building.optimizer import build_scheduled_optimizer
from overpaint.building.sources import Sources
from overpaint.errors import ConfigError, lookup
from overpaint.losses.normalizations import NORMALIZATIONS
from overpaint.optimisation.device import autocast, choose_device, exact_cudnn
from overpaint.optimisation.optimizers import (
    LONGEST_STEP,
    OPTIMIZERS,
    SHORTEST_STEP,
    rates_by_length,
)
from overpaint.optimisation.verdicts import CLAMPED_MARGIN
from overpaint.pictures.tensors import clamped_share, to_tensor
from overpaint.settings.schema import Config
from overpaint.tuning.search import Trial
from overpaint.tuning.trials import Build, gradients_of, run_trials

# Pixels optimised together, at most: on a CPU more than fits into its caches is slower, and a GPU
# has to hold some 2 GB of feature maps for a million.
PIXELS_ON_A_CPU, PIXELS_ON_A_GPU = 160_000, 2_000_000


@dataclass(frozen=True)
class Workbench:
    """What trials need; rates that come and go are those of the result's size."""

    config: Config
    """The settings of the trials: at their size, with weights that give the run's balance."""
    problem: Problem
    precision: str
    rate_unit: float
    """What a rate at the result's size is divided by at the size of the trials."""
    usual_clamped: float
    """The largest share of values at the ends of their range in photo, paintings and start."""

    @property
    def batch(self) -> int:
        """How many rates are run together."""
        height, width = self.problem.image.shape[-2:]
        is_cpu = self.problem.image.device.type == "cpu"
        return max(1, (PIXELS_ON_A_CPU if is_cpu else PIXELS_ON_A_GPU) // int(height * width))

    def try_rates(
        self, rates: Sequence[float], steps: int, *, pictures_at: Collection[int] = ()
    ) -> list[Trial]:
        """Runs equal trials at several rates, with the run's schedule over their steps.

        As many of them as suit the device are run together.

        Args:
            rates: learning rates; one that stands twice is tried once.
            steps: of each trial.
            pictures_at: steps after which pictures are wanted, beside the last one.
        """
        rates, trials = list(dict.fromkeys(rates)), list[Trial]()
        for first in range(0, len(rates), self.batch):
            some = rates[first : first + self.batch]
            builders = {rate: self._builder(rate, steps) for rate in some}
            trials += self._run(builders, steps, pictures_at)
        return trials

    def range_test(self, rates: Sequence[float]) -> tuple[float, ...]:
        """The losses of one run whose rate rises: before its first step and after each one.

        Smith 2015 (arXiv:1506.01186), section 3.3.

        Args:
            rates: one a step.
        """

        def build(image: nn.Parameter) -> tuple[Optimizer, LambdaLR]:
            optimizer, _ = self._builder(rates[0], len(rates))(image)
            last = len(rates) - 1
            return optimizer, LambdaLR(optimizer, lambda step: rates[min(step, last)] / rates[0])

        (trial,) = self._run({rates[0]: build}, len(rates), ())
        return trial.losses

    def rates_by_length(
        self, shortest: float = SHORTEST_STEP, longest: float = LONGEST_STEP
    ) -> tuple[float, float]:
        """The rates whose first steps have two mean lengths, as `optimizers.rates_by_length` says.

        Raises:
            ConfigError: if the start has no gradient, or one that is not finite.
        """
        _, (gradient,) = gradients_of([self.problem.image], self._measure)
        name = self.config.optimizer.name
        try:
            rates = rates_by_length(name, gradient, shortest, longest)
        except ValueError as error:
            raise ConfigError(f"No rate changes the picture: {error}.") from error
        return rates[0] * self.rate_unit, rates[1] * self.rate_unit

    def _builder(self, rate: float, steps: int) -> Build:
        config = replace(
            self.config,
            optimizer=replace(self.config.optimizer, lr=rate / self.rate_unit),
            schedule=replace(self.config.schedule, steps=steps),
        )
        return lambda image: build_scheduled_optimizer(config, 0, image)

    def _run(self, builders: Mapping[float, Build], steps: int, at: Collection[int]) -> list[Trial]:
        with exact_cudnn(self.precision):
            return run_trials(
                self.problem.image,
                self._measure,
                builders,
                steps=steps,
                pictures_at=at,
                loss_scale=self.problem.loss_scale,
                most_clamped=self.usual_clamped + CLAMPED_MARGIN,
                show=self.problem.show,
            )

    def _measure(self, images: Tensor) -> Tensor:
        with autocast(images.device, self.precision):
            total: Tensor = self.problem.objective(images).total
        return total


def open_workbench(config: Config, sources: Sources) -> Workbench:
    """Prepares trials at `tune.size`, or at `image.size` if that is smaller.

    Where the small size is too small for the encoder's layers, it is the least that is not.

    Args:
        config: checked settings of the run that a rate is wanted for.
        sources: what that run reads.
    """
    device = choose_device(config.trainer.accelerator)
    precision = choose_precision(config, device)
    encoder = build_encoder(config, sources.weights, device, precision)
    scale = config.style.scale
    least = sources.inputs.smallest_edge(encoder.minimum_edge, style_scale=scale)
    size = min(config.image.size, max(config.tune.size, least))
    small = at_size(config, size)
    sized = sources.inputs.at(size, style_scale=scale)
    with autocast(device, precision), exact_cudnn(precision):
        problem = build_problem(small, sized, encoder, precision)
    pictures = [to_tensor(picture) for picture in (sized.content, *sized.styles)]
    entry = lookup(OPTIMIZERS, config.optimizer.name, "optimizer.name")
    return Workbench(
        config=small,
        problem=problem,
        precision=precision,
        rate_unit=1.0 if entry.scale_free else (config.image.size / size) ** 2,
        usual_clamped=max(clamped_share(one) for one in (problem.image.detach(), *pictures)),
    )


def at_size(config: Config, size: int) -> Config:
    """The same problem at another size: weights make up for what losses lose with the pixels.

    With them a trial's total loss is about that of a run at the size of `config`, and content and
    style keep their balance. One pixel then stands for several, so the gradient of each is larger
    by as much, which gradient descent feels and Adam and L-BFGS do not.

    Args:
        config: checked settings.
        size: longer edge, in pixels.
    """
    pixels = (config.image.size / size) ** 2
    content, style = NORMALIZATIONS[config.loss.normalization].growth
    return replace(
        config,
        content=replace(config.content, weight=config.content.weight * pixels**content),
        style=replace(config.style, weight=config.style.weight * pixels**style),
        image=replace(config.image, size=size),
    )
