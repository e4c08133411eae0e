"""The command: words to calls.

    overpaint PHOTO PAINTING -o RESULT.png style.weight=20
    overpaint tune-lr PHOTO PAINTING
    overpaint compare RUN RUN
    overpaint dashboard
    overpaint sweep configs/sweeps/layers.yaml
    overpaint batch PHOTOS PAINTINGS -o FOLDER
    overpaint film RUN
    overpaint recolor RESULT PHOTO -o FILE

`scripts/*.py` are the same commands for a checkout.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from overpaint.commands.batch import BATCH
from overpaint.commands.compare import COMPARE
from overpaint.commands.dashboard import DASHBOARD
from overpaint.commands.film import FILM
from overpaint.commands.parsing import Command
from overpaint.commands.recolor import RECOLOR
from overpaint.commands.stylize import STYLIZE
from overpaint.commands.sweep import SWEEP
from overpaint.commands.tune_lr import TUNE_LR
from overpaint.console import Task
from overpaint.exits import leave, status_of
from overpaint.words import unknown_options

_COMMANDS: Mapping[Task, Command] = {
    "stylize": STYLIZE,
    "tune-lr": TUNE_LR,
    "compare": COMPARE,
    "dashboard": DASHBOARD,
    "sweep": SWEEP,
    "batch": BATCH,
    "film": FILM,
    "recolor": RECOLOR,
}


def main(task: Task | None = None) -> NoReturn:
    """Runs the command of this process and ends it.

    Args:
        task: of a script that does one thing; by default the first word may name it.
    """
    logging.raiseExceptions = False  # a line that some library's log cannot take is worth no words
    leave(run(sys.argv[1:], task=task))


def run(words: Sequence[str], *, task: Task | None = None) -> int:
    """Runs a command.

    Args:
        words: of the command line, without the program's name.
        task: what to do; by default the first word may name it, and otherwise it is `stylize`.

    Returns:
        The exit status: 0 done, 1 failed, 2 bad settings or input, 130 interrupted, 143 interrupted
        by SIGTERM.

    Raises:
        SystemExit: by argparse, after --help, --version, or options that there are not.
    """
    if task is None:
        task = next((name for name in _COMMANDS if [name] == list(words[:1])), None)
        words = words if task is None else words[1:]
    chosen = _COMMANDS[task or "stylize"]
    parser = chosen.make_parser()
    arguments, unknown = parser.parse_known_intermixed_args(words)
    if unknown:
        parser.error(unknown_options(unknown, parser))
    return status_of(lambda console: chosen.act(arguments, console))
