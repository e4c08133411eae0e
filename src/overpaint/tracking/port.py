"""What a run may tell whoever tracks it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from PIL import Image
from pytorch_lightning.loggers import Logger


@dataclass(frozen=True)
class Source:
    """A picture that a run was made from."""

    kind: Literal["photo", "painting", "mask"]
    image: Image.Image
    """As it was read, in the size of its file."""
    file: str
    """What the file was called; a picture is known by its hash, not by this."""
    sha256: str
    """Of the file, in hexadecimal."""


class Tracker:
    """One tracked run, from its opening to `finish`; this one tells nobody.

    A service's own tracker overrides what it takes in. A run calls all of it and never asks who
    listens.
    """

    mode: str = "disabled"
    """Or `online`, or `offline`."""
    run_id: str | None = None
    """By which the service knows the run, if it does."""
    message: str | None = None
    """One line for the user: where to look."""
    loggers: Sequence[Logger] = ()
    """What takes in the numbers of the logged steps, as Lightning's loggers do."""

    def log_inputs(self, content: Image.Image, styles: Sequence[Image.Image]) -> None:
        """Logs the content and style pictures, once."""

    def log_sources(self, sources: Sequence[Source]) -> None:
        """Logs what the run was made from, so that runs of one picture can be found by it."""

    def log_numbers(self, step: int, numbers: Mapping[str, float]) -> None:
        """Logs numbers of a step that no file of the run has, such as how fast it was."""

    def log_snapshot(self, step: int, picture: Image.Image) -> None:
        """Logs the image after a step."""

    def log_curves(self, curves: Mapping[str, Sequence[float]]) -> None:
        """Logs whole curves at once: a name to its values at steps 1, 2 and so on."""

    def log_study(
        self,
        table: tuple[Sequence[str], Sequence[Sequence[Any]]],
        pictures: Mapping[str, Path],
        summary: Mapping[str, Any],
    ) -> None:
        """Logs what a study found: a table (columns, rows), pictures by name, summary values."""

    def log_warning(self, key: str, message: str) -> None:
        """Sends an alert, and writes the message to the summary.

        Args:
            key: of the summary, from `keys`.
            message: one sentence.
        """

    def log_result(self, summary: Mapping[str, Any], files: Sequence[Path]) -> None:
        """Writes summary values, and keeps the result's files."""

    def log_row(self, row: Mapping[str, Any]) -> None:
        """Logs the run as a row of a table over runs; pictures among its values become small."""

    def summarise(self, summary: Mapping[str, Any]) -> None:
        """Writes summary values."""

    def finish(self, exit_code: int) -> None:
        """Closes the run, so that the next one does not inherit it."""
