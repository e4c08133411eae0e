"""From a `Config` that somebody made to one that a task can start from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from overpaint.errors import ConfigError
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
    config, problems = check(dataclasses.asdict(config), task=task)
    if problems:
        raise ConfigError(problems)
    return config


def check(
    settings: Mapping[str, Any], *, task: Task, with_files: bool = True
) -> tuple[Config, list[str]]:
    """What `resolved` does, with plain values, and with the problems instead of an error."""
    config, problems = to_config(settings, task=task)
    config = _with_pictures(_with_statistics(_with_rate(config)))
    return config, problems + find_problems(config, task=task, with_files=with_files)


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


def _with_pictures(config: Config) -> Config:
    content, style, init = config.content, config.style, config.init
    return dataclasses.replace(
        config,
        content=dataclasses.replace(content, image=find_picture(content.image)),
        style=dataclasses.replace(style, images=tuple(map(find_picture, style.images))),
        init=dataclasses.replace(init, file=init.file and find_picture(init.file)),
    )
