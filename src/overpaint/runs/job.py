"""What is to be done in one run folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from overpaint.building.shelf import ALONE, Siblings
from overpaint.building.sources import Sources
from overpaint.processes.places import Place
from overpaint.records.checkpoints import CheckpointFolder
from overpaint.runs.kept import Kept
from overpaint.settings.named import pictures_read
from overpaint.settings.schema import Config


@dataclass(frozen=True)
class Job:
    """A run that begins, or goes on."""

    config: Config
    """Resolved settings."""
    sources: Sources
    hashes: Mapping[str, str]
    """The setting of each picture to the SHA-256 of its file."""
    checkpoints: CheckpointFolder
    """Of the run folder; locked."""
    kept: Kept | None = None
    """Where it goes on from."""
    tracking_id: str | None = None
    """Of the run at W&B that goes on."""
    siblings: Siblings = ALONE
    place: Place = field(default_factory=Place)
    """Of this process among those that paint the picture."""

    @property
    def folder(self) -> Path:
        """Absolute path of the run folder."""
        return self.checkpoints.run


def input_hashes(config: Config, sources: Sources) -> dict[str, str]:
    """The setting of each picture that a run reads to the SHA-256 of the bytes that were read."""
    return {setting: sources.inputs.hashes[name] for setting, name in pictures_read(config).items()}
