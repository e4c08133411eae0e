"""`overpaint film RUN`: the time-lapse of a run."""

from __future__ import annotations

import argparse

from rich.console import Console

from overpaint.commands.parsing import Command, examples, new_parser
from overpaint.exits import DONE
from overpaint.version import __version__

_EXAMPLES = {
    "runs/RUN": "runs/RUN/timelapse.mp4",
    "runs/RUN -o painting.webp": "plays in any browser and messenger",
}

_TASK = """Make a time-lapse of a run, finished or stopped, from the snapshots that it left.

At most 6 seconds and 8 MB: H.264 with the extra `film` (pip install 'overpaint[film]'), else an
animated WebP. A run with output.timelapse=true keeps more pictures and makes its film itself."""


def _make_parser() -> argparse.ArgumentParser:
    parser = new_parser(
        "film",
        _TASK,
        f"{examples('film', _EXAMPLES)}\nExit status: 0 done, 1 failed, 2 bad input.",
    )
    parser.add_argument("run", metavar="RUN", help="the folder of the run")
    parser.add_argument(
        *("-o", "--output"),
        metavar="FILE",
        help="the film, .mp4 or .webp; by default `timelapse` in the folder of the run",
    )
    parser.add_argument("--version", action="version", version=f"overpaint {__version__}")
    return parser


def _film(arguments: argparse.Namespace, console: Console) -> int:
    from overpaint.runs.film import film

    film(arguments.run, arguments.output)
    return DONE


FILM = Command(_make_parser, _film)
