"""From YAML files and `key=value` overrides to a checked `Config`.

Order: defaults of `schema.py`, then the YAML file, then the overrides. Every fault is collected and
reported at once, before PyTorch is imported or a weight is read.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from overpaint.errors import ConfigError, unknown_name
from overpaint.settings.rules import find_problems
from overpaint.settings.schema import Config

DEFAULT_LR = {"adam": 0.03, "lbfgs": 1.0}

_MISFITS = (OmegaConfBaseException, TypeError, ValueError, OverflowError)

# A mapping given for one of these replaces the default mapping; any other one is merged into it.
_REPLACED = ("content.layers", "style.layers")


def load_config(
    path: str | Path | None = None,
    overrides: Sequence[str] = (),
    *,
    values: Mapping[str, Any] | None = None,
) -> Config:
    """Reads, merges and checks the settings of one run.

    Args:
        path: a YAML file that states differences from the defaults; `None` for the defaults alone.
        overrides: `"section.key=value"` strings, values in YAML syntax.
        values: dotted key to value, taken as they are and last: for paths that are no YAML.

    Returns:
        A frozen `Config` whose `optimizer.lr` is a number.

    Raises:
        ConfigError: with every unknown key, wrong type, bad value and missing file found.
    """
    settings = dataclasses.asdict(Config())
    problems: list[str] = []
    if path is not None:
        _merge(settings, _read_yaml(Path(path)), "", problems)
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator or not key:
            problems.append(f"'{override}': expected key=value, for example optimizer.lr=0.01.")
            continue
        try:
            value = OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"]))
        except (OmegaConfBaseException, yaml.YAMLError) as error:
            problems.append(f"{key}: cannot read '{text}': {_first_line(error)}.")
            continue
        assert isinstance(value, dict)
        _assign(settings, key, value["value"], problems)
    for key, value in (values or {}).items():
        _assign(settings, key, _literal(value), problems)
    config = _with_rate(_typed(settings, problems))
    problems += find_problems(config)
    if problems:
        raise ConfigError(problems)
    return config


def to_yaml(config: Config) -> str:
    """The settings as YAML that `load_config` reads back to an equal `Config`."""
    return str(OmegaConf.to_yaml(OmegaConf.create(_literal(to_dict(config)))))


def to_preset(config: Config) -> str:
    """The settings that differ from the defaults, as YAML for a file of one's own."""
    differing = _differing(to_dict(config), to_dict(Config()), "")
    return str(OmegaConf.to_yaml(OmegaConf.create(_literal(differing))))


def to_dict(config: Config) -> dict[str, Any]:
    """The settings as plain nested containers, lists for tuples."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(one) for key, one in value.items()}
        return list(value) if isinstance(value, tuple) else value

    return {key: plain(value) for key, value in dataclasses.asdict(config).items()}


def _differing(given: Mapping[str, Any], default: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in given.items():
        key, usual = f"{prefix}{name}", default[name]
        if isinstance(value, dict) and key not in _REPLACED:
            if inner := _differing(value, usual, f"{key}."):
                found[name] = inner
        elif value != usual:
            found[name] = value
    return found


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        loaded = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except FileNotFoundError:
        raise ConfigError(f"--config: no such file: '{path}' (from {Path.cwd()}).") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--config: cannot read '{path}': {_first_line(error)}.") from error
    except (yaml.YAMLError, OmegaConfBaseException) as error:
        detail = " ".join(str(error).split())
        raise ConfigError(f"--config: '{path}' is not valid YAML: {detail}") from error
    if not isinstance(loaded, dict):
        raise ConfigError(f"--config: '{path}' holds no settings (expected 'section: ...' lines).")
    return {str(key): value for key, value in loaded.items()}


def _assign(settings: dict[str, Any], key: str, value: Any, problems: list[str]) -> None:
    """Sets one dotted `key`, which may lead into a mapping of layers."""
    *sections, name = key.split(".")
    prefix = ""
    for section in sections:
        if section not in settings:
            problems.append(f"{key}: {_unknown_setting(section, settings)}")
            return
        if not isinstance(settings[section], dict):
            problems.append(f"{key}: {prefix}{section} holds one value, no further settings.")
            return
        settings, prefix = settings[section], f"{prefix}{section}."
    _merge(settings, {name: value}, prefix, problems)


def _merge(
    settings: dict[str, Any], given: Mapping[str, Any], prefix: str, problems: list[str]
) -> None:
    """Writes `given` into `settings`, noting unknown keys and misplaced sections."""
    for name, value in given.items():
        key, present = f"{prefix}{name}", settings.get(name)
        if name not in settings and prefix.rstrip(".") not in _REPLACED:
            problems.append(f"{key}: {_unknown_setting(str(name), settings)}")
        elif isinstance(present, dict):
            if not isinstance(value, Mapping):
                problems.append(f"{key}: expected 'key: value' pairs, got {value!r}.")
            elif key in _REPLACED:
                settings[name] = dict(value)
            else:
                _merge(present, value, f"{key}.", problems)
        elif isinstance(value, Mapping):
            problems.append(f"{key}: expected one value, got {dict(value)!r}.")
        elif isinstance(present, tuple | list) and not isinstance(value, list | tuple):
            settings[name] = [value]  # one value where a list is expected is a list of one
        elif isinstance(value, str) and value == "???":  # OmegaConf's sign for a missing value
            problems.append(f"{key}: '???' is no value.")
        else:
            settings[name] = value


def _unknown_setting(name: str, siblings: Mapping[str, Any]) -> str:
    elsewhere = [key for key, _ in _single_values(to_dict(Config())) if key.endswith(f".{name}")]
    if elsewhere:
        return f"unknown setting '{name}' here; did you mean {' or '.join(elsewhere)}?"
    return unknown_name(name, siblings, "setting")


def _typed(settings: dict[str, Any], problems: list[str]) -> Config:
    """Checks types and fills in `${...}`; notes each value that does not fit and leaves it out."""
    try:
        return _to_config(settings)
    except _MISFITS as error:
        found = []
        for key, one in _single_values(settings):
            try:
                _to_config(one)
            except _MISFITS as reason:
                found.append(f"{key}: {_first_line(reason)}.")
                _reset(settings, key)
        if not found:
            raise ConfigError(_first_line(error)) from error
        problems += found
        return _to_config(settings)


def _reset(settings: dict[str, Any], key: str) -> None:
    """Puts the default back in the place of `key`, for a mapping of layers as a whole."""
    key = next((whole for whole in _REPLACED if key.startswith(whole)), key)
    default: Any = dataclasses.asdict(Config())
    *sections, name = key.split(".")
    for section in sections:
        settings, default = settings[section], default[section]
    settings[name] = default[name]


def _literal(value: Any) -> Any:
    """The same value with `${` escaped, which OmegaConf would fill in."""
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", lambda found: 2 * found[1] + "\\${", value)
    if isinstance(value, Mapping):
        return {key: _literal(one) for key, one in value.items()}
    return [_literal(one) for one in value] if isinstance(value, list | tuple) else value


def _single_values(settings: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    settings = dict(settings)  # may be changed meanwhile
    for name, value in settings.items():
        if isinstance(value, dict) and value:
            for key, one in _single_values(value):
                yield f"{name}.{key}", {name: one}
        else:
            yield str(name), {name: value}


def _to_config(settings: dict[str, Any]) -> Config:
    defaults = Config()
    no_layers = dataclasses.replace(  # a mapping is merged by OmegaConf; these are complete
        defaults,
        content=dataclasses.replace(defaults.content, layers={}),
        style=dataclasses.replace(defaults.style, layers={}),
    )
    config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(no_layers), settings))
    assert isinstance(config, Config)
    # What OmegaConf lets pass inside lists and mappings.
    for value in (*config.style.images, *config.tracking.tags):
        if not isinstance(value, str):
            raise TypeError(f"expected a list of texts, got {value!r} in it")
    for weight in (*config.content.layers.values(), *config.style.layers.values()):
        if not isinstance(weight, int | float):
            raise TypeError(f"expected a number, got {weight!r}")
    return config


def _with_rate(config: Config) -> Config:
    optimizer = config.optimizer
    if optimizer.lr is not None or optimizer.name not in DEFAULT_LR:
        return config
    return dataclasses.replace(
        config, optimizer=dataclasses.replace(optimizer, lr=DEFAULT_LR[optimizer.name])
    )


def _first_line(error: BaseException) -> str:
    if "$VALUE" in str(error):  # OmegaConf leaves the value out for elements of a list
        cause = error.__cause__ or error.__context__
        return _first_line(cause) if cause else "an element of the list has the wrong type"
    return str(error).strip().split("\n", 1)[0].rstrip(".")
