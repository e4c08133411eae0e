"""Trials as a table: in a terminal, and as a file."""

from __future__ import annotations

import csv
import io
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from overpaint.errors import WriteError
from overpaint.files import readable, write_text
from overpaint.losses.objective import MAIN_LOSSES
from overpaint.sweeps.reading import Sweep
from overpaint.sweeps.trials import Outcome

logger = logging.getLogger(__name__)

_FACTS = ("steps", "seconds")
_FILE_WIDTH = 200  # characters, where nobody's terminal says how many there are


def save_table(path: Path, keys: Sequence[str], outcomes: Sequence[Outcome]) -> None:
    """Writes a row for each trial: number, status, settings, final losses, steps, seconds, folder.

    Args:
        path: of the file.
        keys: of the settings that the trials have of their own.
        outcomes: in their order.

    Raises:
        WriteError: if it cannot be written.
    """
    losses = list(dict.fromkeys(name for one in outcomes for name in one.facts.get("losses", ())))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "status", *keys, *map(_final, losses), *_FACTS, "folder"])
    for one in outcomes:
        writer.writerow(
            [
                *(one.trial.number, one.status),
                *(readable(str(one.trial.point.get(key, ""))) for key in keys),
                *(_blank(one.facts.get("losses", {}).get(name)) for name in losses),
                *(_blank(one.facts.get(name)) for name in _FACTS),
                one.trial.folder.name,
            ]
        )
    write_text(path, text.getvalue())


class KeptTable:
    """A table that is written anew with each trial; if it cannot be, that costs one warning.

    Args:
        path: of the file.
        keys: of the settings that the trials have of their own.
    """

    def __init__(self, path: Path, keys: Sequence[str]) -> None:
        self._path = path
        self._keys = keys
        self._has_warned = False

    def save(self, outcomes: Sequence[Outcome]) -> None:
        """Writes what is known, as `save_table` does."""
        try:
            save_table(self._path, self._keys, outcomes)
        except WriteError as error:
            if not self._has_warned:
                logger.warning("%s The others go on.", error)
            self._has_warned = True


def print_table(sweep: Sweep, outcomes: Sequence[Outcome], best: Outcome | None) -> None:
    """The same on standard output, with the settings that are not the same in all trials.

    Args:
        sweep: that they are of.
        outcomes: in their order.
        best: of them, to be marked.
    """
    console = Console(soft_wrap=True, highlight=False)
    if not console.is_terminal:
        console.width = _FILE_WIDTH
    keys = differing(sweep, outcomes)
    table = Table(title=escape(f"Sweep {sweep.name}"), title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("trial", justify="right")
    for key in keys:
        table.add_column(key, overflow="fold", min_width=min(len(key), 16))
    for name in (*MAIN_LOSSES, *_FACTS):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for one in outcomes:
        losses = one.facts.get("losses", {})
        table.add_row(
            str(one.trial.number),
            *(_short(one.trial.point[key]) for key in keys),
            *(_short(losses.get(name)) for name in MAIN_LOSSES),
            *(_short(one.facts.get(name)) for name in _FACTS),
            one.status + (", best" if one is best else ""),
            style="bold" if one is best else None,
        )
    console.print(table)


def differing(sweep: Sweep, outcomes: Sequence[Outcome]) -> list[str]:
    """The swept settings that are not the same in all trials."""
    return [key for key in sweep.space if len({str(one.trial.point[key]) for one in outcomes}) > 1]


def best_of(sweep: Sweep, outcomes: Sequence[Outcome]) -> Outcome | None:
    """The finished trial that is best by the sweep's metric, if it has one."""
    metric = sweep.metric
    if metric is None:
        return None
    sign = 1 if metric.goal == "minimize" else -1
    known = [
        (sign * float(one.facts["losses"][metric.loss]), one)
        for one in outcomes
        if one.status == "done" and _is_finite(one.facts.get("losses", {}).get(metric.loss))
    ]
    return min(known, key=lambda pair: pair[0])[1] if known else None


def _final(name: str) -> str:
    return f"final/{name}"


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _blank(value: Any) -> Any:
    return "" if value is None else value


def _short(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else escape(readable(str(value)))
