"""Going on with a run that was interrupted, killed, or cut short by a power cut."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from PIL import Image
from rich.console import Console

from overpaint.building.shelf import ALONE, Siblings
from overpaint.building.sources import read_sources
from overpaint.errors import CheckpointError, ConfigError
from overpaint.files import remove_leftovers
from overpaint.pictures.quiet import ANY_SIZE, pixels_at_most, quiet_pillow
from overpaint.processes.places import Place
from overpaint.records.checkpoints import CheckpointFolder, Origin
from overpaint.records.environment import versions
from overpaint.records.result import RunResult
from overpaint.runs.job import Job, input_hashes
from overpaint.runs.kept import Kept
from overpaint.runs.several.together import place_in, take_part
from overpaint.runs.stylize import carry_out
from overpaint.settings.differences import differing_settings
from overpaint.settings.reading import load_config
from overpaint.settings.schema import Config

logger = logging.getLogger(__name__)

# What may differ from what a run began with: it does not touch the picture, the number of processes
# but for the last bits. `schedule.steps` may grow.
_FREE = (
    *("tracking.", "output.copy", "output.depth", "output.exif", "output.timelapse"),
    *("output.preview", "snapshots.", "checkpoint.", "tune."),
    *("trainer.devices", "trainer.num_nodes"),
)


def resume(
    run: str | Path,
    *settings: str,
    values: Mapping[str, Any] | None = None,
    console: Console | None = None,
    callbacks: Sequence[pl.Callback] = (),
    siblings: Siblings = ALONE,
) -> RunResult | None:
    """Goes on with a run that did not end, from its newest checkpoint.

    The picture and metrics.csv come out as if it had never stopped, bit for bit on one machine
    with the same versions. A run that was stopped before its first checkpoint begins again.

    Args:
        run: its folder.
        settings: `key=value` words. Those of tracking, snapshots, checkpoints and the copy may be
            others than before, and `schedule.steps` may be more: the sizes that are left share
            what is left.
        values: dotted key to value, taken as they are.
        console: a terminal or notebook to draw a progress bar on.
        callbacks: further Lightning callbacks.
        siblings: of a run that is one of several.

    Returns:
        As `stylize` does; None if the run is done already.

    Raises:
        CheckpointError: if the folder holds no run that can go on, another process paints there, or
            a picture or the weights are not those that it began with.
        ConfigError: if settings cannot be run, or differ from those that it began with.
        And what `stylize` raises.
    """
    folder = Path(run).expanduser().absolute()
    checkpoints = CheckpointFolder(folder)
    if not checkpoints.settings.is_file():
        _require_done(folder)
        checkpoints.finish()  # a process killed in its last moments
        return None
    config = _settings(checkpoints, settings, values or {})
    place = place_in(config)
    if not place.is_first:
        return take_part(place, config.trainer.accelerator)
    with checkpoints.locked():
        job = _prepare(config, checkpoints, siblings, place)
        for part in (folder, folder / "snapshots", checkpoints.path):
            remove_leftovers(part)
        if config.output.copy:
            remove_leftovers(Path(config.output.copy))
        return carry_out(job, console=console, callbacks=callbacks)


def _prepare(
    config: Config, checkpoints: CheckpointFolder, siblings: Siblings, place: Place
) -> Job:
    """Reads what the run reads, and where it goes on from."""
    origin = checkpoints.origin()
    sources = read_sources(config, shelf=siblings.shelf)
    hashes = input_hashes(config, sources)
    for setting, sha256 in hashes.items():
        _require_same(setting, "picture", sha256, origin.inputs.get(setting))
    _require_same("encoder.weights", "file", sources.weights.sha256, origin.weights_sha256)
    newest = checkpoints.newest()
    kept = None if newest is None else Kept(*newest)
    _tell(kept, origin)
    return Job(
        config,
        sources,
        hashes,
        checkpoints,
        kept=kept,
        tracking_id=origin.tracking_id,
        siblings=siblings,
        place=place,
    )


def _settings(
    checkpoints: CheckpointFolder, words: Sequence[str], values: Mapping[str, Any]
) -> Config:
    """The settings of the run with what may be changed.

    Raises:
        ConfigError: if something else is changed.
    """
    path = checkpoints.whole_settings()
    before = load_config(path, with_files=False)  # its places may have moved
    config = load_config(path, words, values=values)
    problems = []
    for key, (old, new) in differing_settings(before, config).items():
        if key == "schedule.steps" and new < old:
            problems.append(f"{key}: {new} is less than {old}; a run that goes on may only grow.")
        elif key != "schedule.steps" and not key.startswith(_FREE):
            problems.append(
                f"{key}: {new!r}, but the run began with {old!r}; to change it, start a new run."
            )
    if problems:
        raise ConfigError(problems)
    return config


def _require_same(setting: str, what: str, found: str, before: str | None) -> None:
    if found != before:
        raise CheckpointError(
            f"{setting}: not the {what} that the run began with "
            f"(sha256 {found[:12]}, not {str(before)[:12]})."
        )


def _tell(kept: Kept | None, origin: Origin) -> None:
    if kept is None:
        logger.info("There is no checkpoint yet; the run begins again.")
    else:
        logger.info("Going on after step %d.", kept.completed)
    for package, version in versions().items():
        before = origin.versions.get(package)
        if before != version:
            logger.warning(
                "%s is %s and was %s: the picture may differ in its last bits.",
                *(package, version, before),
            )


def _require_done(folder: Path) -> None:
    """Says that a run is done.

    Raises:
        CheckpointError: if it is not, or is no run.
    """
    try:
        facts = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
        interrupted, diverged, steps = (facts[key] for key in ("interrupted", "diverged", "steps"))
        with quiet_pillow(), pixels_at_most(ANY_SIZE), Image.open(folder / "result.png") as picture:
            picture.verify()
    except (OSError, ValueError, KeyError, TypeError, SyntaxError):
        raise CheckpointError(
            f"'{folder}' is no folder of a run that can go on: no checkpoints, and no result."
        ) from None
    if diverged:
        raise CheckpointError(
            f"'{folder}': {diverged} Such a run cannot go on; start a new one with another rate."
        )
    if interrupted:
        raise CheckpointError(
            f"'{folder}' was interrupted after step {steps} and has no checkpoints any more; start "
            "a new run."
        )
    logger.info("The run is done: %s (%d steps).", folder / "result.png", steps)
