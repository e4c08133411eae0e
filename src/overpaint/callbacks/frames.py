"""Small pictures of the run, kept for its time-lapse."""

from __future__ import annotations

import io
import logging
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from overpaint.errors import brief
from overpaint.optimisation.module import StyleTransferModule
from overpaint.pictures.formats import SAVE_OPTIONS
from overpaint.pictures.io import fit_size, resize, size_of
from overpaint.pictures.tensors import to_picture

logger = logging.getLogger(__name__)


class KeepFrames(pl.Callback):
    """Saves the image after chosen steps as a small `step_00001.jpg`; 0 is the start.

    Files are on the disk, so that a run needs no memory for them and finds them again when it goes
    on. They are not waited for: one that a power cut takes is one picture less in the film. If they
    cannot be written there is one warning, and no more of them.

    Args:
        folder: where to; made with the first one.
        steps: the steps.
        edge: longer edge, in pixels; larger images are scaled down.
        completed: steps that the run has done; pictures of later ones, which will be done again,
            are deleted.
    """

    def __init__(
        self, folder: Path, *, steps: Collection[int], edge: int, completed: int = 0
    ) -> None:
        self._folder = folder
        self._steps = frozenset(steps)
        self._edge = edge
        self._has_failed = False
        for path in folder.glob("step_*.jpg"):
            number = path.stem.removeprefix("step_")
            if number.isdecimal() and int(number) > completed:
                path.unlink(missing_ok=True)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keeps the start; further sizes, and runs that go on, begin with another step."""
        assert isinstance(pl_module, StyleTransferModule)
        if pl_module.completed == 0:
            self._keep(0, pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Runs after the step and the clamp, so the picture is the one that the step made."""
        assert isinstance(pl_module, StyleTransferModule)
        self._keep(pl_module.completed, pl_module)

    def _keep(self, step: int, module: StyleTransferModule) -> None:
        if step not in self._steps or self._has_failed:
            return
        picture = to_picture(module.shown())
        if max(picture.size) > self._edge:
            picture = resize(picture, fit_size(size_of(picture), self._edge))
        data = io.BytesIO()
        picture.save(data, "JPEG", **SAVE_OPTIONS[".jpg"])
        path = self._folder / f"step_{step:05d}.jpg"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data.getvalue())
        except OSError as error:
            self._has_failed = True
            logger.warning(
                "'%s': cannot be written (%s); the time-lapse will have no more of these.",
                *(path, error.strerror or brief(error)),
            )
