"""`overpaint tune-lr`: the search for a learning rate."""

from __future__ import annotations

import argparse
import logging
import os
import shlex
from pathlib import Path

from rich.console import Console

from overpaint.commands.parsing import Command, examples, picture_parser
from overpaint.console import command
from overpaint.errors import ConfigError
from overpaint.exits import DONE
from overpaint.files import try_to_write, write_text
from overpaint.loading import uncollected
from overpaint.settings.schema import Config
from overpaint.settings.writing import to_preset
from overpaint.starting import interrupts_quit
from overpaint.streams import deliver
from overpaint.words import Given

logger = logging.getLogger(__name__)

_EXAMPLES = {
    "me.jpg painting.jpg": "",
    "me.jpg painting.jpg --write mine.yaml": "settings with the rate",
    "optimizer.name=sgd loss.normalization=paper loss.tv_weight=0": "",
    "tune.lowest=0.001 tune.highest=0.3 tune.candidates=16": "",
    "--config paper --study": "",
}

_TASK = """Find a good learning rate for a photo, a painting, an optimiser and a loss.

A range test shows between which rates the loss falls; trials of equal length, run together at a
small size, then compare rates between them: many over few steps, the best over more. The run
folder gets lr.json, lr.png, contact_sheet.png and a config.yaml with the rate, and the last line
printed is the command to run with it."""


def _make_parser() -> argparse.ArgumentParser:
    parser = picture_parser(
        "tune-lr",
        "[--write FILE | --study]",
        _TASK,
        f"""{examples("tune-lr", _EXAMPLES)}
The section tune of configs/default.yaml explains its settings. Exit status: 0 done, 1 failed, 2 bad
settings or input, 130 after Ctrl-C, 143 after SIGTERM (what is known is kept).""",
    )
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--write", metavar="FILE", help="save the settings with the rate as YAML")
    either.add_argument(
        "--study",
        action="store_true",
        help="compare rates of gradient descent and Adam over five decades, as the paper's authors "
        "had to, instead of looking for the best one",
    )
    return parser


def _tune(arguments: argparse.Namespace, console: Console) -> int:
    given = Given(arguments)
    # Whatever rate is set is not used; gradient descent has none by default.
    with interrupts_quit():
        config = given.load("tune", {"optimizer.lr": 1.0})
    if arguments.write is not None:
        arguments.write = os.path.expanduser(arguments.write)
        _require_new_yaml(Path(arguments.write))
    with uncollected(), interrupts_quit():  # PyTorch takes seconds; errors need not wait
        from overpaint.optimisation.memory import keep_freed_memory
        from overpaint.tuning.series import compare_rates
        from overpaint.tuning.table import print_tables
        from overpaint.tuning.tune import tune
    keep_freed_memory()
    if arguments.study:
        compared = compare_rates(config)
        print_tables(compared.rounds, None)
        logger.info("Charts and contact sheets: %s", compared.folder)
        return DONE
    result = tune(config)
    print_tables(result.titled_rounds, result.trial)
    try:
        if arguments.write is not None:
            write_text(Path(arguments.write), _preset(result.config, arguments.write))
            logger.info("Written: %s", arguments.write)
    finally:  # the rate is known, whether or not there is a file of it
        logger.info("Chart and contact sheet: %s (%.0f s)", result.folder, result.seconds)
        words = given.words(without=("optimizer.lr=", "tune."))
        rate = f"optimizer.lr={result.trial.rate:g}"
        deliver(f"{command('stylize')} {shlex.join([*words, rate])}\n")
    return DONE


def _preset(config: Config, name: str) -> str:
    return (
        f"# What differs from the defaults, with a learning rate that {command('tune-lr')} found.\n"
        f"#\n# Launch:  {command('stylize')} --config {shlex.quote(name)}\n\n"
        f"{to_preset(config)}"
    )


def _require_new_yaml(path: Path) -> None:
    if path.suffix.lower() not in (".yaml", ".yml"):
        raise ConfigError(f"--write: '{path}' must end in .yaml or .yml.")
    if os.path.lexists(path):
        raise ConfigError(f"--write: '{path}' exists; name a new file.")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"--write: no such folder: '{path.parent}'; make it first.")
    try:
        try_to_write(path)
    except OSError as error:
        raise ConfigError(f"--write: '{path}' cannot be written ({error.strerror}).") from error


TUNE_LR = Command(_make_parser, _tune)
