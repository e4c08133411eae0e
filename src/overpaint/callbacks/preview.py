"""The picture as it becomes, for whoever watches."""

from __future__ import annotations

import logging
from pathlib import Path

from PIL import Image
from rich.console import Console

from overpaint.errors import MissingPackageError, WriteError, brief
from overpaint.pictures.io import fit_size, resize, save_picture, size_of
from overpaint.pictures.terminal import Screen, TerminalPicture, find_screen

logger = logging.getLogger(__name__)

LONG_EDGE = 1024
"""Of `preview.png`, in pixels at most."""


class Preview:
    """Shows pictures of a run: in a file that is replaced, and in a terminal that can.

    What fails costs a warning, not the run.

    Args:
        path: of the file.
        console: the terminal, perhaps with a progress bar on it.
    """

    def __init__(self, path: Path, *, console: Console | None = None) -> None:
        self._path = path
        self._console = console
        self._screen: Screen | None = None
        self._has_warned = False
        hint = ""
        try:
            self._screen = find_screen(console)
        except MissingPackageError as error:
            hint = f" ({error})"
        logger.info("Preview: %s%s", path, hint)

    def show(self, step: int, picture: Image.Image) -> None:
        """Takes in the picture after a step, of mode RGB and of any size."""
        if max(picture.size) > LONG_EDGE:
            picture = resize(picture, fit_size(size_of(picture), LONG_EDGE))
        try:
            save_picture(picture, self._path)
        except WriteError as error:
            if not self._has_warned:
                logger.warning("%s The run goes on.", error)
            self._has_warned = True
        if self._console is None or self._screen is None:
            return
        try:
            self._console.print(f"step {step}", highlight=False)
            self._console.print(TerminalPicture(picture, self._screen), crop=False)
        except Exception as error:  # of a library that is no part of the run
            self._screen = None
            logger.warning("The terminal shows no more pictures (%s).", brief(error))
