"""The time-lapse of a run, from what its folder holds. PyTorch is not needed."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from overpaint.errors import ConfigError, ImageError, brief
from overpaint.files import named_file, require_writable
from overpaint.pictures.io import read_result
from overpaint.records.environment import read_facts
from overpaint.records.run_folder import frames_folder, pictures_by_step
from overpaint.reports.film import FILM_SUFFIXES, film_suffix, has_h264, save_film

logger = logging.getLogger(__name__)


def film(run: str | Path, output: str | Path | None = None) -> Path:
    """Makes a time-lapse of the snapshots of a run, finished or stopped.

    Args:
        run: its folder.
        output: a file that ends in .mp4 or .webp; by default `timelapse` in that folder.

    Returns:
        The path of the film.

    Raises:
        ConfigError: if there is no such run, it left no snapshots, or the file cannot be one.
        WriteError: if it cannot be written.
    """
    folder = Path(os.path.expanduser(run))
    if not os.path.isdir(folder):
        raise ConfigError(f"film: no such folder: '{run}' (from {Path.cwd()}).")
    path = folder / f"timelapse{film_suffix()}" if output is None else _named(output)
    require_writable(path, f"film: '{path}'")
    pictures = _pictures(folder)
    last, step = _end(folder, pictures)
    before = [picture for at, picture in pictures.items() if at < step]
    if last is None or not before:
        raise ConfigError(
            f"film: '{run}' holds no snapshots of a run to make a film of; runs leave them in "
            "snapshots/, after the steps that snapshots.every and snapshots.steps say."
        )
    logger.info("Time-lapse: %s (%.1f s)", path, save_film(before, last, path))
    return path


@contextmanager
def timelapse_kept(run: Path, last: Image.Image, step: int) -> Iterator[None]:
    """Makes the time-lapse of a run that has just ended or stopped, beside what is done inside.

    The encoder needs no interpreter, and whoever writes files and talks to a tracker waits much. A
    failure costs a warning.

    Args:
        run: its folder.
        last: the picture that it ended with.
        step: of that picture.
    """
    path = run / f"timelapse{film_suffix()}"
    before = [picture for at, picture in _pictures(run).items() if at < step]
    with ThreadPoolExecutor(max_workers=1) as beside:
        seconds = beside.submit(save_film, before, last, path)
        try:
            yield
        finally:
            try:
                logger.info("Time-lapse: %s (%.1f s)", path, seconds.result())
            except Exception as error:  # codecs raise all kinds, none worth a finished picture
                logger.warning("There is no time-lapse (%s); the picture is whole.", brief(error))


def _pictures(run: Path) -> dict[int, Path]:
    """Pictures by step: those that the run keeps for its film, and snapshots of the time before."""
    frames = pictures_by_step(frames_folder(run))
    first = min(frames, default=None)
    snapshots = pictures_by_step(run / "snapshots")
    early = {step: path for step, path in snapshots.items() if first is None or step < first}
    return {**early, **frames}


def _end(run: Path, pictures: dict[int, Path]) -> tuple[Image.Image | None, int]:
    """The newest picture and its step: the result, unless a run that goes on is past it."""
    result, done = run / "result.png", _steps_done(run)
    candidates = [*sorted(pictures.items(), reverse=True)]
    newest = candidates[0][0] if candidates else 0
    if done is None or done >= newest:
        candidates.insert(0, (newest + 1 if done is None else done, result))
    for step, path in candidates:
        try:
            return read_result(path), step
        except ImageError:  # not there, or cut short when the run was
            continue
    return None, 0


def _steps_done(run: Path) -> int | None:
    """The step of `result.png`, if the run says so."""
    try:
        return int(read_facts(run)["steps"])
    except (ValueError, KeyError, TypeError):
        return None


def _named(output: str | Path) -> Path:
    """The file of a film.

    Raises:
        ConfigError: if it cannot be one.
    """
    if Path(output).suffix.lower() == ".mp4" and not has_h264():
        raise ConfigError(
            f"film: '{output}' needs an encoder of H.264: pip install 'overpaint[film]'; "
            "or name a .webp."
        )
    return named_file(output, FILM_SUFFIXES, "film")
