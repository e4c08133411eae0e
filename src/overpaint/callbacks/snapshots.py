"""Pictures of the run, kept on the way."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from PIL import Image

from overpaint.errors import WriteError
from overpaint.optimisation.module import StyleTransferModule
from overpaint.pictures.io import fit_size, resize, save_picture, size_of
from overpaint.pictures.tensors import to_picture

logger = logging.getLogger(__name__)

PUBLISHED = 100
"""Of the pictures at regular steps, so many at most are handed on; all are files."""


class Snapshots(pl.Callback):
    """Saves the image after chosen steps as `step_00001.png` and hands it on.

    A picture that cannot be written costs a warning, not the run.

    Args:
        folder: where to; it must exist.
        steps: the steps, beside the first and the last.
        every: also each multiple of this; 0 for none.
        last: the last step.
        max_edge: longer edge, in pixels; larger images are scaled down. None: never.
        publish: called with the step and the picture, for example to log it elsewhere; in long runs
            not with each regular one, but with each second, fourth and so on, at most 100.
    """

    def __init__(
        self,
        folder: Path,
        *,
        steps: Collection[int] = (),
        every: int = 0,
        last: int,
        max_edge: int | None = None,
        publish: Callable[[int, Image.Image], None] | None = None,
    ) -> None:
        self._folder = folder
        self._chosen = {1, last, *steps}
        self._every = every
        self._max_edge = max_edge
        self._publish = publish
        self._stride = every
        while self._stride and last // self._stride > PUBLISHED:
            self._stride *= 2
        self._has_warned = False

    def is_chosen(self, step: int) -> bool:
        """Whether the image after `step` is kept."""
        return step in self._chosen or (self._every > 0 and step % self._every == 0)

    def is_published(self, step: int) -> bool:
        """Whether a picture after `step` that is kept is also handed on."""
        return step in self._chosen or (self._stride > 0 and step % self._stride == 0)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Runs after the step and the clamp, so the picture is the one that the step made."""
        assert isinstance(pl_module, StyleTransferModule)
        step = pl_module.completed
        if self.is_chosen(step):
            picture = to_picture(pl_module.shown())
            if self._max_edge is not None and max(picture.size) > self._max_edge:
                picture = resize(picture, fit_size(size_of(picture), self._max_edge))
            try:
                save_picture(picture, self._folder / f"step_{step:05d}.png")
            except WriteError as error:
                if not self._has_warned:
                    logger.warning("%s The run goes on.", error)
                self._has_warned = True
            if self._publish and self.is_published(step):
                self._publish(step, picture)
