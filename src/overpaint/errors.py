"""What can go wrong for a user, and the did-you-mean lookup behind the messages."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


class ConfigError(ValueError):
    """Settings that cannot be run; `problems` holds every fault found, one line each."""

    def __init__(self, problems: str | Sequence[str]) -> None:
        given = (problems,) if isinstance(problems, str) else problems
        self.problems = tuple(map(one_line, given))
        super().__init__("\n".join(self.problems))


class ImageError(ValueError):
    """A picture that cannot be read, is too small, or cannot be written."""


class WriteError(OSError):
    """A file that cannot be written; what was there before is as it was.

    Made like any OSError, of an error number, a reason and the file's name.
    """

    def __str__(self) -> str:
        return f"'{self.filename}': cannot be written ({self.strerror})."


class WeightsError(ValueError):
    """Encoder weights that cannot be found, read or trusted."""


class WeightsUnavailableError(WeightsError):
    """Encoder weights that are not on this machine and cannot be downloaded."""


class CheckpointError(ValueError):
    """A checkpoint that is damaged, or not of the run that is to go on."""


class DivergedError(RuntimeError):
    """The optimisation left the finite numbers.

    `result` is what the run returns otherwise, a `PaintResult` or `RunResult` with the last good
    picture; None where there was no run, but a search for a rate.
    """

    def __init__(self, message: str, *, result: Any = None) -> None:
        self.result = result
        super().__init__(message)


class NotEnoughMemoryError(RuntimeError):
    """More memory is needed than this machine or its limits give."""


class LostProcessError(RuntimeError):
    """One of the processes that paint a picture together ended before it was done.

    `result` is what the run returns otherwise, a `PaintResult` or `RunResult` with the picture of
    the last whole step; None if there was none yet.
    """

    def __init__(self, message: str, *, result: Any = None) -> None:
        self.result = result
        super().__init__(message)


class MissingPackageError(RuntimeError):
    """An optional package that is not installed; the message says how to install it."""


class TrackingError(RuntimeError):
    """Weights & Biases was asked for and cannot be had."""


def brief(error: BaseException) -> str:
    """The first line of what an error says, at most 200 characters; its name if it says nothing."""
    return str(error).strip().split("\n", 1)[0][:200] or type(error).__name__


def one_line(text: str) -> str:
    """A text that fits on a line of any terminal: escapes for what breaks lines or is no UTF-8."""
    return re.sub(
        r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]",
        lambda found: found[0].encode("unicode_escape").decode("ascii"),
        text,
    )


def shortened(value: str) -> str:
    """A value as messages show it, at most 100 characters."""
    return value if len(value) <= 100 else value[:97] + "..."


def unknown_name(name: str, known: Iterable[str], what: str) -> str:
    """Returns "unknown `what` 'name'", the closest known name if any, and all known names."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"; did you mean '{close[0]}'?" if close else "."
    listing = ", ".join(names) if len(names) <= 20 else f"{names[0]} ... {names[-1]}"
    return f"unknown {what} '{name}'{hint} All names: {listing}."


def lookup(table: Mapping[str, T], name: str, what: str) -> T:
    """Returns `table[name]`.

    Raises:
        ConfigError: if `name` is not there; the message suggests the closest name.
    """
    if name not in table:
        raise ConfigError(unknown_name(name, table, what))
    return table[name]
