"""What the commands' parsers have in common."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rich.console import Console

from overpaint.console import Task, command
from overpaint.version import __version__


@dataclass(frozen=True)
class Command:
    """A task: what its words are, and what is done."""

    make_parser: Callable[[], argparse.ArgumentParser]
    act: Callable[[argparse.Namespace, Console], int]
    """Returns the exit status."""


def new_parser(
    task: Task, description: str, epilog: str, *, usage: str | None = None
) -> argparse.ArgumentParser:
    """A parser without arguments, for words as they are typed and text as it is written."""
    return argparse.ArgumentParser(
        prog=command(task),
        usage=usage,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def picture_parser(
    task: Task, options: str, description: str, epilog: str
) -> argparse.ArgumentParser:
    """A parser of a photo, paintings and settings."""
    usage = f"%(prog)s [PHOTO [PAINTING ...]] {options} [key=value ...]"
    parser = new_parser(task, description, epilog, usage=usage)
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
    add_pictures(parser)
    parser.add_argument("--version", action="version", version=f"overpaint {__version__}")
    return parser


def add_pictures(parser: argparse.ArgumentParser) -> None:
    """Lets photo and paintings be named by options, too."""
    parser.add_argument("--content", metavar="FILE", help="the photo: content.image=FILE")
    parser.add_argument(
        "--style",
        nargs="+",
        action="extend",
        metavar="FILE",
        help="the painting or paintings: style.images=[FILE,...]",
    )


def add_preview(parser: argparse.ArgumentParser) -> None:
    """Lets the pictures be watched as they become."""
    parser.add_argument(
        "--preview",
        action="store_true",
        help="watch it: preview.png in the run folder, and pictures in terminals that show them",
    )


def examples(task: Task, given: Mapping[str, str]) -> str:
    """Words to remarks, as lines that begin with the command."""
    width = max(len(words) for words, remark in given.items() if remark)
    lines = ["examples:"]
    for words, remark in given.items():
        lines.append(f"  {command(task)} {words:{width}}  {remark and f'# {remark}'}".rstrip())
    return "\n".join(lines) + "\n"
