"""Where a run goes on from: what its checkpoint says, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from overpaint.callbacks.numbers import LogNumbers
from overpaint.callbacks.rate_watch import RateWatch
from overpaint.records.checkpoints import Checkpoint


@dataclass(frozen=True)
class Kept:
    """A checkpoint of a run."""

    path: Path
    checkpoint: Checkpoint

    @property
    def image(self) -> Tensor:
        """The picture so far, (1, 3, H, W)."""
        image: Tensor = self.checkpoint["state_dict"]["image"]
        return image

    @property
    def first_step(self) -> int:
        """Steps done at smaller sizes."""
        return int(self.checkpoint["size"]["first_step"])

    @property
    def completed(self) -> int:
        """Steps done."""
        return int(self.checkpoint["size"]["completed"])

    @property
    def seconds(self) -> float:
        """Time that they took, with all targets."""
        return float(self.checkpoint["seconds"])

    @property
    def step_seconds(self) -> float:
        """Time that the fits took."""
        return float(self.checkpoint["step_seconds"])

    @property
    def history(self) -> Sequence[Mapping[str, float]]:
        """The numbers of the logged steps, as `LogNumbers` has them."""
        rows: Sequence[Mapping[str, float]] = self._seen_by(LogNumbers)["history"]
        return rows

    @property
    def findings(self) -> Sequence[Mapping[str, Any]]:
        """What was found about the learning rate: `kind`, `step` and `message`."""
        found: Sequence[Mapping[str, Any]] = self._seen_by(RateWatch)["findings"]
        return found

    def _seen_by(self, callback: type) -> Mapping[str, Any]:
        seen: Mapping[str, Any] = self.checkpoint["callbacks"][callback.__qualname__]
        return seen
