from __future__ import annotations

import pytest

from overpaint.building.objective import starts_from_photo
from overpaint.settings.schema import Config, ContentConfig, InitConfig


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("content", True),
        ("recolored", True),
        ("blend", True),
        ("multiply", True),
        ("noise", False),
        ("style", False),
        ("file", False),
    ],
)
def test_a_run_starts_from_the_photo_only_if_it_is_to_show_it(mode: str, expected: bool) -> None:
    init = InitConfig(mode)  # type: ignore[arg-type]
    assert starts_from_photo(Config(init=init)) is expected
    assert starts_from_photo(Config(init=init, content=ContentConfig(weight=0.0))) is False
