"""One run from settings to files: read the inputs, optimise, write what the run leaves."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytorch_lightning as pl
from PIL import Image
from rich.console import Console

from overpaint.building.memory import shortage_told
from overpaint.building.places import require_places
from overpaint.building.shelf import ALONE, Siblings
from overpaint.building.sources import read_sources
from overpaint.building.tracking import open_tracking
from overpaint.callbacks.checkpoints import SaveCheckpoints
from overpaint.callbacks.frames import KeepFrames
from overpaint.callbacks.preview import Preview
from overpaint.callbacks.snapshots import Snapshots
from overpaint.callbacks.speed import MeasureSpeed
from overpaint.console import command
from overpaint.errors import DivergedError, LostProcessError
from overpaint.interrupts import Interrupts, followed_interrupts
from overpaint.records.checkpoints import CheckpointFolder, Origin
from overpaint.records.environment import versions
from overpaint.records.result import RunResult
from overpaint.records.run_folder import create_run_folder, frames_folder, kept_if_begun
from overpaint.records.settings import save_settings
from overpaint.reports.film import FILM_EDGE, film_steps
from overpaint.runs.catching_up import catch_up
from overpaint.runs.film import timelapse_kept
from overpaint.runs.job import Job, input_hashes
from overpaint.runs.pyramid import optimise
from overpaint.runs.saving import save_result
from overpaint.runs.several.together import Task, place_in, take_part, together
from overpaint.runs.telling import tell_inputs
from overpaint.settings.resolving import resolved
from overpaint.settings.schema import Config
from overpaint.settings.writing import repeatable, to_yaml, with_absolute_paths
from overpaint.tracking import keys
from overpaint.tracking.csv import CsvLogger
from overpaint.tracking.port import Tracker

logger = logging.getLogger(__name__)


def stylize(
    config: Config,
    *,
    console: Console | None = None,
    callbacks: Sequence[pl.Callback] = (),
    folder: Path | None = None,
    siblings: Siblings = ALONE,
) -> RunResult:
    """Turns a photo and paintings into a stylized picture, and records how.

    Args:
        config: settings, from `load_config` or made by hand.
        console: a terminal or notebook to draw a progress bar on; without one there are log lines.
        callbacks: further Lightning callbacks; they see the fit of each size, in the first process
            alone if there are several.
        folder: for the run, to be made; by default one in `output.dir`, named after the pictures.
        siblings: of a run that is one of several.

    Returns:
        The picture, its losses and the folder that holds everything. After Ctrl-C it is the picture
        as far as it got, with `interrupted` set, and `resume` goes on from there; likewise after
        SIGTERM if the caller has a handler that raises KeyboardInterrupt. If torchrun or Slurm
        started several processes for one picture, each returns it; the first one writes.

    Raises:
        ConfigError: if the settings cannot be run, or the accelerator asked for is not there.
        ImageError: if a picture cannot be read, or is too small.
        WriteError: if a file cannot be written; the others are there.
        WeightsError: if the encoder's weights cannot be had.
        NotEnoughMemoryError: if there is less memory than the size needs.
        DivergedError: if the run left the finite numbers; all that a run leaves is there, with the
            last good picture, and its `result` is what would have been returned.
        LostProcessError: if one of several processes ended before it was done; all that a run
            leaves is there, with the picture of the last whole step, and `result` is likewise set.
        TrackingError: if `tracking.mode` is `online` or `offline` and W&B cannot be had; in `auto`
            nothing that W&B does ends a run.
    """
    config = resolved(config)
    place = place_in(config)
    if not place.is_first:
        return take_part(place, config.trainer.accelerator)
    require_places(config, copied=True)
    sources = read_sources(config, shelf=siblings.shelf)
    hashes = input_hashes(config, sources)
    in_new_root = folder is None and not Path(config.output.dir).exists()
    if folder is None:
        folder = create_run_folder(config.output.dir, config.content.image, config.style.images)
    else:
        (folder / "snapshots").mkdir(parents=True)
    checkpoints = CheckpointFolder(folder)
    with kept_if_begun(folder, in_new_root=in_new_root), checkpoints.locked():
        job = Job(config, sources, hashes, checkpoints, place=place, siblings=siblings)
        return carry_out(job, console=console, callbacks=callbacks)


def carry_out(
    job: Job, *, console: Console | None = None, callbacks: Sequence[pl.Callback] = ()
) -> RunResult:
    """Does what is left of a run, in its folder; arguments and errors are those of `stylize`."""
    told = shortage_told(job.config, job.sources.inputs)
    is_led = job.place.processes > 1 and not job.place.starts_others
    with followed_interrupts(patient=is_led) as interrupts, told:
        tracker = _open(job)
        exit_code, result = 1, None
        try:
            with interrupts.held():
                painted = _optimise(job, interrupts, tracker, console, callbacks)
                with _timelapse(job, painted):
                    save_result(job, painted, tracker)
                if not painted.interrupted:
                    job.checkpoints.finish()
                result, exit_code = painted, _exit_code(painted)
        except KeyboardInterrupt:
            if result is None or interrupts.at_once:  # else all is written, and it came too late
                exit_code = 130
                raise
        finally:
            if not interrupts.at_once:
                _close(tracker, exit_code)
            if exit_code and job.checkpoints.has_any():
                again = f"{command('stylize')} --resume {shlex.quote(str(job.folder))}"
                logger.warning("To go on from here: %s", again)
    assert result is not None
    if result.lost:
        raise LostProcessError(
            f"{result.lost}; the picture is that of step {result.steps}: "
            f"{job.folder / 'result.png'}",
            result=result,
        )
    if result.diverged:
        raise DivergedError(
            f"{result.diverged} The last good picture, of step {result.steps}: "
            f"{job.folder / 'result.png'}",
            result=result,
        )
    return result


def _exit_code(result: RunResult) -> int:
    """What the tracker is told."""
    return 1 if result.diverged or result.lost else 130 if result.interrupted else 0


def _open(job: Job) -> Tracker:
    """Writes what a run begins with, and opens its tracker."""
    settings = with_absolute_paths(job.config)
    again = repeatable(settings, weights_sha256=job.sources.weights.sha256)
    save_settings(to_yaml(again), job.folder / "config.yaml")
    tracker = open_tracking(
        job.config,
        job.folder,
        job.sources.weights,
        group=job.siblings.group,
        run_id=job.tracking_id,
    )
    if tracker.message:
        logger.info("%s", tracker.message)
    origin = Origin(
        inputs=job.hashes,
        weights_sha256=job.sources.weights.sha256,
        versions=versions(),
        tracking_id=tracker.run_id or job.tracking_id,
    )
    job.checkpoints.begin(to_yaml(settings), origin)
    return tracker


def _close(tracker: Tracker, exit_code: int) -> None:
    try:
        tracker.finish(exit_code)
    except KeyboardInterrupt:
        logger.warning("W&B: the upload was cut short; finish it by `wandb sync --include-online`.")


def _optimise(
    job: Job,
    interrupts: Interrupts,
    tracker: Tracker,
    console: Console | None,
    callbacks: Sequence[pl.Callback],
) -> RunResult:
    config, folder, kept = job.config, job.folder, job.kept
    steps = config.schedule.steps
    late = [step for step in config.snapshots.steps if step > steps]
    if late:
        logger.info("snapshots.steps %s lie beyond the last step, %d.", late, steps)
    tell_inputs(tracker, config, job.sources, job.hashes)
    snapshots = Snapshots(
        folder / "snapshots",
        steps=config.snapshots.steps,
        every=config.snapshots.every,
        max_edge=config.snapshots.max_edge,
        last=steps,
        publish=_publisher(job, tracker, console),
    )
    if kept is not None:
        catch_up(tracker, kept, folder / "snapshots", snapshots.is_published)
    keeping = SaveCheckpoints(
        job.checkpoints.place,
        every_seconds=config.checkpoint.every_seconds,
        seconds=0.0 if kept is None else kept.seconds,
        step_seconds=0.0 if kept is None else kept.step_seconds,
    )
    rows = () if kept is None else kept.history
    tune = f"{command('tune-lr')} --config {shlex.quote(str(folder / 'config.yaml'))}"
    with together(job.place, Task(config, job.sources, kept, folder)) as team:
        painted = optimise(
            config,
            job.sources,
            interrupts=interrupts,
            tune_command=tune,
            kept=kept,
            siblings=job.siblings,
            callbacks=[
                *(snapshots, keeping, *_frames(job), MeasureSpeed(tracker.log_numbers)),
                *callbacks,
            ],
            loggers=[CsvLogger(folder / "metrics.csv", rows), *tracker.loggers],
            on_finding=lambda one: tracker.log_warning(keys.rate_warning(one.kind), one.message),
            console=console,
            team=team,
        )
    return RunResult(**vars(painted), folder=folder)


def _timelapse(job: Job, painted: RunResult) -> AbstractContextManager[None]:
    """Makes the time-lapse meanwhile, if there is to be one."""
    if not job.config.output.timelapse:
        return nullcontext()
    return timelapse_kept(job.folder, painted.image, painted.steps)


def _publisher(
    job: Job, tracker: Tracker, console: Console | None
) -> Callable[[int, Image.Image], None]:
    """What is done with snapshots, beside keeping them."""
    if not job.config.output.preview:
        return tracker.log_snapshot
    preview = Preview(job.folder / "preview.png", console=console)

    def publish(step: int, picture: Image.Image) -> None:
        preview.show(step, picture)
        tracker.log_snapshot(step, picture)

    return publish


def _frames(job: Job) -> list[pl.Callback]:
    """What keeps pictures for a time-lapse, if there is to be one."""
    if not job.config.output.timelapse:
        return []
    return [
        KeepFrames(
            frames_folder(job.folder),
            steps=film_steps(job.config.schedule.steps),
            edge=FILM_EDGE,
            completed=0 if job.kept is None else job.kept.completed,
        )
    ]
