"""metrics.csv: the logged numbers of a run, with or without Weights & Biases."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger

from overpaint.errors import WriteError
from overpaint.files import write_text

logger = logging.getLogger(__name__)


class CsvLogger(Logger):
    """Logged numbers as a table, one row per logged step, rewritten whole at each save.

    A table that cannot be written costs a warning, not the run.

    Args:
        path: of the file.
        rows: of a run that goes on: `step`, and the numbers; what the file has beyond is dropped.
    """

    def __init__(self, path: Path, rows: Sequence[Mapping[str, float]] = ()) -> None:
        super().__init__()
        self._path = path
        self._rows: list[dict[str, Any]] = []
        self._saved = self._tried = 0  # rows
        self._has_warned = False
        for row in rows:
            step = int(row["step"])
            self.log_metrics({key: one for key, one in row.items() if key != "step"}, step)

    @property
    def name(self) -> str:
        """Lightning asks for one."""
        return "csv"

    @property
    def version(self) -> str:
        """Lightning asks for one."""
        return ""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Adds a row; values have the seven digits that float32 holds."""
        self._rows.append({"step": step, **{key: f"{value:.7g}" for key, value in metrics.items()}})

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Does nothing: the settings are in config.yaml."""

    def save(self) -> None:
        """Writes the file once the rows have grown by a tenth, so that long runs stay cheap."""
        if len(self._rows) >= self._tried * 1.1:
            self._write()

    def finalize(self, status: str) -> None:
        """Writes what is left."""
        if len(self._rows) > self._saved:
            self._write()

    def _write(self) -> None:
        columns = list(dict.fromkeys(name for row in self._rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        self._tried = len(self._rows)
        try:
            write_text(self._path, text.getvalue())
        except WriteError as error:
            if not self._has_warned:
                logger.warning("%s The run goes on.", error)
            self._has_warned = True
        else:
            self._saved = self._tried
