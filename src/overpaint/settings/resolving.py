"""From a `Config` that somebody made to one that a task can start from."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from overpaint.errors import ConfigError
from overpaint.settings.named import with_names
from overpaint.settings.rules import find_problems
from overpaint.settings.schema import DEFAULT_LR, DEFAULT_STATISTICS, Config, Task
from overpaint.settings.shipped import find_picture
from overpaint.settings.typed import to_config


def resolved(config: Config, *, task: Task = "run") -> Config:
    """Checks everything that a task needs and fills in what depends on other settings.

    Args:
        config: any settings; resolved ones come back equal.
        task: `run` ignores the ranges of `tune.*`; `tune` needs no learning rate.

    Returns:
        Settings whose `optimizer.lr` is a number, if the optimiser has a default, whose
        `style.statistics` are chosen, and whose sample pictures are found from any folder.

    Raises:
        ConfigError: with every wrong type, bad value, missing file and clash found.
    """
    usual = Config().style.images
    named = config.style.images not in (usual, tuple(map(find_picture, usual)))
    config, problems = check(dataclasses.asdict(config), task=task, names_paintings=named)
    if problems:
        raise ConfigError(problems)
    return config


def check(
    settings: Mapping[str, Any],
    *,
    task: Task,
    with_files: bool = True,
    in_memory: Collection[str] = (),
    names_paintings: bool = True,
) -> tuple[Config, list[str]]:
    """What `resolved` does, with plain values, and with the problems instead of an error.

    Without `names_paintings` those of `style.images` are only the default.
    """
    config, problems = to_config(settings, task=task)
    config = with_names(_with_statistics(_with_rate(config)), find_picture)
    config, clash = _with_paintings(config, is_named=names_paintings)
    problems += clash
    problems += find_problems(config, task=task, with_files=with_files, in_memory=in_memory)
    return config, problems


def _with_rate(config: Config) -> Config:
    optimizer = config.optimizer
    if optimizer.lr is not None or optimizer.name not in DEFAULT_LR:
        return config
    return dataclasses.replace(config, optimizer=dataclasses.replace(optimizer, lr=optimizer.rate))


def _with_statistics(config: Config) -> Config:
    if config.style.statistics != "auto":
        return config
    chosen = DEFAULT_STATISTICS[config.loss.normalization]
    return dataclasses.replace(config, style=dataclasses.replace(config.style, statistics=chosen))


def _with_paintings(config: Config, *, is_named: bool) -> tuple[Config, list[str]]:
    """Makes the paintings of regions those of the run, each once; tells if others are named too."""
    paintings = tuple(dict.fromkeys(one.style for one in config.regions if one.style is not None))
    if not paintings:
        return config, []
    given, style = config.style.images, dataclasses.replace(config.style, images=paintings)
    problems = []
    if is_named and given != paintings:
        problems.append(
            f"style.images: {list(given)}, but each of the regions names its own painting; leave "
            "out the one or the other."
        )
    return dataclasses.replace(config, style=style), problems
