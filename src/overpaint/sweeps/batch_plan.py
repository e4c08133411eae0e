"""What a batch is going to do: its pictures, and the settings of each, checked before it begins."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from overpaint.errors import ConfigError
from overpaint.files import file_sha256, try_folder
from overpaint.records.environment import read_facts
from overpaint.settings.differences import differing_settings
from overpaint.settings.reading import load_config
from overpaint.settings.schema import Config
from overpaint.settings.writing import with_absolute_paths
from overpaint.sweeps.pairs import CONTENT, RUNS, STYLE, Pair

_OWN = (CONTENT, STYLE, "output.dir", "output.copy")
# What may differ from what a picture was painted with: where it was painted and what was recorded.
# Photo and painting are held against their hashes.
_FREE = (
    *(CONTENT, STYLE, "output.", "tracking.", "snapshots.", "checkpoint.", "tune.", "trainer."),
    "encoder.sha256",  # stands in what a run writes down, and is held against the weights there
)
_SHOWN = 2  # problems
_MOST = 64  # processes, each with a network of its own; more than any GPU gains by


@dataclass(frozen=True)
class BatchPlan:
    """Pictures to be made in one folder."""

    folder: Path
    """Absolute path; the pictures are in it, their run folders in `runs/`."""
    pairs: tuple[Pair, ...]
    """Of all shards."""
    shard: tuple[int, int] = (1, 1)
    """Which part of them is to be made here, from 1, and the number of parts."""
    jobs: int = 1
    """Pictures at a time, each in a process of its own if there are several."""
    preset: str = "default"
    words: tuple[str, ...] = ()
    """`key=value`, of all pictures."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """Dotted key to value, likewise."""

    @cached_property
    def mine(self) -> tuple[Pair, ...]:
        """The pictures of this shard: each n-th, for neighbours take alike long."""
        part, parts = self.shard
        return self.pairs[part - 1 :: parts]

    @cached_property
    def _loaded(self) -> dict[Any, Config | ConfigError]:
        return {}

    def run_folder(self, pair: Pair) -> Path:
        """Where the run of a picture is."""
        return self.folder / RUNS / pair.name

    def picture(self, pair: Pair) -> Path:
        """Where a picture goes."""
        return self.folder / f"{pair.name}.png"

    def settings(self, pair: Pair) -> Config:
        """The settings of a picture.

        Raises:
            ConfigError: if they cannot be run.
        """
        key = (len(pair.styles), *pair.settings.items())
        if key not in self._loaded:  # a thousand pictures mostly have the same but for their files
            own = [f"{name}={text}" for name, text in pair.settings.items()]
            values = {CONTENT: pair.content, STYLE: [*pair.styles]}
            values |= {**self.values, "output.dir": str(self.folder / RUNS)}
            try:
                self._loaded[key] = load_config(self.preset, [*self.words, *own], values=values)
            except ConfigError as error:
                self._loaded[key] = error
        config = self._loaded[key]
        if isinstance(config, ConfigError):
            raise config
        return dataclasses.replace(
            config,
            content=dataclasses.replace(config.content, image=pair.content),
            style=dataclasses.replace(config.style, images=pair.styles),
            output=dataclasses.replace(config.output, copy=str(self.picture(pair))),
        )

    @property
    def keys(self) -> list[str]:
        """The settings that the pictures have of their own."""
        return [CONTENT, STYLE, *dict.fromkeys(key for one in self.pairs for key in one.settings)]


def check_plan(plan: BatchPlan) -> None:
    """Checks all settings, and that what is there already was made with them.

    Raises:
        ConfigError: with what is wrong.
    """
    given = [word.partition("=")[0] for word in plan.words]
    problems = [
        f"{key}: each picture of a batch has its own; take it out of the words, or of the table."
        for key in _OWN
        if key in given or key in plan.keys[2:]
    ]
    problems += _place_problems(plan.folder)
    if problems:
        raise ConfigError(problems)
    found: dict[str, None] = {}  # in their order, each once
    for pair in plan.pairs:
        if len(found) > _SHOWN + 1:  # a table may have thousands, each of which takes its time
            raise ConfigError([*[*found][:_SHOWN], "and more like these."])
        try:
            several = plan.settings(pair).trainer
        except ConfigError as error:
            found.update(dict.fromkeys(error.problems))
            continue
        if plan.jobs > 1 and several.processes > 1:
            found[
                f"--jobs {plan.jobs}, trainer.devices={several.devices}, trainer.num_nodes="
                f"{several.num_nodes}: either several pictures at a time, or several processes for "
                "one; leave one of them out."
            ] = None
    problems = [*found] or [*_other_problems(plan)]
    if len(problems) > _SHOWN + 1:
        problems[_SHOWN:] = [f"and {len(problems) - _SHOWN} more like these."]
    if problems:
        raise ConfigError(problems)


def _place_problems(folder: Path) -> Iterator[str]:
    nearest = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    if not os.path.isdir(nearest):
        is_there = os.path.exists(nearest)
        what = "a file" if is_there else "a link to nothing"
        yield f"--output: '{nearest}' is {what}; name a folder for the pictures."
        return
    try:
        try_folder(folder)
    except OSError as error:
        yield f"--output: nothing can be written in '{folder}' ({error.strerror or error})."


def _other_problems(plan: BatchPlan) -> Iterator[str]:
    """What is there already and is not what would be painted."""
    hashes: dict[str, str] = {}
    for pair in plan.mine:
        folder = plan.run_folder(pair)
        unfinished = folder / "checkpoints" / "settings.yaml"
        path = unfinished if unfinished.is_file() else folder / "config.yaml"
        facts = read_facts(folder)
        if not path.is_file() or not (facts or path is unfinished):
            continue
        yield from _setting_problems(path, plan.settings(pair), pair)
        for name, sha256 in _inputs(pair, facts):
            try:
                found = hashes.get(name) or hashes.setdefault(name, file_sha256(name))
            except OSError:  # told when it is to be read
                continue
            if found != sha256:
                yield (
                    f"'{pair.name}.png' was painted from another '{name}' than is there now; "
                    "name another folder with --output, or delete that run in runs/."
                )


def _setting_problems(path: Path, planned: Config, pair: Pair) -> Iterator[str]:
    try:
        before = load_config(path, with_files=False)
    except ConfigError as error:
        yield f"'{path}' cannot be read ({error.problems[0]})"
        return
    for key, (old, new) in differing_settings(before, with_absolute_paths(planned)).items():
        if not key.startswith(_FREE):
            yield (
                f"{key}: '{pair.name}.png' was painted with {old!r}, not {new!r}; name another "
                "folder with --output, or delete that run in runs/."
            )


def _inputs(pair: Pair, facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each file of a pair with the hash that it had when it was painted."""
    known = facts.get("inputs")
    names = {CONTENT: pair.content, **{f"{STYLE}[{i}]": one for i, one in enumerate(pair.styles)}}
    for key, name in names.items():
        sha256 = known.get(key) if isinstance(known, dict) else None
        if isinstance(sha256, str):
            yield name, sha256


def read_shard(text: str | None) -> tuple[int, int]:
    """The part and the number of parts that `I/N` names.

    Raises:
        ConfigError: if it is something else.
    """
    if text is None:
        return 1, 1
    numbers: Sequence[str] = text.split("/")
    if len(numbers) != 2 or not all(
        one.isascii() and one.isdecimal() and len(one) < 10 for one in numbers
    ):
        raise ConfigError(f"--shard: expected I/N, such as 1/8, got '{text}'.")
    part, parts = map(int, numbers)
    if not 1 <= part <= parts:
        hint = "; parts are counted from 1: `#SBATCH --array=1-N`" if part == 0 else ""
        raise ConfigError(f"--shard: there is no part {part} of {parts}{hint}.")
    return part, parts


def read_jobs(text: str) -> int:
    """The number of pictures at a time that `--jobs` names.

    Raises:
        ConfigError: if it is none.
    """
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and 1 <= int(text) <= _MOST):
        raise ConfigError(
            f"--jobs: expected a whole number of pictures at a time, 1 to {_MOST}, got '{text}'."
        )
    return int(text)


def require_one_process(environment: Mapping[str, str]) -> None:
    """Refuses to be one of several processes that would all paint the same pictures.

    Args:
        environment: the variables of this process.

    Raises:
        ConfigError: if torchrun has started more than one.
    """
    number = environment.get("WORLD_SIZE", "1")
    if "TORCHELASTIC_RUN_ID" in environment and number != "1":
        raise ConfigError(
            f"torchrun has started {number} processes, and each would paint the same pictures; "
            "start one, with --jobs N for several pictures at a time, or a part of them on each "
            "machine with --shard I/N."
        )
