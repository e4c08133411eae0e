"""The command in the process of the tests."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

import overpaint.optimisation.memory


@pytest.fixture
def untuned(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Spares this process what a command does to its own: memory kept, objects left out."""
    monkeypatch.setattr(overpaint.optimisation.memory, "keep_freed_memory", lambda: True)
    yield
    gc.unfreeze()
