"""From YAML files and `key=value` overrides to a checked `Config`.

Order: defaults of `schema.py`, then the YAML file, then the overrides. Every fault is collected and
reported at once, before PyTorch is imported or a weight is read.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from overpaint.errors import ConfigError, shortened, unknown_name
from overpaint.settings.parsing import kind_of, read_word, read_yaml
from overpaint.settings.resolving import check
from overpaint.settings.schema import LISTED, REPLACED, Config, Task
from overpaint.settings.shipped import find_preset
from overpaint.settings.writing import literal

_ESCAPE = "; for the characters themselves, write \\${"
# A number too long to read is a ValueError, brackets too many deep are a RecursionError.
_UNREADABLE = (OmegaConfBaseException, yaml.YAMLError, ValueError, RecursionError)
_DEEPEST = 50  # levels; settings have five
_REFERENCE = re.compile(r"(?<!\\)(?:\\\\)*\$\{")  # without a backslash that is its own


def load_config(
    path: str | Path | None = None,
    overrides: Sequence[str] = (),
    *,
    text: str | None = None,
    values: Mapping[str, Any] | None = None,
    task: Task = "run",
    with_files: bool = True,
    in_memory: Collection[str] = (),
) -> Config:
    """Reads, merges and checks the settings of one run.

    Args:
        path: a YAML file that states differences from the defaults, or the name of a preset, see
            `find_preset`; `None` for the defaults alone.
        overrides: `"section.key=value"` strings. A text is taken as it was typed, other values are
            YAML, see `parsing.read_word`.
        text: YAML of a run's own settings, in which nothing is filled in; `path` is where it is
            from.
        values: dotted key to value, taken as they are and last: for paths that are no YAML.
        task: what the settings are for, see `resolved`.
        with_files: whether the files that they name must be there.
        in_memory: names of pictures that are no files.

    Returns:
        Settings that the task can start from, see `resolved`.

    Raises:
        ConfigError: with every unknown key, wrong type, bad value and missing file found.
    """
    settings = dataclasses.asdict(Config())
    usual = settings["style"]["images"]
    problems: list[str] = []
    if text is not None:
        _merge(settings, _parse_literal(text), "", problems)
    elif path is not None:
        _merge(settings, _read_yaml(find_preset(path)), "", problems)
    if [*settings["style"]["images"]] == [*usual]:
        settings["style"]["images"] = usual  # a file with all defaults names no painting
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator or not key:
            problems.append(f"'{override}': expected key=value, for example optimizer.lr=0.01.")
            continue
        try:
            value = _value(key, text)
        except _UNREADABLE as error:
            detail = f"{_first_line(error)}{_ESCAPE if '${' in text else ''}"
            problems.append(f"{key}: cannot read '{shortened(text)}': {detail}.")
            continue
        _assign(settings, key, value, problems)
    for key, value in (values or {}).items():
        _assign(settings, key, literal(value), problems)
    merged = OmegaConf.create(settings, flags={"allow_objects": True})  # types are checked later
    filled = _filled(merged, "", problems)
    config, found = check(
        filled,
        task=task,
        with_files=with_files,
        in_memory=in_memory,
        names_paintings=settings["style"]["images"] is not usual,
    )
    if problems or found:
        raise ConfigError(problems + found)
    return config


def _value(key: str, text: str) -> Any:
    """What a word gives a setting, once it is known that `${...}` in it can be filled in."""
    kind = kind_of(key)
    value = text if kind is None else read_word(text, kind)  # a key that is not there: told next
    OmegaConf.create({"value": value})
    return value


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--config: cannot read '{path}': {_first_line(error)}.") from error
    return _parse(text, f"--config: '{path}' ")


def _parse(text: str, whose: str) -> dict[str, Any]:
    try:
        loaded = copy.deepcopy(_read(text))
    except _UNREADABLE as error:
        detail = " ".join(str(error).split())
        raise ConfigError(f"{whose}is not valid YAML: {detail}") from error
    except OSError as error:  # how OmegaConf refuses a number alone
        raise ConfigError(f"{whose}holds no settings ({_first_line(error)}).") from error
    if not isinstance(loaded, dict):
        raise ConfigError(f"{whose}holds no settings (expected 'section: ...' lines).")
    return {str(key): value for key, value in loaded.items()}


@functools.lru_cache(maxsize=4)
def _read(text: str) -> Any:
    """What YAML holds: pictures of a batch have one preset, which takes long to read."""
    return read_yaml(text)


def _parse_literal(text: str) -> dict[str, Any]:
    """YAML as runs write it: no references within it, none to the environment.

    A picture from elsewhere may say anything, and copies of copies fill any memory.
    """
    try:
        refers = _has_alias(text)
    except ConfigError:
        raise
    except _UNREADABLE:
        refers = False  # told below
    loaded = {} if refers else _parse(text, "")
    if refers or _has_reference(loaded):
        raise ConfigError("not written by a run: there are references (*name or ${name}) in them.")
    return loaded


def _has_alias(text: str) -> bool:
    """Whether YAML refers to other places in it; looks no further than where nothing is so deep."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            return True
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:  # each level makes the next one slower to read
            raise ConfigError("is not valid YAML: it is nested too deeply for settings.")
    return False


def _has_reference(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_has_reference(one) for pair in value.items() for one in pair)
    if isinstance(value, list):
        return any(map(_has_reference, value))
    return isinstance(value, str) and bool(_REFERENCE.search(value))


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
        if name not in settings and prefix.rstrip(".") not in REPLACED:
            problems.append(f"{key}: {_unknown_setting(str(name), settings)}")
        elif isinstance(present, dict):
            if not isinstance(value, Mapping):
                problems.append(f"{key}: expected 'key: value' pairs, got {value!r}.")
            elif key in REPLACED:
                settings[name] = dict(value)
            else:
                _merge(present, value, f"{key}.", problems)
        elif isinstance(value, Mapping) and key not in LISTED:
            problems.append(f"{key}: expected one value, got {dict(value)!r}.")
        elif isinstance(present, tuple | list) and not isinstance(value, list | tuple):
            settings[name] = [value]  # one value where a list is expected is a list of one
        else:
            settings[name] = value


def _unknown_setting(name: str, siblings: Mapping[str, Any]) -> str:
    elsewhere = [key for key in _keys(dataclasses.asdict(Config())) if key.endswith(f".{name}")]
    if elsewhere:
        return f"unknown setting '{name}' here; did you mean {' or '.join(elsewhere)}?"
    return unknown_name(name, siblings, "setting")


def _keys(settings: Mapping[str, Any]) -> Iterator[str]:
    for name, value in settings.items():
        inner = _keys(value) if isinstance(value, dict) else ()
        yield from [f"{name}.{key}" for key in inner] or [name]


def _filled(node: DictConfig, prefix: str, problems: list[str]) -> dict[str, Any]:
    """Fills in `${...}`; notes each value for which this fails and leaves it out."""
    found: dict[str, Any] = {}
    name: Any  # a layer may be called 1
    for name in node:
        try:
            missing = OmegaConf.is_missing(node, name)  # "???": here it is a text like any other
            value = "???" if missing else node[name]
            if isinstance(value, DictConfig):
                value = _filled(value, f"{prefix}{name}.", problems)
            elif isinstance(value, ListConfig):
                value = OmegaConf.to_container(value, resolve=True)
            found[str(name)] = value
        except OmegaConfBaseException as error:
            problems.append(f"{prefix}{name}: {_first_line(error)}{_ESCAPE}.")
    return found


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n", 1)[0].rstrip(".")
