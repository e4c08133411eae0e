"""`overpaint recolor RESULT PHOTO`: a finished picture in the colours of its photo."""

from __future__ import annotations

import argparse

from rich.console import Console

from overpaint.commands.parsing import Command, examples, new_parser
from overpaint.exits import DONE
from overpaint.version import __version__

_EXAMPLES = {
    "painted.png me.jpg -o mine.png": "the photo's colours, painted light and shade",
    "runs/RUN -o mine.png": "the same, of a run, whose photo is known",
    "painted.png me.jpg --keep histogram -o mine.png": "the palette of the photo",
}

_TASK = """Bring a finished picture to the colours of a photo, at once.

What color.keep does while a picture is painted, as far as it can be done afterwards: the strokes
stay where they are (docs/control.md)."""


def _make_parser() -> argparse.ArgumentParser:
    parser = new_parser(
        "recolor",
        _TASK,
        f"{examples('recolor', _EXAMPLES)}\nExit status: 0 done, 1 failed, 2 bad input.",
        usage="%(prog)s RESULT [PHOTO] [--keep HOW] -o FILE",
    )
    parser.add_argument("result", metavar="RESULT", help="a picture, or the folder of a run")
    parser.add_argument(
        "photo", nargs="?", metavar="PHOTO", help="of any size; by default that of the run"
    )
    parser.add_argument(
        "--keep",
        default="luminance",
        metavar="HOW",
        help="luminance (%(default)s): the photo's colour at each place; statistics: the mean and "
        "covariance of its colours; histogram: all of them as often",
    )
    parser.add_argument(
        *("-o", "--output"),
        required=True,
        metavar="FILE",
        help="the file to write (.png .jpg .webp .tif)",
    )
    parser.add_argument("--version", action="version", version=f"overpaint {__version__}")
    return parser


def _recolor(arguments: argparse.Namespace, console: Console) -> int:
    from overpaint.runs.recolor import recolor

    recolor(arguments.result, arguments.photo, arguments.output, keep=arguments.keep)
    return DONE


RECOLOR = Command(_make_parser, _recolor)
