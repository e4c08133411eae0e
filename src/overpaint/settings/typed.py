"""From plain nested values to a `Config`, with one line for each value that does not fit."""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from overpaint.errors import shortened, unknown_name
from overpaint.settings.kinds import ANY_RANGE, NO_NAME, OUT_OF_RANGE
from overpaint.settings.schema import Config, RegionConfig, Task

# What pydantic expected, by the first word of its type of error.
_EXPECTED = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "a text",
    "tuple": "a list",
    "dict": "'key: value' pairs",
    "dataclass": "'key: value' pairs",
}


_REGION = tuple(field.name for field in dataclasses.fields(RegionConfig))


def to_config(settings: Mapping[str, Any], *, task: Task = "run") -> tuple[Config, list[str]]:
    """Holds values against the types and ranges of the schema.

    Args:
        settings: nested plain values by the names of the schema; what is left out is the default.
        task: for `run` the ranges of `tune.*` do not matter.

    Returns:
        The settings, and one line for each value that does not fit. A value out of range stands in
        the settings as it was given, so that rules can be tried on it; one of another type is
        replaced by the default.
    """
    try:
        return schema().validate_python(settings), []
    except ValidationError as error:
        faults = error.errors(include_url=False)
    usable = copy.deepcopy(dict(settings))
    problems = []
    for fault in faults:
        if fault["type"] != OUT_OF_RANGE:
            _leave_out(usable, fault["loc"])
        elif task == "run" and fault["loc"][0] == "tune":
            continue
        problems.append(f"{_key(fault['loc'])}: {_reason(fault)}.")
    return schema().validate_python(usable, context=ANY_RANGE), problems


@functools.cache  # building it takes as long as all else here, so not at import
def schema() -> TypeAdapter[Config]:
    """The settings' types as pydantic has them.

    An interrupt while pydantic builds them is lost in it: commands build them before one counts.
    """
    return TypeAdapter(Config)


def _leave_out(settings: dict[str, Any], place: Sequence[str | int]) -> None:
    """Removes the setting that a fault lies in, a list or a mapping of layers as a whole."""
    default: Any = Config()
    *sections, setting = (str(name) for name in place)
    for name in sections:
        default = getattr(default, name)
        if not dataclasses.is_dataclass(default):
            setting = name
            break
        settings = settings[name]
    settings.pop(setting, None)  # gone already if it holds several faults


def _key(place: Sequence[str | int]) -> str:
    words = [f"[{word}]" if isinstance(word, int) else f".{word}" for word in place]
    return "".join(words).removeprefix(".")


def _reason(fault: ErrorDetails) -> str:
    kind, value = fault["type"], repr(fault["input"])
    if kind in (OUT_OF_RANGE, NO_NAME):
        return fault["msg"]
    if kind == "missing":
        return "missing; every region needs one"
    if kind == "unexpected_keyword_argument":
        return unknown_name(str(fault["loc"][-1]), _REGION, "setting of a region").rstrip(".")
    if kind == "literal_error":
        expected = f"one of {fault['ctx']['expected']}"
    else:
        expected = _EXPECTED[kind.partition("_")[0]]
    return f"expected {expected}, got {shortened(value)}"
