"""The tracker of a run folder."""

from __future__ import annotations

from pathlib import Path

from overpaint.encoder.weights import VggWeights
from overpaint.records.environment import versions
from overpaint.settings.schema import Config
from overpaint.settings.writing import to_dict
from overpaint.tracking.port import Tracker
from overpaint.tracking.wandb.opening import open_wandb


def open_tracking(
    config: Config,
    folder: Path,
    weights: VggWeights,
    *,
    job_type: str = "stylize",
    mode: str | None = None,
    group: str | None = None,
    name: str | None = None,
    run_id: str | None = None,
) -> Tracker:
    """Opens the tracked run of a run folder.

    Args:
        config: resolved settings; the run is described by `tracking` and logs all of them.
        folder: the run folder.
        weights: of the encoder.
        job_type: what the run does.
        mode: in the place of `tracking.mode`.
        group: in the place of `tracking.group`.
        name: in the place of `tracking.name`; the folder's name if there is neither.
        run_id: of a tracked run that goes on.

    Raises:
        TrackingError: if the mode is `online` and W&B cannot be reached.
    """
    tracking = config.tracking
    facts = {
        **to_dict(config),
        "weights_sha256": weights.sha256,
        "versions": versions(),
    }
    return open_wandb(
        mode or tracking.mode,
        directory=folder,
        project=tracking.project,
        name=name or tracking.name or folder.name,
        entity=tracking.entity,
        group=group or tracking.group,
        tags=tracking.tags,
        notes=tracking.notes,
        job_type=job_type,
        run_id=run_id,
        config=facts,
    )
