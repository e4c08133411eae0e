"""What a sweep is going to do: its points, and the settings of each, checked before it begins."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from overpaint.errors import ConfigError
from overpaint.settings.reading import load_config
from overpaint.settings.schema import Config
from overpaint.sweeps.reading import Sweep
from overpaint.sweeps.spaces import Point, grid, grid_size, probes, random_points

TRIALS_AT_MOST = 1000  # their settings are checked in some 20 s
_SHOWN = 2  # problems of one setting


@dataclass(frozen=True)
class Plan:
    """A sweep with what the command adds to its file."""

    sweep: Sweep
    preset: str = "default"
    """A file of settings, or the name of a preset."""
    words: tuple[str, ...] = ()
    """`key=value`, which come after those of the sweep's own command."""
    pictures: Mapping[str, Any] = field(default_factory=dict)
    """Dotted key to value."""
    runs: int | None = None
    """Trials at most, in the place of `run_cap`."""
    seed: int = 0
    """Of what is drawn by chance."""

    @property
    def limit(self) -> int | None:
        """Trials at most; None for a whole grid."""
        return self.runs or self.sweep.run_cap

    @property
    def is_tracked(self) -> bool:
        """Whether somebody asked for it here: the file asks for W&B's agents."""
        return _key_is_given("tracking.mode", self.words)

    def settings(self, point: Point) -> Config:
        """The settings of a trial.

        As in W&B's commands, a text stands for what it means in a `key=value` word; anything else
        is taken as it is.

        Raises:
            ConfigError: if they cannot be run.
        """
        texts = [f"{key}={value}" for key, value in point.items() if isinstance(value, str)]
        values = {key: value for key, value in point.items() if not isinstance(value, str)}
        if not self.is_tracked and "tracking.mode" not in point:
            values["tracking.mode"] = "disabled"
        words = [*self.sweep.words, *self.words, *texts]
        return load_config(self.preset, words, values={**self.pictures, **values})


def plan_points(plan: Plan) -> list[Point]:
    """All points of a grid or of a random sweep, in their order, with checked settings.

    Returns:
        The points; for `bayes`, which finds them on its way, none, but those that it may find are
        checked by example.

    Raises:
        ConfigError: with the faults of all of them.
    """
    sweep, limit = plan.sweep, plan.limit
    problems = [
        f"{key}: the sweep gives it its values; take it out of the words, or out of the file."
        for key in sweep.space
        if key in plan.pictures or _key_is_given(key, plan.words)
    ]
    if sweep.method == "grid":
        limit = min(limit or TRIALS_AT_MOST, grid_size(sweep.space))
        if plan.limit is None and grid_size(sweep.space) > TRIALS_AT_MOST:
            problems.append(
                f"the grid has {grid_size(sweep.space)} trials; --runs N takes the first N."
            )
    elif limit is None:
        problems.append(f"{sweep.method}: has no end by itself; give --runs N, or run_cap.")
    if limit is not None and limit > TRIALS_AT_MOST:
        problems.append(f"--runs: {limit} trials; at most {TRIALS_AT_MOST}.")
    if problems:
        raise ConfigError(problems)
    drawn: Iterable[Point]
    if sweep.method == "bayes":
        _check(plan, probes(sweep.space))
        return []
    drawn = grid(sweep.space) if sweep.method == "grid" else random_points(sweep.space, plan.seed)
    points = list(itertools.islice(drawn, limit))
    _check(plan, points)
    return points


def _check(plan: Plan, points: Iterable[Point]) -> None:
    problems: dict[str, None] = {}  # in their order, each once
    for point in points:
        try:
            config = plan.settings(point)
        except ConfigError as error:
            problems.update(dict.fromkeys(error.problems))
            continue
        if config.output.copy is not None:
            problems["output.copy: each trial would overwrite it; leave it out."] = None
        if config.trainer.processes > 1:
            problems["trainer.devices: a trial has one process; leave it and num_nodes out."] = None
    if problems:
        raise ConfigError([*_summed_up(problems)])


def _summed_up(problems: Iterable[str]) -> Iterator[str]:
    """A few of the problems of each setting, for a hundred values may be wrong alike."""
    by_setting: dict[str, list[str]] = {}
    for problem in problems:
        by_setting.setdefault(problem.partition(":")[0], []).append(problem)
    for setting, alike in by_setting.items():
        yield from alike[:_SHOWN]
        if len(alike) > _SHOWN:
            yield f"{setting}: and {len(alike) - _SHOWN} more like these, in other trials."


def _key_is_given(key: str, words: Iterable[str]) -> bool:
    return any(word.partition("=")[0] == key for word in words)
