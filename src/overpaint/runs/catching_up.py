"""Telling a tracker what a run did before it went on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from overpaint.errors import ImageError
from overpaint.pictures.io import read_result
from overpaint.records.run_folder import pictures_by_step
from overpaint.runs.kept import Kept
from overpaint.tracking import keys
from overpaint.tracking.port import Tracker


def catch_up(
    tracker: Tracker, kept: Kept, snapshots: Path, is_published: Callable[[int], bool]
) -> None:
    """Logs numbers, snapshots and warnings up to a checkpoint; trackers drop what they have.

    Args:
        tracker: newly opened.
        kept: where the run goes on from.
        snapshots: the folder of its snapshots.
        is_published: whether the snapshot of a step is told.
    """
    rows = {int(row["step"]): row for row in kept.history}
    found = pictures_by_step(snapshots)
    pictures = {step: path for step, path in found.items() if is_published(step)}
    for step in sorted({*rows, *pictures}):
        if step > kept.completed:
            break
        if step in rows:
            numbers = {name: value for name, value in rows[step].items() if name != "step"}
            for logger in tracker.loggers:
                logger.log_metrics(numbers, step=step)
        if step in pictures:
            try:
                tracker.log_snapshot(step, read_result(pictures[step]))
            except ImageError:  # cut short when the run was
                continue
    tracker.summarise({keys.rate_warning(one["kind"]): one["message"] for one in kept.findings})
