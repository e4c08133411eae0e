"""Where two sets of settings differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from overpaint.settings.schema import REPLACED, Config
from overpaint.settings.writing import to_dict


def differing_settings(first: Config, second: Config) -> dict[str, tuple[Any, Any]]:
    """Dotted key to the values of both, for each setting that differs; layers count as one."""
    one, other = dict(_flat(to_dict(first))), dict(_flat(to_dict(second)))
    return {key: (one[key], other[key]) for key in one if one[key] != other[key]}


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and key not in REPLACED:
            yield from _flat(value, f"{key}.")
        else:
            yield key, value
