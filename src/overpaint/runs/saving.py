"""What a run leaves at its end."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from overpaint.errors import WriteError
from overpaint.files import put_off
from overpaint.losses.objective import MAIN_LOSSES
from overpaint.pictures.io import save_picture
from overpaint.records.environment import save_environment, versions
from overpaint.records.provenance import provenance_text
from overpaint.records.result import RunResult
from overpaint.runs.job import Job
from overpaint.runs.telling import tell_result
from overpaint.settings.writing import repeatable, to_yaml, with_absolute_paths
from overpaint.tracking import keys
from overpaint.tracking.port import Tracker

logger = logging.getLogger(__name__)


def save_result(job: Job, result: RunResult, tracker: Tracker) -> None:
    """Writes the picture and what the run says of itself, and tells the tracker.

    Args:
        job: the run.
        result: what it came to.
        tracker: is told after the files are written.

    Raises:
        WriteError: the first, if a file cannot be written; the others are written nevertheless.
    """
    config, weights, picture = job.config, job.sources.weights, result.folder / "result.png"
    text = provenance_text(
        to_yaml(repeatable(config, weights_sha256=weights.sha256)),
        inputs=job.hashes,
        versions=versions(),
        weights=f"{weights.name}, sha256 {weights.sha256}",
    )
    image = result.image if result.deep is None else result.deep
    kept = job.sources.inputs.carried
    exif = kept.exif if config.output.exif else None
    faults: list[WriteError] = []
    for path in (picture, config.output.copy):
        if path:
            with put_off(faults):
                save_picture(image, path, text, resolution=kept.resolution, exif=exif)
    facts = {
        **result.facts(),
        "tracking": tracker.mode,
        "weights": weights.facts(),
        "copy": with_absolute_paths(config).output.copy,
        "inputs": dict(job.hashes),
    }
    with put_off(faults):
        save_environment(result.folder / "environment.json", facts)
    _say_where(result, [picture, config.output.copy], faults)
    if result.diverged:
        tracker.log_warning(keys.DIVERGED, result.diverged)
    files = [path for path in (picture, result.folder / "config.yaml") if path.exists()]
    before = 0 if job.kept is None else job.kept.completed
    tell_result(tracker, config, job.sources, result, files, resumed_at=before)
    if faults:
        raise faults[0]


def _say_where(
    result: RunResult, pictures: Sequence[str | Path | None], faults: Sequence[WriteError]
) -> None:
    """Where the result is, and but for the first, which is raised, what could not be written."""
    unwritten = [fault.filename for fault in faults]
    written = [path for path in pictures if path and str(path) not in unwritten]
    if written:
        logger.info(
            "Result: %s (%d steps in %.1f s, %s)",
            *(written[0], result.steps, result.seconds),
            ", ".join(f"{name} {result.losses[name]:.4g}" for name in MAIN_LOSSES),
        )
    for fault in faults[1:]:
        logger.error("error: %s", fault)
