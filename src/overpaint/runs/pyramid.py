"""The optimisation of one run, coarse to fine: one Lightning fit per size.

From one size to the next the picture is enlarged, with or without the photo's detail, or the paint
alone, which is its difference to the photo (`schedule.carry`); a picture that does not start from
the photo never gets its detail. The targets are computed anew, the step count and the rate schedule
go on, and the optimiser starts afresh, for its moments belong to other pixels.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Sequence

import pytorch_lightning as pl
from rich.console import Console

from overpaint.building.encoder import choose_precision
from overpaint.building.objective import as_shown, build_problem, enlarged
from overpaint.building.shelf import ALONE, Shelf, Siblings
from overpaint.building.sources import Sources
from overpaint.building.trainer import build_module, build_trainer
from overpaint.building.watch import build_watch
from overpaint.callbacks.divergence import StopWhenDiverged
from overpaint.callbacks.numbers import LogNumbers
from overpaint.callbacks.progress import ShowProgress
from overpaint.callbacks.stopping import StopTogether, StopWhenAsked
from overpaint.errors import LostProcessError
from overpaint.interrupts import Interrupts
from overpaint.optimisation.compiling import compiled_measure, is_compiling_wanted
from overpaint.optimisation.device import autocast, choose_device, device_name, exact_cudnn
from overpaint.optimisation.fit import fit, quiet_lightning
from overpaint.optimisation.guard import Divergence
from overpaint.optimisation.memory import (
    free_what_is_left,
    peak_memory_bytes,
    reset_peak_memory,
)
from overpaint.optimisation.module import StyleTransferModule
from overpaint.optimisation.schedule import Scale, plan_scales, replanned
from overpaint.optimisation.verdicts import Finding
from overpaint.pictures.tensors import to_deep_picture, to_picture
from overpaint.processes.team import ALONE_HERE, Team
from overpaint.records.result import PaintResult
from overpaint.runs.kept import Kept
from overpaint.settings.schema import Config

logger = logging.getLogger(__name__)


def optimise(
    config: Config,
    sources: Sources,
    *,
    interrupts: Interrupts,
    tune_command: str,
    kept: Kept | None = None,
    siblings: Siblings = ALONE,
    callbacks: Sequence[pl.Callback] = (),
    loggers: Sequence[pl.loggers.Logger] = (),
    on_finding: Callable[[Finding], None] | None = None,
    console: Console | None = None,
    team: Team = ALONE_HERE,
) -> PaintResult:
    """Runs all steps of all sizes.

    Args:
        config: resolved settings.
        sources: the pictures as they were read, and the encoder's weights.
        interrupts: of the run, held; a first one ends it after a whole step, with its picture.
        tune_command: what finds a learning rate, for messages.
        kept: a checkpoint of the run, to go on from.
        siblings: of a run that is one of several; their shelf may have the encoder already.
        callbacks: what else shall happen beside the steps; they see the fit of each size.
        loggers: take in the numbers of the logged steps.
        on_finding: is called with what is found about the learning rate.
        console: a terminal or notebook to draw a progress bar on.
        team: the processes that paint the picture; all of them call this with the same run.

    Returns:
        The picture as far as it got, with `interrupted`, `diverged` or `lost` set if it did not get
        there.

    Raises:
        LostProcessError: if another process was lost before there was a picture.
        KeyboardInterrupt: if there is no picture yet, or at the second interrupt.
    """
    overall = siblings.overall
    progress = ShowProgress(config.schedule.steps, console=console, overall=overall)
    watch = build_watch(config, sources.sized, tune_command, on_finding)
    pyramid = _Pyramid(
        config,
        sources,
        [*callbacks, progress, watch, StopWhenAsked(interrupts), StopTogether(team.agree)],
        loggers,
        kept,
        siblings.shelf or Shelf(),
        team,
    )
    progress.follow(pyramid.plan)
    with exact_cudnn(pyramid.precision), quiet_lightning(), contextlib.closing(progress):
        try:
            with team.losses_told():
                pyramid.paint(interrupts)
                return pyramid.conclude(warnings=tuple(watch.findings))
        except LostProcessError as lost:
            if not pyramid.is_measured:
                raise
            return pyramid.conclude(warnings=tuple(watch.findings), lost=str(lost))


class _Pyramid:
    """One run while it goes on: what is carried from one size to the next."""

    def __init__(
        self,
        config: Config,
        sources: Sources,
        callbacks: Sequence[pl.Callback],
        loggers: Sequence[pl.loggers.Logger],
        kept: Kept | None,
        shelf: Shelf,
        team: Team,
    ) -> None:
        self.interrupted = False
        self.divergence: Divergence | None = None
        self._config = config
        self._inputs = sources.inputs
        self._team = team
        self._device = choose_device(config.trainer.accelerator, team.place.device)
        self.precision = choose_precision(config, self._device)
        reset_peak_memory(self._device)
        self._shelf = shelf
        self._encoder = shelf.encoder(config, sources.weights, self._device, self.precision)
        self.plan = plan_scales(
            config.image.size,
            config.schedule.steps,
            scales=config.schedule.scales,
            shares=config.schedule.shares,
            smallest=self._inputs.smallest_edge(
                self._encoder.minimum_edge, style_scale=config.style.scale
            ),
        )
        self._sized = sources.sized
        self._numbers = LogNumbers()
        self._callbacks = [StopWhenDiverged(), self._numbers, *callbacks]
        self._loggers = loggers
        self._compiled = False
        self._began = time.monotonic()
        self._step_seconds = 0.0
        self._kept = kept
        if kept is not None:
            self.plan = replanned(
                self.plan,
                long_edge=max(kept.image.shape[-2:]),
                first_step=kept.first_step,
                completed=kept.completed,
            )
            self._began -= kept.seconds
            self._step_seconds = kept.step_seconds
        self._module: StyleTransferModule | None = None

    @property
    def is_measured(self) -> bool:
        """Whether losses at the size reached are known."""
        return self._module is not None and hasattr(self._module, "last_terms")

    def paint(self, interrupts: Interrupts) -> None:
        """The steps of all sizes, unless something ends them early."""
        # An interrupt of one process would leave the others waiting for its sums.
        at_once = interrupts.raised if self._team.is_alone else contextlib.nullcontext
        for scale in self.plan:
            try:
                with at_once():
                    self.prepare(scale)
            except KeyboardInterrupt:
                if interrupts.at_once or self._module is None:
                    raise
                self.interrupted = True
                break
            self.fit(scale, interrupts)
            if self.interrupted or self.divergence:
                break

    def prepare(self, scale: Scale) -> None:
        """The targets at one size, and the picture so far brought to it."""
        config = self._config
        free_what_is_left(scale.long_edge)
        sized = self._sized
        if scale.long_edge != config.image.size:
            sized = self._inputs.at(scale.long_edge, style_scale=config.style.scale)
        before, image = self._module, None
        if self._kept is not None:
            image = self._kept.image
        elif before is not None:
            image = enlarged(config, self._inputs, before.image.detach(), sized)
        with self._arithmetic():
            problem = build_problem(
                *(config, sized, self._encoder, self.precision),
                image=image,
                known=self._shelf.styles,
                share=self._team.share,
            )
        self._team.let_all_have(problem.image)
        measure = None
        wants = is_compiling_wanted(config.trainer.compile, self._device, config.schedule.steps)
        if wants and problem.objective.bands:
            logger.info("trainer.compile: a picture in bands is not compiled.")
        elif wants and self._team.is_alone:
            measure = compiled_measure(problem.objective, problem.image, autocast=self._arithmetic)
        self._compiled = self._compiled or measure is not None
        self._module = build_module(
            config,
            problem,
            scale,
            evaluations=before.evaluations if before is not None else 0,
            measure=measure,
        )

    def fit(self, scale: Scale, interrupts: Interrupts) -> None:
        """The steps of one size, or those that a checkpoint has left."""
        module, kept = self._module, self._kept
        assert module is not None
        self._announce(module, scale)
        self._kept = None
        trainer = build_trainer(
            *(self._config, self.precision, scale.steps, self._loggers, self._callbacks),
            self._team,
        )
        entered = time.monotonic()
        checkpoint = None if kept is None else kept.path
        broken_off = fit(
            trainer, module, scale.steps, checkpoint=checkpoint, number=self._team.place.number
        )
        if interrupts.at_once:
            raise KeyboardInterrupt
        is_asked = interrupts.asked and module.completed < self._config.schedule.steps
        self._step_seconds += time.monotonic() - entered
        module.to(self._device)  # Lightning moves it to the CPU at the end
        self.divergence = module.divergence()
        is_cut_short = module.completed < scale.first_step + scale.steps  # by some callback
        self.interrupted = self._team.agree(
            broken_off or is_asked or (is_cut_short and not self.divergence)
        )

    def conclude(self, *, warnings: tuple[Finding, ...], lost: str | None = None) -> PaintResult:
        """The picture at the result's size, with its losses at the size reached.

        Args:
            warnings: about the learning rate.
            lost: which other process was, without which nothing is measured any more.
        """
        module = self._module
        assert module is not None
        seconds = time.monotonic() - self._began
        with self._arithmetic():
            terms = (module.last_terms if lost else module.conclude()).named()
            self.divergence = module.divergence()
        image = enlarged(self._config, self._inputs, module.image.detach(), self._sized)
        shown = as_shown(self._sized)(image)
        return PaintResult(
            image=to_picture(shown),
            deep=to_deep_picture(shown) if self._config.output.depth == 16 else None,
            losses={name: value.item() for name, value in terms.items()},
            history=tuple(self._numbers.history),
            steps=self.divergence.last_good if self.divergence else module.completed,
            smaller_steps=module.first_step,
            evaluations=module.evaluations,
            seconds=seconds,
            step_seconds=self._step_seconds,
            interrupted=self.interrupted or lost is not None,
            device=device_name(self._device),
            precision=self.precision,
            compiled=self._compiled,
            peak_memory_bytes=peak_memory_bytes(self._device),
            diverged=self._diverged(),
            lost=lost,
            warnings=warnings,
        )

    def _arithmetic(self) -> contextlib.AbstractContextManager[None]:
        """What Lightning runs the steps under."""
        return autocast(self._device, self.precision)

    def _diverged(self) -> str | None:
        steps, rate = self._config.schedule.steps, self._config.optimizer.rate
        return self.divergence.in_words(steps, rate) if self.divergence else None

    def _announce(self, module: StyleTransferModule, scale: Scale) -> None:
        config = self._config
        height, width = module.image.shape[-2:]
        where = self._team.named(self._device, self._encoder.layers, height)
        logger.info(
            "%dx%d pixels on %s in %s: %d trainable values, %d steps of %s at lr %g, %s losses",
            *(width, height, where, self.precision, module.image.numel()),
            *(scale.steps, config.optimizer.name, config.optimizer.rate),
            config.loss.normalization,
        )
