"""The page that compares runs: one HTML file that needs nothing else."""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from plotly.offline import get_plotlyjs

from overpaint.errors import ConfigError, unknown_name
from overpaint.files import readable, write_text
from overpaint.records.reading import RunRecord, find_runs, read_run
from overpaint.reports.columns import Column, columns_of, differing, remarks_on
from overpaint.reports.exhibits import Exhibits, exhibits_of
from overpaint.reports.thumbnails import thinned
from overpaint.version import __version__

_TIMES = " \N{MULTIPLICATION SIGN} "
_POINTS = 1000  # of a curve; more than there are pixels for


def write_page(runs: Sequence[Path], path: Path, *, grid: tuple[str, str] | None = None) -> Path:
    """Writes a page that shows runs side by side.

    Args:
        runs: run folders, or folders around them; unfinished and damaged ones are shown as such.
        path: of the HTML file; one that is there is replaced.
        grid: names of two settings, to lay the results out by from left to right and from top to
            bottom.

    Returns:
        The absolute path of the file.

    Raises:
        ConfigError: if there is nothing to compare, or no such setting.
        WriteError: if the file cannot be written.
    """
    if not runs:
        raise ConfigError("there is nothing to compare; name run folders, or a folder of them.")
    records = [read_run(folder) for folder in find_runs(runs)]
    columns = columns_of(records)
    if grid is not None:
        _require_settings(grid, columns)
    exhibits = exhibits_of(records, columns)
    write_text(path, _rendered(records, columns, exhibits, grid))
    return path.absolute()


def _require_settings(grid: tuple[str, str], columns: Sequence[Column]) -> None:
    names = [one.key for one in columns if one.group == "setting"]
    unknown = [name for name in grid if name not in names]
    if grid[0] == grid[1]:
        raise ConfigError(f"--grid: name two settings, not '{grid[0]}' twice.")
    if unknown:
        raise ConfigError([f"--grid: {unknown_name(one, names, 'setting')}" for one in unknown])


def _rendered(
    records: Sequence[RunRecord],
    columns: Sequence[Column],
    exhibits: Exhibits,
    grid: tuple[str, str] | None,
) -> str:
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("overpaint.reports", "page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return templates.get_template("page.html").render(
        title=_title(exhibits),
        runs=exhibits.runs,
        sources=exhibits.sources,
        columns=columns,
        differing=differing(columns),
        remarks=remarks_on(columns),
        data=_data(records, columns, exhibits, grid),
        plotly=get_plotlyjs(),
        nonce=secrets.token_urlsafe(),
        version=__version__,
    )


def _title(exhibits: Exhibits) -> str:
    names: dict[str, list[str]] = {"Photo": [], "Painting": []}
    for source in exhibits.sources:
        names[source.title].append(Path(source.name).stem)
    count = len(exhibits.runs)
    runs = "1 run" if count == 1 else f"{count} runs"
    common = [found[0] for found in names.values() if len(set(found)) == 1]
    return f"{_TIMES.join(common)}, {runs}" if common else runs


def _data(
    records: Sequence[RunRecord],
    columns: Sequence[Column],
    exhibits: Exhibits,
    grid: tuple[str, str] | None,
) -> dict[str, Any]:
    """What the page's scripts read."""
    return {
        "runs": [
            {
                "number": run.number,
                "title": " · ".join(text for _, text in run.traits) or run.name,
                "frames": run.frames,
                "photo": run.photo,
            }
            for run in exhibits.runs
        ],
        "pictures": {key: one.uri for key, one in exhibits.pictures.items()},
        "steps": sorted({step for run in exhibits.runs for step, _ in run.frames}),
        "columns": {
            one.key: {"values": one.values, "texts": one.texts, "differs": one.differs}
            for one in columns
        },
        "curves": [_curves(record) for record in records],
        "grid": grid,
    }


def _curves(record: RunRecord) -> dict[str, list[float | None]]:
    """The logged numbers of a run by name, `step` among them, rounded for the page."""
    rows = thinned(range(len(record.metrics.get("step", ()))), _POINTS)
    return {
        readable(name): [_rounded(values[row]) for row in rows]
        for name, values in record.metrics.items()
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.5g}")
