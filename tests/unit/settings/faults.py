"""What is wrong with some settings, for tests of this room."""

from __future__ import annotations

from typing import Any

import pytest

from overpaint.errors import ConfigError
from overpaint.settings.reading import load_config


def problems(*overrides: str, **options: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigError, match=":") as caught:
        load_config(options.pop("path", None), overrides, **options)
    return caught.value.problems


def the_problem(*overrides: str, **options: Any) -> str:
    found = problems(*overrides, **options)
    assert len(found) == 1, found
    return found[0]


def faulty(found: tuple[str, ...]) -> list[str]:
    """The settings that are found fault with."""
    return sorted(text.partition(":")[0] for text in found)
