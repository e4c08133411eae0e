"""The words of a command: pictures, `key=value` settings, and what is neither."""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from typing import Any

from overpaint.console import TASKS, Task, command
from overpaint.errors import ConfigError
from overpaint.settings import schema
from overpaint.settings.reading import load_config

_SETTING = re.compile(r"[A-Za-z_]\w*(\.\w+)*=")


class Given:
    """The settings that a command's words give.

    Args:
        arguments: of a parser that knows `words`, `--config`, `--content`, `--style`, and for
            commands that make a picture `--output`.

    Raises:
        ConfigError: if pictures are named twice, or a word is something else by mistake.
    """

    def __init__(self, arguments: Namespace) -> None:
        pictures, settings = part_words(arguments.words)
        styles, more = part_words(arguments.style or [])
        _refuse_mistakes(pictures, has_output="output" in arguments)
        content = arguments.content
        if pictures and content is None:
            content = pictures.pop(0)
        if pictures and styles:
            raise ConfigError(f"'{pictures[0]}' and --style: name the paintings once.")
        styles = styles or pictures
        _refuse_twice([*settings, *more], content, styles)
        self._config: str = arguments.config
        self.settings: list[str] = [*settings, *more]
        """The `key=value` words."""
        self._content: str | None = content
        self._styles: list[str] = styles

    @property
    def pictures(self) -> dict[str, Any]:
        """The photo and the paintings among the words, by their settings."""
        photo = {} if self._content is None else {"content.image": self._content}
        return {**photo, **({"style.images": self._styles} if self._styles else {})}

    def load(self, task: schema.Task, more: Mapping[str, Any] | None = None) -> schema.Config:
        """The checked settings.

        Args:
            task: what they are for.
            more: further ones, dotted key to value, which come last.
        """
        return load_config(
            self._config, self.settings, values={**self.pictures, **(more or {})}, task=task
        )

    def words(self, *, without: tuple[str, ...] = ()) -> list[str]:
        """Words that give the same settings, without those that begin so."""
        pictures = [] if self._content is None else ["--content", self._content]
        if self._styles:
            pictures += ["--style", *self._styles]
        kept = [word for word in self.settings if not word.startswith(without)]
        return ["--config", self._config, *pictures, *kept]


def _refuse_twice(settings: Sequence[str], content: str | None, styles: Sequence[str]) -> None:
    """A picture named by a word and by a setting: one of them would be dropped without a word."""
    keys = {setting.partition("=")[0] for setting in settings}
    problems = []
    if content is not None and "content.image" in keys:
        problems.append(f"'{content}' and content.image=: name the photo once.")
    if styles and "style.images" in keys:
        problems.append(f"'{styles[0]}' and style.images=: name the paintings once.")
    if problems:
        raise ConfigError(problems)


def part_words(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Parts words into files and `key=value` settings.

    argparse gives an option of several values all words up to the next option, so
    `--style a.jpg seed=1` hands over both. A word that looks like a setting and is no file is one.
    """
    settings = [word for word in words if _SETTING.match(word) and not _exists(word)]
    return [word for word in words if word not in settings], settings


def unknown_options(words: Sequence[str], parser: ArgumentParser) -> str:
    """The message about words that begin with a dash and are no options of a parser."""
    known = re.findall(r"--[a-z-]+", parser.format_help())
    messages = []
    for word in words:
        name, separator, _ = word.partition("=")
        setting = word.lstrip("-")
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
        hint = ""
        if close and not _is_setting(name.lstrip("-")):
            hint = f"; did you mean {close[0]}?"
        elif separator or _is_setting(setting):
            hint = f"; a setting has no dashes: {setting if separator else f'{setting}=VALUE'}"
        messages.append(f"unknown option {word}{hint}")
    return "\n".join(messages)


def _refuse_mistakes(pictures: Sequence[str], *, has_output: bool) -> None:
    """Other missing files are reported with the settings."""
    missing = [word for word in pictures if not _exists(word)]
    problems = []
    for word in missing:
        if task := _meant_task(word):
            problems.append(f"'{word}' is no file; did you mean `{command(task)} ...`?")
        elif _is_setting(word):
            problems.append(f"'{word}' is a setting, which needs a value: {word}=VALUE, no spaces.")
    if has_output and not problems and len(pictures) > 2 and missing == [pictures[-1]]:
        problems.append(
            f"'{missing[0]}' would be a painting, and there is no such file; for the result, "
            f"write -o {missing[0]}"
        )
    if problems:
        raise ConfigError(problems)


def _exists(word: str) -> bool:
    return os.path.exists(os.path.expanduser(word))


def _meant_task(word: str) -> Task | None:
    """The task whose name a word resembles; a word with a dot is a file's name."""
    lowered = word.lower().replace("_", "-")
    close = [] if "." in word else difflib.get_close_matches(lowered, TASKS, n=1, cutoff=0.7)
    return next((task for task in TASKS if task in close), None)


def _is_setting(word: str) -> bool:
    found: Any = dataclasses.asdict(schema.Config())
    for name in word.split("."):
        if not isinstance(found, dict) or name not in found:
            return False
        found = found[name]
    return not isinstance(found, dict) or word in schema.REPLACED
