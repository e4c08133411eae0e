"""The command: words to calls.

    overpaint PHOTO PAINTING -o RESULT.png style.weight=20
    overpaint tune-lr PHOTO PAINTING

`scripts/*.py` are the same commands for a checkout.
"""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from rich.console import Console

from overpaint.console import Task, command
from overpaint.errors import ConfigError
from overpaint.exits import DONE, INTERRUPTED, leave, status_of
from overpaint.files import try_to_write, write_text
from overpaint.loading import uncollected
from overpaint.settings.schema import Config
from overpaint.settings.writing import to_preset, to_yaml
from overpaint.starting import interrupts_quit
from overpaint.streams import deliver
from overpaint.version import __version__
from overpaint.words import Given, part_words, unknown_options

logger = logging.getLogger(__name__)

_STYLIZE_EXAMPLES = {
    "me.jpg painting.jpg -o painted.png": "",
    "--content me.jpg --style painting.jpg --output painted.png": "",
    "me.jpg painting.jpg style.weight=20 image.size=384": "",
    "--config preview me.jpg painting.jpg": "a quick look",
    "--config mine.yaml": "your own settings",
    "--config paper --print-config": "what would be used",
    "--resume runs/RUN": "go on with a run that was stopped",
}

_TUNE_EXAMPLES = {
    "me.jpg painting.jpg": "",
    "me.jpg painting.jpg --write mine.yaml": "settings with the rate",
    "optimizer.name=sgd loss.normalization=paper loss.tv_weight=0": "",
    "tune.lowest=0.001 tune.highest=0.3 tune.candidates=16": "",
    "--config paper --study": "",
}

_TUNE_TASK = """Find a good learning rate for a photo, a painting, an optimiser and a loss.

A range test shows between which rates the loss falls; trials of equal length, run together at a
small size, then compare rates between them: many over few steps, the best over more. The run
folder gets lr.json, lr.png, contact_sheet.png and a config.yaml with the rate, and the last line
printed is the command to run with it."""


def main(task: Task | None = None) -> NoReturn:
    """Runs the command of this process and ends it.

    Args:
        task: of a script that does one thing; by default the first word may name it.
    """
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
        task = next((name for name in _TASKS if [name] == list(words[:1])), None)
        words = words if task is None else words[1:]
    make_parser, act = _TASKS[task or "stylize"]
    parser = make_parser()
    arguments, unknown = parser.parse_known_intermixed_args(words)
    if unknown:
        parser.error(unknown_options(unknown, parser))
    return status_of(lambda console: act(arguments, console))


def _parser(task: Task, options: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """What both commands take."""
    parser = argparse.ArgumentParser(
        prog=command(task),
        usage=f"%(prog)s [PHOTO [PAINTING ...]] {options} [key=value ...]",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="PHOTO PAINTING key=value",
        help="the photo, one or more paintings (by default samples), and any settings",
    )
    parser.add_argument(
        "--config",
        default="default",
        metavar="FILE",
        help="a YAML file of settings, or the name of a preset (%(default)s)",
    )
    parser.add_argument("--content", metavar="FILE", help="the photo: content.image=FILE")
    parser.add_argument(
        "--style",
        nargs="+",
        action="extend",
        metavar="FILE",
        help="the painting or paintings: style.images=[FILE,...]",
    )
    parser.add_argument("--version", action="version", version=f"overpaint {__version__}")
    return parser


def _stylize_parser() -> argparse.ArgumentParser:
    tune = command("tune-lr")
    parser = _parser(
        "stylize",
        "[-o RESULT] [--config FILE]",
        "Turn a photo and a painting into a stylized picture.",
        f"""{_examples("stylize", _STYLIZE_EXAMPLES)}
`{tune}` finds a learning rate (`{tune} --help`).
configs/default.yaml explains every setting. Exit status: 0 done, 1 failed, 2 bad settings or
input, 130 after Ctrl-C, 143 after SIGTERM (the picture so far is kept).""",
    )
    parser.add_argument(
        *("-o", "--output"),
        metavar="RESULT",
        help="copy the result there as well (.png .jpg .webp .tif)",
    )
    parser.add_argument("--print-config", action="store_true", help="show the settings and exit")
    parser.add_argument(
        "--resume",
        metavar="RUN",
        help="go on with the run in this folder; of its settings, schedule.steps may grow, and "
        "tracking, snapshots and the copy may change",
    )
    return parser


def _tune_parser() -> argparse.ArgumentParser:
    parser = _parser(
        "tune-lr",
        "[--write FILE | --study]",
        _TUNE_TASK,
        f"""{_examples("tune-lr", _TUNE_EXAMPLES)}
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


def _examples(task: Task, examples: Mapping[str, str]) -> str:
    """Words to remarks, as lines that begin with the command."""
    width = max(len(words) for words, remark in examples.items() if remark)
    lines = ["examples:"]
    for words, remark in examples.items():
        lines.append(f"  {command(task)} {words:{width}}  {remark and f'# {remark}'}".rstrip())
    return "\n".join(lines) + "\n"


def _stylize(arguments: argparse.Namespace, console: Console) -> int:
    output = {} if arguments.output is None else {"output.copy": arguments.output}
    if arguments.resume is not None:
        return _resume(arguments, output, console)
    config = Given(arguments).load("run", output)
    if arguments.print_config:
        deliver(to_yaml(config, encoding=sys.stdout.encoding))
        return DONE
    with uncollected(), interrupts_quit():  # PyTorch takes seconds; errors need not wait
        from overpaint.optimisation.memory import keep_freed_memory
        from overpaint.runs.stylize import stylize
    keep_freed_memory()
    return INTERRUPTED if stylize(config, console=console).interrupted else DONE


def _resume(arguments: argparse.Namespace, output: Mapping[str, str], console: Console) -> int:
    pictures, settings = part_words(arguments.words)
    named = [*pictures, arguments.content, arguments.style, arguments.print_config or None]
    if arguments.config != "default" or any(one is not None for one in named):
        raise ConfigError("--resume: the run has its pictures and settings; add key=value alone.")
    with uncollected(), interrupts_quit():
        from overpaint.optimisation.memory import keep_freed_memory
        from overpaint.runs.resume import resume
    keep_freed_memory()
    result = resume(arguments.resume, *settings, values=output, console=console)
    return INTERRUPTED if result is not None and result.interrupted else DONE


def _tune(arguments: argparse.Namespace, console: Console) -> int:
    given = Given(arguments)
    # Whatever rate is set is not used; gradient descent has none by default.
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


_Act = Callable[[argparse.Namespace, Console], int]

_TASKS: Mapping[Task, tuple[Callable[[], argparse.ArgumentParser], _Act]] = {
    "stylize": (_stylize_parser, _stylize),
    "tune-lr": (_tune_parser, _tune),
}
