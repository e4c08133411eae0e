"""`overpaint compare`: runs side by side, on one page."""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path

from rich.console import Console

from overpaint.commands.parsing import Command, examples, new_parser
from overpaint.errors import ConfigError
from overpaint.exits import DONE
from overpaint.files import require_writable
from overpaint.starting import interrupts_quit
from overpaint.version import __version__

logger = logging.getLogger(__name__)

_EXAMPLES = {
    "runs": "all runs in a folder",
    "runs/RUN runs/OTHER -o two.html": "",
    "runs --grid style.weight style.statistics": "results by two settings",
}

_TASK = """Show runs side by side on one page, a file that needs no other and no connection.

Pictures with their photo and painting, one slider over the snapshots of all runs, a wipe, a linked
zoom, curves, a table of the settings that differ, and the command that repeats each run."""


def _make_parser() -> argparse.ArgumentParser:
    parser = new_parser(
        "compare",
        _TASK,
        f"""{examples("compare", _EXAMPLES)}
Runs that are unfinished or damaged are shown as such.
Exit status: 0 done, 1 failed, 2 bad input.""",
        usage="%(prog)s RUN [RUN ...] [-o FILE] [--grid SETTING SETTING]",
    )
    parser.add_argument("runs", nargs="*", metavar="RUN", help="run folders, or a folder of them")
    parser.add_argument(
        *("-o", "--output"),
        default="report.html",
        metavar="FILE",
        help="the page (%(default)s); one that is there is replaced",
    )
    parser.add_argument(
        "--grid",
        nargs=2,
        metavar="SETTING",
        help="lay the results out by two settings, from left to right and from top to bottom",
    )
    parser.add_argument("--version", action="version", version=f"overpaint {__version__}")
    return parser


def _compare(arguments: argparse.Namespace, console: Console) -> int:
    path = Path(os.path.expanduser(arguments.output))
    _require_page(path)
    with interrupts_quit():
        from overpaint.reports.compare import write_page
    runs = [Path(os.path.expanduser(word)) for word in arguments.runs]
    with console.status("Reading runs"):
        page = write_page(runs, path, grid=arguments.grid and tuple(arguments.grid))
    logger.info("Page: %s (%.1f MB)", path, page.stat().st_size / 1e6)
    return DONE


def _require_page(path: Path) -> None:
    if path.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"--output: '{path}' must end in .html.")
    if os.path.isdir(path):
        raise ConfigError(f"--output: '{path}' is a folder; name a file.")
    if not os.path.isdir(path.absolute().parent):
        raise ConfigError(f"--output: no such folder: '{path.parent}'; make it first.")
    require_writable(path, f"--output: '{path}'")


COMPARE = Command(_make_parser, _compare)
