"""From a sweep's YAML file, as W&B reads it, to a checked `Sweep`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import yaml

from overpaint.encoder.layers import LAYER_NAMES
from overpaint.errors import ConfigError, shortened, unknown_name
from overpaint.sweeps.distributions import read_distribution
from overpaint.sweeps.spaces import Space

Method = Literal["grid", "random", "bayes"]
Goal = Literal["minimize", "maximize"]

# Keys of W&B's; those that count here, and those that say where and how its agents run.
_COUNTED = ("name", "method", "parameters", "metric", "early_terminate", "run_cap", "command")
_OF_THE_SERVICE = (
    *("program", "project", "entity", "description", "controller", "job", "image_uri"),
    *("scheduler", "apiVersion", "kind"),
)
_SETTING = re.compile(r"[A-Za-z_]\w*(\.\w+)*=")
_LOSSES = ("total", "content", "style", "tv")


@dataclass(frozen=True)
class Metric:
    """What a search goes by."""

    name: str
    """`loss/...` of the last logged step, or `final/...` of the result."""
    goal: Goal = "minimize"

    @property
    def loss(self) -> str:
        """The loss that it is: `total`, `content`, `style`, `style/<layer>` or `tv`."""
        return self.name.partition("/")[2]


@dataclass(frozen=True)
class Hyperband:
    """When a trial may be stopped: at `first` logged steps, and each `factor` times as many."""

    first: int
    factor: int
    last: int | None = None
    """No later than this; None: the whole run."""


@dataclass(frozen=True)
class Sweep:
    """What a sweep's file says of its trials."""

    name: str
    method: Method
    space: Space
    words: tuple[str, ...] = ()
    """The `key=value` words of its `command`."""
    preset: str | None = None
    """What follows `--config` there."""
    metric: Metric | None = None
    early_terminate: Hyperband | None = None
    run_cap: int | None = None


def read_sweep(text: str, name: str) -> Sweep:
    """Reads and checks a sweep.

    Args:
        text: of its file.
        name: where it has none.

    Raises:
        ConfigError: with every fault found.
    """
    given = _read_yaml(text)
    problems = [
        unknown_name(str(key), _COUNTED, "key of a sweep")
        for key in given
        if key not in (*_COUNTED, *_OF_THE_SERVICE)
    ]
    method: Any = given.get("method")
    if method not in get_args(Method):
        problems.append(f"method: expected grid, random or bayes, got {method!r}.")
    try:
        space = dict(sorted(_space(given.get("parameters"), "", problems)))
    except RecursionError:
        raise ConfigError("parameters: too deeply nested.") from None
    metric = _metric(given.get("metric"), problems)
    rule = _early_terminate(given.get("early_terminate"), problems)
    if method == "bayes" and metric is None and given.get("metric") is None:
        problems.append("metric: bayes needs one to go by, such as name: final/total.")
    if rule is not None and metric is None and given.get("metric") is None:
        problems.append("early_terminate: needs a metric to go by.")
    if method == "grid":
        problems += [
            f"{key}: a grid needs values, for this distribution has no end of them."
            for key, one in space.items()
            if one is not None and one.values is None
        ]
    run_cap = given.get("run_cap")
    if run_cap is not None and not _is_count(run_cap):
        problems.append(f"run_cap: expected a whole number above 0, got {run_cap!r}.")
    words, preset = _command(given.get("command"), problems)
    if problems:
        raise ConfigError(problems)
    return Sweep(
        name=str(given.get("name") or name),
        method=method,
        space=space,
        words=words,
        preset=preset,
        metric=metric,
        early_terminate=rule,
        run_cap=run_cap,
    )


def _read_yaml(text: str) -> Mapping[Any, Any]:
    try:
        given = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        detail = shortened(" ".join(str(error).split()))
        raise ConfigError(f"no valid YAML: {detail}") from error
    if not isinstance(given, Mapping):
        raise ConfigError("holds no sweep (expected 'method: ...' and 'parameters: ...').")
    return given


def _space(given: Any, prefix: str, problems: list[str]) -> Iterator[tuple[str, Any]]:
    """The distributions by dotted key; `parameters` inside a parameter are those of a section."""
    where = f"{prefix[:-1]}: " if prefix else ""
    if not isinstance(given, Mapping) or not given:
        problems.append(f"{where}parameters: expected settings with values, got {given!r}.")
        return
    for name, inner in given.items():
        key = f"{prefix}{name}"
        if isinstance(inner, Mapping) and inner.keys() == {"parameters"}:
            yield from _space(inner["parameters"], f"{key}.", problems)
            continue
        distribution, faults = read_distribution(key, inner)
        problems += faults
        yield key, distribution


def _metric(given: Any, problems: list[str]) -> Metric | None:
    if given is None:
        return None
    name = given.get("name") if isinstance(given, Mapping) else None
    if not isinstance(name, str):
        problems.append(f"metric: expected name and goal, got {given!r}.")
        return None
    kind, _, loss = name.partition("/")
    known = {*_LOSSES, *(f"style/{layer}" for layer in LAYER_NAMES)}
    if kind not in ("loss", "final") or loss not in known:
        problems.append(
            f"metric.name: '{name}' is not logged; known are loss/ (of the last logged step) and "
            f"final/ (of the result) with {', '.join(_LOSSES)} or style/<layer>."
        )
    goal = given.get("goal", "minimize")
    if goal not in get_args(Goal):
        problems.append(f"metric.goal: expected minimize or maximize, got {goal!r}.")
    return Metric(name, goal)


def _early_terminate(given: Any, problems: list[str]) -> Hyperband | None:
    if given is None:
        return None
    if not isinstance(given, Mapping) or given.get("type") != "hyperband":
        kind = given.get("type") if isinstance(given, Mapping) else given
        problems.append(f"early_terminate.type: expected hyperband, got {kind!r}.")
        return None
    eta: Any = given.get("eta", 3)
    counts: dict[str, Any] = {key: given.get(key) for key in ("min_iter", "max_iter", "s")}
    least, most, brackets = counts.values()
    faults = [
        f"early_terminate.{key}: expected a whole number above 0, got {one!r}."
        for key, one in counts.items()
        if one is not None and not _is_count(one)
    ]
    if not _is_count(eta) or eta < 2:
        faults.append(f"early_terminate.eta: expected a whole number from 2 on, got {eta!r}.")
    if least is None and (most is None or brackets is None):
        faults.append("early_terminate: needs min_iter, or max_iter and s.")
    if faults:
        problems += faults
        return None
    if least is None:
        least = max(1, most // eta ** min(brackets, 64))
    return Hyperband(least, eta, most)


def _command(given: Any, problems: list[str]) -> tuple[tuple[str, ...], str | None]:
    """The settings that an agent's command would give each run, and the file of settings."""
    if given is None:
        return (), None
    if not isinstance(given, list):
        problems.append(f"command: expected a list of words, got {given!r}.")
        return (), None
    words, preset = [], None
    for word, following in zip(map(str, given), [*map(str, given[1:]), ""], strict=True):
        if word == "--config" and following:
            preset = following
        elif word.startswith("--config="):
            preset = word.partition("=")[2]
        elif _SETTING.match(word):
            words.append(word)
    return tuple(words), preset


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
