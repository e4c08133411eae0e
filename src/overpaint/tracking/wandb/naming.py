"""What a W&B run is called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import wandb


@dataclass(frozen=True)
class RunNames:
    """What a run is called and where it belongs; what is None or empty is left open."""

    project: str | None = None
    name: str | None = None
    entity: str | None = None
    """User or team."""
    group: str | None = None
    """Runs of one group can be folded in the dashboard."""
    tags: Sequence[str] = ()
    notes: str | None = None
    job_type: str | None = None
    """What the run does; the dashboard can group by it."""


def named(names: RunNames, around: wandb.Settings, defaults: RunNames) -> dict[str, Any]:
    """What `wandb.init` is told.

    Settings win over the environment and wandb's files, those over defaults.

    Args:
        names: of the settings.
        around: what the environment and wandb's files say.
        defaults: where neither says anything.
    """
    said = RunNames(
        project=around.project,
        name=around.run_name,
        entity=around.entity,
        group=around.run_group,
        tags=tuple(around.run_tags or ()),
        notes=around.run_notes,
        job_type=around.run_job_type,
    )
    return {
        field.name: getattr(names, field.name)
        or getattr(said, field.name)
        or getattr(defaults, field.name)
        or None
        for field in fields(RunNames)
    }
