"""`overpaint PHOTO PAINTING`: a run, or one that goes on."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from overpaint.commands.parsing import Command, add_preview, examples, picture_parser
from overpaint.console import command
from overpaint.errors import ConfigError
from overpaint.exits import DONE, INTERRUPTED
from overpaint.loading import uncollected
from overpaint.settings.schema import Config
from overpaint.settings.writing import to_yaml
from overpaint.starting import interrupts_quit
from overpaint.streams import deliver
from overpaint.words import Given, part_words

_EXAMPLES = {
    "me.jpg painting.jpg -o painted.png": "",
    "--content me.jpg --style painting.jpg --output painted.png": "",
    "me.jpg painting.jpg style.weight=20 image.size=384": "",
    "--config preview me.jpg painting.jpg": "a quick look",
    "--config mine.yaml": "your own settings",
    "--config paper --print-config": "what would be used",
    "--resume runs/RUN": "go on with a run that was stopped",
    "--like painted.png style.weight=3": "the run that made it, but for one setting",
}


def _make_parser() -> argparse.ArgumentParser:
    tune = command("tune-lr")
    parser = picture_parser(
        "stylize",
        "[-o RESULT] [--config FILE]",
        "Turn a photo and a painting into a stylized picture.",
        f"""{examples("stylize", _EXAMPLES)}
`{tune}` finds a learning rate (`{tune} --help`).
configs/default.yaml explains every setting. Exit status: 0 done, 1 failed, 2 bad settings or
input, 130 after Ctrl-C, 143 after SIGTERM (the picture so far is kept).""",
    )
    parser.add_argument(
        *("-o", "--output"),
        metavar="RESULT",
        help="copy the result there as well (.png .jpg .webp .tif)",
    )
    add_preview(parser)
    parser.add_argument("--print-config", action="store_true", help="show the settings and exit")
    parser.add_argument(
        "--like",
        metavar="RESULT.png",
        help="repeat the run that left this PNG, with its settings and pictures; others may follow",
    )
    parser.add_argument(
        "--resume",
        metavar="RUN",
        help="go on with the run in this folder; of its settings, schedule.steps may grow, and "
        "tracking, snapshots and the copy may change",
    )
    return parser


def _stylize(arguments: argparse.Namespace, console: Console) -> int:
    output: dict[str, Any] = {}
    if arguments.output is not None:
        output["output.copy"] = arguments.output
    if arguments.preview:
        output["output.preview"] = True
    if arguments.resume is not None:
        return _resume(arguments, output, console)
    with interrupts_quit():
        config = _config(arguments, output)
    if arguments.print_config:
        deliver(to_yaml(config, encoding=sys.stdout.encoding))
        return DONE
    with uncollected(), interrupts_quit():  # PyTorch takes seconds; errors need not wait
        from overpaint.optimisation.memory import keep_freed_memory
        from overpaint.runs.stylize import stylize
    keep_freed_memory()
    return INTERRUPTED if stylize(config, console=console).interrupted else DONE


def _config(arguments: argparse.Namespace, output: Mapping[str, Any]) -> Config:
    """The settings of a run that begins."""
    given = Given(arguments)
    if arguments.like is None:
        return given.load("run", output)
    if arguments.config != "default":
        raise ConfigError(
            f"--like and --config: '{arguments.like}' has its settings; add key=value alone."
        )
    from overpaint.runs.like import config_like

    return config_like(arguments.like, given.settings, values={**given.pictures, **output})


def _resume(arguments: argparse.Namespace, output: Mapping[str, Any], console: Console) -> int:
    pictures, settings = part_words(arguments.words)
    named = [*pictures, arguments.content, arguments.style, arguments.like]
    named.append(arguments.print_config or None)
    if arguments.config != "default" or any(one is not None for one in named):
        raise ConfigError("--resume: the run has its pictures and settings; add key=value alone.")
    with uncollected(), interrupts_quit():
        from overpaint.optimisation.memory import keep_freed_memory
        from overpaint.runs.resume import resume
        from overpaint.settings.typed import schema

        schema()
    keep_freed_memory()
    result = resume(arguments.resume, *settings, values=output, console=console)
    return INTERRUPTED if result is not None and result.interrupted else DONE


STYLIZE = Command(_make_parser, _stylize)
