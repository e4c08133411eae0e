#!/usr/bin/env python3
"""Lay a sweep out as one picture: a row and a column for each value of two settings.

For `docs/layers.md`, after the sweep that the page names:
`python scripts/development/sweep_sheet.py runs/SWEEP content.layers style.layers -o sheet.jpg`
"""

from __future__ import annotations

import argparse
import csv
import re
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from overpaint.pictures.io import read_picture
from overpaint.reports.sheet import contact_sheet


def label(value: str) -> str:
    """A value as a sheet has room for it: of layers the names, without their weights."""
    layers = re.findall(r"(\w+): [\d.]+", value)
    if not layers:
        return value
    return layers[0] if len(layers) == 1 else f"{layers[0]} to {layers[-1]}"


def laid_out(sweep: Path, down: str, across: str) -> dict[str, dict[str, Image.Image]]:
    """Label of a row to label of a column to the result there, for the trials that are done.

    Args:
        sweep: the folder of a sweep.
        down: the setting whose values are the rows.
        across: the one whose values are the columns.
    """
    rows: dict[str, dict[str, Image.Image]] = {}
    with (sweep / "sweep.csv").open(encoding="utf-8", newline="") as file:
        for trial in csv.DictReader(file):
            if trial["status"] == "done":
                picture = read_picture(sweep / trial["folder"] / "result.png")
                rows.setdefault(label(trial[down]), {})[label(trial[across])] = picture
    return rows


def main(words: Sequence[str] | None = None) -> None:
    """Writes the sheet."""
    parser = argparse.ArgumentParser(description="Lay a sweep out by two of its settings.")
    parser.add_argument("sweep", type=Path)
    parser.add_argument("down", help="the setting whose values are the rows")
    parser.add_argument("across", help="the setting whose values are the columns")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--cell", type=int, default=180, help="longer edge of a picture, pixels")
    arguments = parser.parse_args(words)
    rows = laid_out(arguments.sweep, arguments.down, arguments.across)
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    contact_sheet(rows, columns=columns, cell=arguments.cell).save(arguments.output, quality=85)


if __name__ == "__main__":
    main()
