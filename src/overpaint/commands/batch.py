"""`overpaint batch`: many photos in the style of many paintings."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from rich.console import Console

from overpaint.commands.parsing import Command, add_preview, examples, new_parser
from overpaint.errors import ConfigError
from overpaint.exits import DONE, FAILED, INTERRUPTED
from overpaint.loading import uncollected
from overpaint.starting import interrupts_quit
from overpaint.sweeps.batch_plan import (
    BatchPlan,
    check_plan,
    read_jobs,
    read_shard,
    require_one_process,
)
from overpaint.sweeps.pairs import Pair, each_with_each, pairs_of
from overpaint.version import __version__
from overpaint.words import part_words

_EXAMPLES = {
    "photos paintings -o painted": "each photo with each painting",
    "--content photos me.jpg --style a.jpg b.jpg -o painted image.size=384": "",
    "--pairs pairs.csv -o painted --config preview": "a table: content,style,style.weight",
    "photos paintings -o painted --jobs 4": "four at a time, for small pictures on a GPU",
    "photos paintings -o painted --shard 1/8": "the first of eight parts, one for each machine",
}

_TASK = """Paint many photos in the style of many paintings, one after the other, or some at a time.

The pictures go to the folder --output as PHOTO_PAINTING.png, and their run folders to runs/ in it.
The same command again skips what is done and goes on with the rest; photos may be added."""


def _make_parser() -> argparse.ArgumentParser:
    parser = new_parser(
        "batch",
        _TASK,
        f"""{examples("batch", _EXAMPLES)}
Exit status: 0 done, 1 a picture failed (the others are made), 2 bad settings or input, 130 after
Ctrl-C, 143 after SIGTERM (all pictures are kept).""",
        usage="%(prog)s PHOTOS PAINTINGS [-o FOLDER] [--jobs N] [--shard I/N] [key=value ...]",
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="PHOTOS PAINTINGS key=value",
        help="a photo or a folder of them, a painting or a folder of them, and any settings",
    )
    parser.add_argument(
        *("-o", "--output"),
        default="painted",
        metavar="FOLDER",
        help="where the pictures go (%(default)s)",
    )
    for option, what in (("--content", "photos"), ("--style", "paintings")):
        parser.add_argument(
            option,
            nargs="+",
            action="extend",
            metavar="PATH",
            help=f"{what}: files, or folders of them",
        )
    parser.add_argument(
        "--pairs",
        metavar="FILE.csv",
        help="a table with the columns content, style, and settings of each picture",
    )
    parser.add_argument(
        *("-j", "--jobs"),
        default="1",
        metavar="N",
        help="pictures at a time, each in a process of its own (%(default)s)",
    )
    parser.add_argument("--shard", metavar="I/N", help="make the I-th of N parts only, from 1")
    parser.add_argument(
        "--config",
        default="default",
        metavar="FILE",
        help="a YAML file of settings, or the name of a preset (%(default)s)",
    )
    add_preview(parser)
    parser.add_argument("--version", action="version", version=f"overpaint {__version__}")
    return parser


def _batch(arguments: argparse.Namespace, console: Console) -> int:
    require_one_process(os.environ)
    with interrupts_quit():
        plan = _plan(arguments)
        check_plan(plan)
    with uncollected(), interrupts_quit():  # PyTorch takes seconds; errors need not wait
        from overpaint.optimisation.memory import keep_freed_memory
        from overpaint.sweeps.batch import run_batch
    keep_freed_memory()
    result = run_batch(plan, console=console)
    if result.interrupted:
        return INTERRUPTED
    return FAILED if any(one.has_failed for one in result.outcomes) else DONE


def _plan(arguments: argparse.Namespace) -> BatchPlan:
    """What the words ask for.

    Raises:
        ConfigError: if they do not fit together, or name what is not there.
    """
    words, settings = part_words(arguments.words)
    contents, more = part_words(arguments.content or [])
    styles, further = part_words(arguments.style or [])
    shard = read_shard(arguments.shard)
    if not arguments.output:
        raise ConfigError("--output: empty; name a folder, for example painted.")
    folder = Path(os.path.expanduser(arguments.output)).absolute()
    values: dict[str, Any] = {"output.preview": True} if arguments.preview else {}
    return BatchPlan(
        folder,
        _pairs(arguments.pairs, words, contents, styles, folder),
        shard=shard,
        jobs=read_jobs(arguments.jobs),
        preset=arguments.config,
        words=(*settings, *more, *further),
        values=values,
    )


def _pairs(
    table: str | None, words: list[str], contents: list[str], styles: list[str], folder: Path
) -> tuple[Pair, ...]:
    if table == "":
        raise ConfigError("--pairs: empty; name a table, for example pairs.csv.")
    if table is not None:
        if words or contents or styles:
            named = [*words, *contents, *styles][0]
            raise ConfigError(f"'{named}' and --pairs: the table names photos and paintings.")
        return pairs_of(Path(os.path.expanduser(table)))
    if words and (contents or styles or len(words) != 2):
        raise ConfigError(
            f"'{words[-1]}': name photos and paintings by two words, a file or folder each, or by "
            "--content and --style; a setting is key=value, without spaces."
        )
    if words:
        contents, styles = [words[0]], [words[1]]
    return each_with_each(contents, styles, results=folder)


BATCH = Command(_make_parser, _batch)
