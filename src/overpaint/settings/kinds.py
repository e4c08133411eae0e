"""Kinds of values that a setting may take: pydantic types with what is allowed in words.

A number may be given as a text that reads as one, as environment variables are.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ValidationInfo
from pydantic_core import PydanticCustomError, PydanticKnownError

from overpaint.files import readable

ANY_RANGE = "any range"  # context of a validation that lets values out of range pass
OUT_OF_RANGE = "out_of_range"
NO_NAME = "no_name"


def _as_text(value: Any) -> Any:
    if isinstance(value, bytes):  # YAML's way to hold a file's name that is not UTF-8
        return os.fsdecode(value)
    return str(value) if isinstance(value, bool | int | float | PurePath) else value


def _as_name(value: str) -> str:
    """A file's name as this machine spells it, a leading `~` as the folder that it stands for."""
    try:
        # Not UTF-8 everywhere: a file of settings from elsewhere names the same bytes.
        name = os.fsdecode(value.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        name = "\0"
    if "\0" in name:
        told = {"value": repr(value)}
        raise PydanticCustomError(NO_NAME, "{value} can be no file's name", told)
    return os.path.expanduser(name)


def _no_truth(value: Any) -> Any:
    if isinstance(value, bool):  # Python takes it for 0 or 1
        raise PydanticKnownError("float_type")
    return value


def _no_fraction(value: Any) -> Any:
    if isinstance(value, bool | float):  # 512.0 too
        raise PydanticKnownError("int_type")
    return value


def _within(allowed: str, holds: Callable[[float], bool]) -> AfterValidator:
    def check(value: Any, info: ValidationInfo) -> Any:
        is_number = isinstance(value, int) or math.isfinite(value)  # no float is as long as an int
        if info.context == ANY_RANGE or (is_number and holds(value)):
            return value
        told = {"value": value, "allowed": allowed}
        raise PydanticCustomError(OUT_OF_RANGE, "{value} is out of range; allowed: {allowed}", told)

    return AfterValidator(check)


def _sha256(value: str, info: ValidationInfo) -> str:
    if info.context != ANY_RANGE and not re.fullmatch("[0-9a-f]{64}", value.lower()):
        told = {"value": value[:100]}
        message = "'{value}' is no SHA-256, which has 64 hexadecimal digits"
        raise PydanticCustomError(OUT_OF_RANGE, message, told)
    return value.lower()


Text = Annotated[str, BeforeValidator(_as_text), AfterValidator(readable)]
Sha256 = Annotated[Text, AfterValidator(_sha256)]
FileName = Annotated[str, BeforeValidator(_as_text), AfterValidator(_as_name)]
Number = Annotated[float, BeforeValidator(_no_truth)]
Whole = Annotated[int, BeforeValidator(_no_fraction)]

NotNegative = Annotated[Number, _within("0 or more", lambda value: value >= 0)]
Positive = Annotated[Number, _within("above 0", lambda value: value > 0)]
Share = Annotated[Number, _within("0 to 1", lambda value: 0 <= value <= 1)]
Scale = Annotated[Number, _within("above 0 to 1", lambda value: 0 < value <= 1)]
Decay = Annotated[Number, _within("0 to below 1", lambda value: 0 <= value < 1)]
Count = Annotated[Whole, _within("1 or more", lambda value: value >= 1)]
Several = Annotated[Whole, _within("2 or more", lambda value: value >= 2)]
Every = Annotated[Whole, _within("0 (off) or more", lambda value: value >= 0)]
TrialSteps = Annotated[Whole, _within("4 or more", lambda value: value >= 4)]
Depth = Annotated[
    Literal[8, 16], BeforeValidator(lambda value: {"8": 8, "16": 16}.get(str(value).strip(), value))
]
Seed = Annotated[Whole, _within("0 to 2**63 - 1", lambda value: 0 <= value < 2**63)]
