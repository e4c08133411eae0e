"""Trials as tables in a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from overpaint.tuning.search import Trial, grey_levels


def print_tables(rounds: Mapping[str, Sequence[Trial]], chosen: Trial | None) -> None:
    """A table of each round on standard output."""
    console = Console(soft_wrap=True, highlight=False)
    for title, trials in rounds.items():
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
        for name in ("rate", "first step, levels", "loss", "on the clamp", ""):
            table.add_column(name, justify="right" if name else "left")
        least = min(trial.loss for trial in trials)
        for trial in trials:
            table.add_row(
                f"{trial.rate:.3g}",
                grey_levels(trial.moved[0]),
                f"{trial.loss:.4g}",
                f"{trial.clamped:.1%}",
                _remark(trial, least, trial is chosen),
                style="bold" if trial is chosen else None,
            )
        console.print(table)


def _remark(trial: Trial, least: float, is_chosen: bool) -> str:
    if not math.isfinite(trial.loss):
        return "diverged"
    remarks = []
    if trial.saturated:
        remarks.append("saturated")
    if trial.loss == least:
        remarks.append("least loss")
    if is_chosen:
        remarks.append("chosen")
    return ", ".join(remarks)
