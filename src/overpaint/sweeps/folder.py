"""The folder of a sweep: what it began with, so that it goes on with the same."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from overpaint.errors import CheckpointError, ConfigError
from overpaint.files import write_text
from overpaint.settings.shipped import find_preset
from overpaint.sweeps.plan import Plan
from overpaint.sweeps.reading import Sweep, read_sweep

_FILE, _PRESET, _ORIGIN = "sweep.yaml", "preset.yaml", "sweep.json"


@dataclass(frozen=True)
class _Origin:
    """What the command added to the file, and where it was started."""

    name: str
    """Of the sweep, where its file has none."""
    directory: str
    words: list[str]
    pictures: dict[str, Any]
    runs: int | None
    seed: int
    has_preset: bool


def save_plan(folder: Path, plan: Plan, text: str) -> None:
    """Writes what a sweep begins with.

    Args:
        folder: of the sweep.
        plan: the sweep.
        text: of its file.

    Raises:
        WriteError: if it cannot be written.
    """
    has_preset = plan.preset != "default"
    if has_preset:
        write_text(folder / _PRESET, find_preset(plan.preset).read_text(encoding="utf-8"))
    write_text(folder / _FILE, text)
    origin = _Origin(
        name=plan.sweep.name,
        directory=os.getcwd(),
        words=[*plan.words],
        pictures=dict(plan.pictures),
        runs=plan.runs,
        seed=plan.seed,
        has_preset=has_preset,
    )
    write_text(folder / _ORIGIN, json.dumps(asdict(origin), indent=2) + "\n")


def read_plan(folder: Path) -> tuple[Plan, Path]:
    """What a sweep began with, and the folder that its paths start from.

    Raises:
        CheckpointError: if it is no sweep, or damaged.
    """
    try:
        origin = _read_origin(folder)
        sweep: Sweep = read_sweep((folder / _FILE).read_text(encoding="utf-8"), origin.name)
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"'{folder}' is no folder of a sweep that can go on ({error})."
        ) from error
    if not Path(origin.directory).is_dir():
        raise CheckpointError(
            f"'{folder}': its paths start at '{origin.directory}', which is not there any more."
        )
    plan = Plan(
        sweep,
        preset=str(folder / _PRESET) if origin.has_preset else "default",
        words=tuple(origin.words),
        pictures=origin.pictures,
        runs=origin.runs,
        seed=origin.seed,
    )
    return plan, Path(origin.directory)


def more_runs(folder: Path, plan: Plan, runs: int) -> Plan:
    """The same sweep with more trials, also when it goes on the next time.

    Raises:
        ConfigError: if there are fewer.
        WriteError: if that cannot be written.
    """
    if plan.limit is None or runs < plan.limit:
        most = "all" if plan.limit is None else plan.limit
        raise ConfigError(
            f"--runs: {runs} is less than {most}; a sweep that goes on may only grow."
        )
    origin = replace(_read_origin(folder), runs=runs)
    write_text(folder / _ORIGIN, json.dumps(asdict(origin), indent=2) + "\n")
    return replace(plan, runs=runs)


def _read_origin(folder: Path) -> _Origin:
    return _Origin(**json.loads((folder / _ORIGIN).read_text(encoding="utf-8")))


@contextmanager
def in_directory(directory: Path) -> Iterator[None]:
    """Lets relative paths start at a folder."""
    before = os.getcwd()
    os.chdir(directory)
    try:
        yield
    finally:
        os.chdir(before)


@contextmanager
def locked(folder: Path, what: str = "sweep", *, name: str = ".lock") -> Iterator[None]:
    """Keeps every other process from going on with this sweep; the lock ends with the process.

    Args:
        folder: of the sweep.
        what: it is, if it is something else.
        name: of the lock's file.

    Raises:
        CheckpointError: if another process is at it.
    """
    path = folder / name
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise CheckpointError(f"'{folder}': another process is at this {what}.") from None
    try:
        yield
    finally:
        lock.release()
        path.unlink(missing_ok=True)
