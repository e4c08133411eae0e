"""The tracker of a run folder."""

from __future__ import annotations

from pathlib import Path

from overpaint.encoder.weights import VggWeights
from overpaint.records.environment import versions
from overpaint.settings.schema import PROJECT, Config
from overpaint.settings.writing import to_dict
from overpaint.tracking.port import Tracker
from overpaint.tracking.wandb.naming import RunNames
from overpaint.tracking.wandb.opening import open_wandb


def open_tracking(
    config: Config,
    folder: Path,
    weights: VggWeights,
    *,
    job_type: str | None = None,
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
        job_type: what the run does; `stylize` if neither this nor WANDB_JOB_TYPE says.
        mode: in the place of `tracking.mode`; where that is `auto`, the next best will do.
        group: where neither `tracking.group` nor WANDB_RUN_GROUP names one.
        name: in the place of `tracking.name`; the folder's name where WANDB_NAME has none either.
        run_id: of a tracked run that goes on.

    Raises:
        TrackingError: if `tracking.mode` is `online` or `offline` and cannot be had.
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
        names=RunNames(
            project=tracking.project,
            name=name or tracking.name,
            entity=tracking.entity,
            group=tracking.group,
            tags=tracking.tags,
            notes=tracking.notes,
            job_type=job_type,
        ),
        defaults=RunNames(project=PROJECT, name=folder.name, group=group, job_type="stylize"),
        run_id=run_id,
        config=facts,
        is_required=tracking.mode != "auto",
    )
