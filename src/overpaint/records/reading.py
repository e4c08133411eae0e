"""Run folders, read: what they say of themselves, and what in them is damaged or not there yet."""

from __future__ import annotations

import csv
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pydantic
import yaml

from overpaint.errors import ConfigError, ImageError, NotEnoughMemoryError, brief
from overpaint.pictures.io import read_result

State = Literal["done", "interrupted", "diverged", "unfinished", "damaged"]

_SNAPSHOT = re.compile(r"step_(\d{1,9})\.png")
_FOLDER = "snapshots"  # made with the run folder
_MARKS = ("config.yaml", "environment.json", "metrics.csv", "result.png", "checkpoints")
_OTHERS = ("wandb",)  # what lies there has a config.yaml of its own
_DEEPEST = 3  # folders below the one that was named
_LARGEST = 1 << 26  # bytes of a text that a run wrote; long runs have some hundred kilobytes
_FACT: Any = pydantic.ConfigDict(extra="ignore", allow_inf_nan=False)


@pydantic.dataclasses.dataclass(frozen=True, config=_FACT)
class Outcome:
    """What environment.json says that comparing needs; None or empty where it says nothing."""

    losses: Mapping[str, float | None] = field(default_factory=dict)
    """Of the result: `total`, `content`, `style`, `style/<layer>`, `tv`."""
    steps: int | None = None
    seconds: float | None = None
    step_seconds: float | None = None
    interrupted: bool = False
    diverged: str | None = None
    device: str | None = None
    precision: str | None = None
    compiled: bool = False
    peak_memory_bytes: int | None = None
    warnings: Sequence[Mapping[str, Any]] = ()
    weights: Mapping[str, str] = field(default_factory=dict)
    """`name`, `path` and `sha256`."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """The setting of each picture to the SHA-256 of its file."""
    versions: Mapping[str, str] = field(default_factory=dict)
    processor: str | None = None
    commit: str | None = None


@dataclass(frozen=True)
class RunRecord:
    """What a run folder holds, as far as it can be read."""

    folder: Path
    """Absolute."""
    state: State
    problems: tuple[str, ...]
    """What is damaged or missing, a sentence each."""
    settings: Mapping[str, Any]
    """Those of config.yaml, nested; empty if it cannot be read."""
    outcome: Outcome
    metrics: Mapping[str, Sequence[float | None]]
    """Column of metrics.csv to its values; `step` among them. None where there is no number."""
    snapshots: Mapping[int, Path]
    """Step to picture, in order."""
    result: Path | None
    can_go_on: bool
    """Whether `--resume` has something to go on from."""


def find_runs(places: Sequence[Path]) -> list[Path]:
    """The run folders that some folders are, or hold.

    Args:
        places: run folders, or folders around them.

    Returns:
        Absolute paths, each once, in the order given, and by name inside a folder.

    Raises:
        ConfigError: if a place is none, or there is no run in it.
    """
    found: dict[str, Path] = {}
    problems = []
    for place in places:
        inside = list(_runs_below(place.absolute(), _DEEPEST)) if os.path.isdir(place) else []
        for path in inside:
            found.setdefault(os.path.realpath(path), path)
        if not os.path.isdir(place):
            problems.append(f"'{place}': no such folder; name run folders, or a folder of them.")
        elif not inside:
            problems.append(f"'{place}': there is no run in this folder.")
    if problems:
        raise ConfigError(problems)
    return list(found.values())


def _runs_below(folder: Path, depth: int) -> Iterator[Path]:
    """Run folders in a folder, or itself; a single mark may be anything's."""
    marks = sum(os.path.exists(folder / name) for name in _MARKS)
    if os.path.isdir(folder / _FOLDER) or marks > 1:
        yield folder
    elif depth:
        try:
            names = sorted(os.listdir(folder))
        except OSError:  # not ours to read
            return
        for name in names:
            if not name.startswith(".") and name not in _OTHERS and os.path.isdir(folder / name):
                yield from _runs_below(folder / name, depth - 1)


def read_run(folder: Path) -> RunRecord:
    """Reads a run folder; whatever is wrong with it is among its problems.

    Args:
        folder: of the run.
    """
    folder = folder.absolute()
    damages: list[str] = []
    settings = _read_settings(folder / "config.yaml", damages)
    outcome = _read_outcome(folder / "environment.json", damages)
    result = _result(folder / "result.png", damages)
    if outcome is not None and result is None and not damages:
        damages.append("result.png is missing.")
    can_go_on = os.path.isfile(folder / "checkpoints" / "settings.yaml")
    return RunRecord(
        folder=folder,
        state=_state(outcome, is_damaged=bool(damages)),
        problems=tuple(damages),
        settings=settings,
        outcome=outcome or Outcome(),
        metrics=_read_metrics(folder / "metrics.csv"),
        snapshots=_snapshots(folder / "snapshots"),
        result=result,
        can_go_on=can_go_on,
    )


def _state(outcome: Outcome | None, *, is_damaged: bool) -> State:
    if is_damaged:
        return "damaged"
    if outcome is None:  # written last
        return "unfinished"
    if outcome.diverged:
        return "diverged"
    return "interrupted" if outcome.interrupted else "done"


def _result(path: Path, damages: list[str]) -> Path | None:
    """The picture, if it is there and whole."""
    if not os.path.isfile(path):
        return None
    try:
        read_result(path)
    except (ImageError, NotEnoughMemoryError):
        damages.append("result.png cannot be read.")
        return None
    return path


def _read_settings(path: Path, damages: list[str]) -> Mapping[str, Any]:
    try:
        loaded = yaml.load(_text(path), Loader=_PlainLoader)
        if not isinstance(loaded, Mapping):
            raise ValueError("no settings in it")
        plain: Mapping[str, Any] = _plain(loaded)
    except FileNotFoundError:
        damages.append("config.yaml is missing.")
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        damages.append(f"config.yaml cannot be read ({brief(error)}).")
    else:
        return plain
    return {}


def _read_outcome(path: Path, damages: list[str]) -> Outcome | None:
    try:
        outcome: Outcome = pydantic.TypeAdapter(Outcome).validate_json(_text(path))
    except FileNotFoundError:
        return None
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        damages.append(f"environment.json cannot be read ({where and where + ': '}{first['msg']}).")
    except (OSError, ValueError, RecursionError) as error:
        damages.append(f"environment.json cannot be read ({brief(error)}).")
    else:
        return outcome
    return None


def _read_metrics(path: Path) -> dict[str, list[float | None]]:
    """The columns of a table, without rows that have no step."""
    try:
        text = _text(path).replace("\0", "")
        rows = [
            row for row in csv.DictReader(text.splitlines()) if _number(row.get("step")) is not None
        ]
    except (OSError, ValueError, csv.Error):
        return {}
    names = [name for name in rows[0] if isinstance(name, str)] if rows else []
    return {name: [_number(row.get(name)) for row in rows] for name in names}


def _snapshots(folder: Path) -> dict[int, Path]:
    try:
        named = [(_SNAPSHOT.fullmatch(path.name), path) for path in folder.iterdir()]
    except OSError:
        return {}
    return dict(sorted((int(match[1]), path) for match, path in named if match))


def _text(path: Path) -> str:
    """A text of bearable length.

    Raises:
        OSError, ValueError: if it cannot be read, or is longer.
    """
    if os.path.getsize(path) > _LARGEST:
        raise ValueError("it is too long")
    return path.read_text(encoding="utf-8", errors="surrogateescape")


def _number(text: Any) -> float | None:
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


class _PlainLoader(yaml.SafeLoader):
    """YAML without aliases: no run writes them, and ten lines of them may stand for any length."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise ValueError("it has an alias")
        return super().compose_node(parent, index)


def _plain(value: Any) -> Any:
    """Settings as they were given: names that are not UTF-8 are bytes there, and `${` escaped."""
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, bytes):
        return os.fsdecode(value)
    if isinstance(value, str):
        return re.sub(r"(\\+)\$\{", lambda found: "\\" * (len(found[1]) // 2) + "${", value)
    return value if isinstance(value, int | float | None) else str(value)
