"""From a `Config` to plain containers, YAML and presets."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from overpaint.encoder.layers import NAMED_WEIGHTS
from overpaint.files import readable
from overpaint.settings.named import with_names
from overpaint.settings.schema import DEFAULT_STATISTICS, REPLACED, Config
from overpaint.settings.shipped import sample_name


def to_yaml(config: Config, *, encoding: str = "utf-8") -> str:
    """The settings as YAML that `load_config` reads back to an equal `Config`.

    Args:
        config: the settings.
        encoding: of the place that it goes to; what that has no characters for is escaped.
    """
    settings = _plain(config)
    if config.regions:
        del settings["style"]["images"]  # the regions name them
    text = _yaml(settings)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = str(yaml.serialize(yaml.compose(text), allow_unicode=False))
    return text


def to_preset(config: Config) -> str:
    """The settings that differ from the defaults, as YAML for a file of one's own."""
    style = config.style
    if style.statistics == DEFAULT_STATISTICS[config.loss.normalization]:
        style = dataclasses.replace(style, statistics="auto")
    if config.regions:
        style = dataclasses.replace(style, images=Config().style.images)
    anywhere = with_names(dataclasses.replace(config, style=style), sample_name)
    return _yaml(_differing(_plain(anywhere), _plain(Config()), ""))


def to_dict(config: Config) -> dict[str, Any]:
    """The settings as plain nested containers, lists for tuples; every text is UTF-8."""
    found: dict[str, Any] = _mapped(_plain(config), readable)
    return found


def with_absolute_paths(config: Config) -> Config:
    """Settings that name the same files from any folder, except the folder of results."""

    def absolute(name: str) -> str:
        return str(Path(name).absolute())

    config = with_names(config, absolute)
    encoder, output = config.encoder, config.output
    if encoder.weights not in NAMED_WEIGHTS:
        encoder = dataclasses.replace(encoder, weights=absolute(encoder.weights))
    return dataclasses.replace(
        config,
        encoder=encoder,
        output=dataclasses.replace(output, copy=absolute(output.copy) if output.copy else None),
    )


def repeatable(config: Config, *, weights_sha256: str) -> Config:
    """Settings that make the same picture again, and overwrite nothing while they do.

    Args:
        config: of the run.
        weights_sha256: of the encoder's weights that it found.
    """
    encoder = dataclasses.replace(config.encoder, sha256=weights_sha256)
    output = dataclasses.replace(config.output, copy=None)
    return dataclasses.replace(config, encoder=encoder, output=output)


def literal(value: Any) -> Any:
    """The same plain value with `${` escaped, which OmegaConf would fill in."""
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", lambda found: 2 * found[1] + "\\${", value)
    if isinstance(value, Mapping):
        return {key: literal(one) for key, one in value.items()}
    return [literal(one) for one in value] if isinstance(value, list | tuple) else value


def _plain(config: Config) -> dict[str, Any]:
    found: dict[str, Any] = _mapped(dataclasses.asdict(config), str)
    return found


def _mapped(value: Any, change: Callable[[str], Any]) -> Any:
    """The same plain containers, lists for tuples, with each text changed."""
    if isinstance(value, Mapping):
        return {key: _mapped(one, change) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_mapped(one, change) for one in value]
    return change(value) if isinstance(value, str) else value


def _yaml(settings: Mapping[str, Any]) -> str:
    return str(OmegaConf.to_yaml(OmegaConf.create(_mapped(literal(settings), _spelt))))


def _spelt(text: str) -> str | bytes:
    """A text as YAML takes it: a file's name in its bytes if they are not UTF-8."""
    data = text.encode("utf-8", "surrogateescape")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data


def _differing(given: Mapping[str, Any], default: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in given.items():
        key, usual = f"{prefix}{name}", default[name]
        if isinstance(value, dict) and key not in REPLACED:
            if inner := _differing(value, usual, f"{key}."):
                found[name] = inner
        elif value != usual:
            found[name] = value
    return found
