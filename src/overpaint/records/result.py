"""What a finished or interrupted run returns."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from overpaint.losses.objective import MAIN_LOSSES
from overpaint.optimisation.verdicts import Finding
from overpaint.pictures.deep.picture import DeepPicture


@dataclass(frozen=True, repr=False)
class PaintResult:
    """A stylized picture and how it came about; a notebook's cell shows the picture."""

    image: Image.Image
    """The picture, mode RGB."""
    deep: DeepPicture | None
    """The same with 16 bits per channel, if `output.depth` is 16."""
    losses: Mapping[str, float]
    """Of the picture, at the size reached: `total`, `content`, `style`, `style/<layer>`, `tv`."""
    history: Sequence[Mapping[str, float]]
    """The logged numbers, a row for each logged step, under the keys of metrics.csv."""
    steps: int
    """Steps done; after a divergence those that made the picture."""
    smaller_steps: int
    """Those of them that were done at smaller sizes than the one reached."""
    evaluations: int
    """Forward and backward passes done; more than steps if a line search was used."""
    seconds: float
    """Of the optimisation: all sizes with their targets."""
    step_seconds: float
    """Of Lightning's fits alone: the steps with their logging and snapshots."""
    interrupted: bool
    device: str
    """`cpu`, `mps`, or the name of the GPU."""
    precision: str
    """`32-true` or `bf16-mixed`."""
    compiled: bool
    """Whether steps were compiled by torch.compile."""
    peak_memory_bytes: int | None
    """The most memory held: on the GPU if one was used, else by the process."""
    diverged: str | None
    """What went wrong where, if the run left the finite numbers; `image` is the last good one."""
    lost: str | None
    """Which other process of the run was lost, if one was; `image` is that of the last whole step,
    and the losses are those measured last."""
    warnings: tuple[Finding, ...]
    """What was found about the learning rate."""

    def facts(self) -> dict[str, Any]:
        """All of it but the picture, its place and its history, as JSON takes it."""
        names = [field.name for field in dataclasses.fields(self)]
        apart = ("image", "deep", "folder", "history")
        facts = {name: getattr(self, name) for name in names if name not in apart}
        for name in ("seconds", "step_seconds"):
            facts[name] = round(facts[name], 3)
        facts["warnings"] = [dataclasses.asdict(finding) for finding in self.warnings]
        return facts

    def __repr__(self) -> str:
        losses = ", ".join(f"{name} {self.losses[name]:.4g}" for name in MAIN_LOSSES)
        size = "x".join(map(str, self.image.size))
        return f"<{type(self).__name__} {size}, {self.steps} steps, {losses}>"

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        data = io.BytesIO()
        self.image.save(data, "PNG")
        return data.getvalue()


@dataclass(frozen=True, repr=False)
class RunResult(PaintResult):
    """The same with records of how it was made."""

    folder: Path
    """Absolute path of the run folder."""
