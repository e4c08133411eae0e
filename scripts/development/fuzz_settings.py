#!/usr/bin/env python3
"""Throw random settings at the command: each is used or refused in words, and none takes long.

    python scripts/development/fuzz_settings.py --cases 2000 --seed 0

Each case is a command line, or a YAML file, made of right, nearly right and wrong names and of
values of every kind that YAML knows, broken ones too. It goes through `cli.run` with
--print-config, which does all that a run does with its words before PyTorch is imported. A case
fails if it ends in anything but 0 or 2, in a traceback, or after more seconds than --limit.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import io
import logging
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from overpaint.cli import run
from overpaint.settings.schema import Config
from overpaint.settings.writing import to_dict

LETTERS = (
    "abcxyz019 _-.,:;=#'\"[]{}()<>!&*?|@`%$~^\\/\n\t\r\0\x07\x1b\x85\xa0é絵🎨\u2028\ufeff\udce9"
)
NUMBERS = [
    "0",
    "1",
    "-1",
    "7",
    "007",
    "0x1F",
    "0o17",
    "0b1",
    "1_0",
    "1:30",
    "1e3",
    "1e999",
    "-1e-999",
    ".5",
    "5.",
    "1e",
    ".inf",
    "-.inf",
    ".nan",
    "inf",
    "nan",
]
WORDS = [
    "null",
    "Null",
    "~",
    "true",
    "off",
    "on",
    "No",
    "yes",
    "y",
    "auto",
    "???",
    "none",
    "None",
    "''",
    '""',
    "a.jpg",
    "assets",
    "~/a.png",
    "/proc/x",
    ".",
]
FRAGMENTS = [
    "${seed}",
    "${nope}",
    "${",
    "${style}",
    "${style.images}",
    "${oc.env:HOME}",
    "${a",
    "${oc.env:}",
]
FRAGMENTS += [
    "${tracking.name}",
    "\\${seed}",
    "&a [*a]",
    "*a",
    "!!int x",
    "!!binary x",
    "!!set {a}",
    "<<: 1",
]
FRAGMENTS += [
    "{<<: *a}",
    "!!python/object/apply:os.getcwd []",
    "- ",
    "? ",
    ": ",
    "|\n a",
    ">-\n a",
    "--- a\n--- b",
]
FRAGMENTS += [
    "[a, 'b, c']",
    "{a: 1, a: 2}",
    "{a: {b: [1, {c: d}]}}",
    "[1, [2]]",
    "1970-01-01",
    "!x y",
    "%YAML 1",
]


def leaves(settings: dict[str, object], prefix: str = "") -> Iterator[str]:
    """The dotted names of all settings and sections."""
    for name, value in settings.items():
        yield f"{prefix}{name}"
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{name}.")


KEYS = list(leaves(to_dict(Config())))


def a_key(rng: random.Random) -> str:
    """A name of a setting, sometimes with a letter changed, or no name at all."""
    key, chance = rng.choice(KEYS), rng.random()
    if chance < 0.6:
        return key
    place = rng.randrange(len(key))
    if chance < 0.8:
        return key[:place] + rng.choice(LETTERS) + key[place + rng.randrange(2) :]
    if chance < 0.9:
        return f"{key}.{rng.choice(KEYS)}"
    return letters(rng, 12)


def letters(rng: random.Random, most: int) -> str:
    """Any characters that a word or a file can bring."""
    return "".join(rng.choices(LETTERS, k=rng.randrange(most)))


def a_value(rng: random.Random) -> str:
    """The text of a value."""
    makers: list[Callable[[], str]] = [
        lambda: rng.choice(NUMBERS),
        lambda: rng.choice(WORDS),
        lambda: rng.choice(FRAGMENTS),
        lambda: letters(rng, 30),
        lambda: rng.choice("-+ ") + "9" * rng.choice([20, 400, 5000]),
        lambda: "[" + ", ".join(a_value(rng) for _ in range(rng.randrange(4))) + "]",
        lambda: "{" + ", ".join(f"{a_key(rng)}: {a_value(rng)}" for _ in range(2)) + "}",
        lambda: rng.choice(["[", "{a: ", "((", "'", '"', "${", "- "]) * rng.choice([1, 30, 3000]),
        lambda: "x" * rng.choice([254, 256, 5000]),
        lambda: f"'{letters(rng, 12)}'",
        lambda: f'"{letters(rng, 12)}"',
    ]
    return rng.choices(makers, weights=[4, 4, 4, 4, 1, 2, 2, 1, 1, 1, 1])[0]()


def a_file(rng: random.Random) -> bytes:
    """A YAML file: settings in their sections, or anything."""
    lines = []
    for _ in range(rng.randrange(1, 5)):
        *sections, name = a_key(rng).split(".")
        for depth, section in enumerate(sections):
            lines.append(f"{'  ' * depth}{section}:")
        lines.append(f"{'  ' * len(sections)}{name}: {a_value(rng)}")
    text = "\n".join(lines) if rng.random() < 0.9 else letters(rng, 200)
    data = text.encode("utf-8", "surrogateescape")
    if rng.random() < 0.1:
        place = rng.randrange(len(data) + 1)
        data = data[:place] + rng.randbytes(3) + data[place:]
    return data


def a_case(rng: random.Random, folder: Path) -> list[str]:
    """The words of one command, which never asks for help."""

    def word(text: str) -> str:
        """One that no option is made of, and without NUL, which no system hands over."""
        return text.replace("\0", "").lstrip("-")

    words = [word(f"{a_key(rng)}={a_value(rng)}") for _ in range(rng.choice([0, 1, 1, 1, 2, 4]))]
    if rng.random() < 0.15:
        words.append(word(a_value(rng)))
    if rng.random() < 0.1:
        words += ["--style", word(a_value(rng))]
    if not words or rng.random() < 0.3:
        path = folder / "settings.yaml"
        path.write_bytes(a_file(rng))
        words += ["--config", str(path)]
    return words


def fault_of(words: list[str], limit: float) -> str | None:
    """What is wrong with how the command takes these words; None if nothing is.

    Args:
        words: of the command line.
        limit: seconds that it may take; at ten times as many this process ends with a traceback.
    """
    told, shown = (io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace") for _ in range(2))
    began = time.monotonic()
    faulthandler.dump_traceback_later(10 * limit, exit=True, file=sys.__stderr__ or 2)
    try:
        with contextlib.redirect_stderr(told), contextlib.redirect_stdout(shown):
            status = run([*words, "--print-config"], task="stylize")
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException as error:  # whatever it is, it is what is looked for
        return f"raised {type(error).__name__}: {error}"
    finally:
        faulthandler.cancel_dump_traceback_later()
    seconds = time.monotonic() - began
    said, printed = _written(told), _written(shown)
    if "Traceback" in said or status not in (0, 2):
        return f"status {status}: {said}"
    if bool(said.strip()) != (status == 2) or bool(printed) != (status == 0):
        return f"status {status}, told {said!r}, shown {printed!r}"
    return f"took {seconds:.1f} s" if seconds > limit else None


def _written(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()


def main(arguments: list[str] | None = None) -> int:
    """Runs the cases; the number of faults decides the status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=float, default=5.0, help="seconds a case may take")
    given = parser.parse_args(arguments)
    faults = 0
    before = (*logging.getLogger("overpaint").handlers,)
    with tempfile.TemporaryDirectory() as folder:
        for case in range(given.cases):
            words = a_case(random.Random(f"{given.seed}/{case}"), Path(folder))
            fault = fault_of(words, given.limit)
            if fault is not None:
                faults += 1
                sys.stdout.write(ascii(f"case {case}: {words}") + f"\n  {fault[-1500:]!a}\n")
        left = sorted(set(os.listdir(folder)) - {"settings.yaml"})
    logging.getLogger("overpaint").handlers = list(before)
    sys.stdout.write(f"{given.cases} cases, {faults} faults, left {left}\n")
    return 1 if faults or left else 0


if __name__ == "__main__":
    sys.exit(main())
