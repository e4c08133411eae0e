from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator

import pytest

from overpaint.loading import uncollected


@pytest.fixture(autouse=True)
def _collector_as_it_was() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


def test_nothing_is_collected_inside_and_the_collector_is_back_afterwards() -> None:
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_the_collector_stays_off_where_it_was_off() -> None:
    gc.disable()
    with uncollected():
        pass
    assert not gc.isenabled()


def test_what_there_is_by_the_end_is_left_out_and_what_comes_later_is_not() -> None:
    with uncollected():
        kept = [[] for _ in range(100)]  # type: ignore[var-annotated]
    assert gc.get_freeze_count() > 100
    tracked = {id(value) for value in gc.get_objects()}
    assert tracked.isdisjoint(id(value) for value in kept)
    later: list[object] = []
    later.append(later)
    del later
    assert gc.collect() >= 1


def test_an_error_passes_and_leaves_the_collector_on_and_nothing_frozen() -> None:
    with pytest.raises(ImportError, match="missing"), uncollected():
        raise ImportError("missing")
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


COUNTED = """
import gc
collections = []
gc.callbacks.append(lambda phase, info: collections.append(info["generation"]))
from overpaint.loading import uncollected
before = len(collections)
with uncollected():
    import overpaint.runs.stylize
print(collections[before:].count(2), gc.get_freeze_count())
"""


@pytest.mark.slow
def test_importing_a_run_does_not_collect_what_it_imports() -> None:
    done = subprocess.run(
        [sys.executable, "-c", COUNTED], capture_output=True, text=True, check=True
    )
    full, frozen = map(int, done.stdout.split())
    assert full <= 2, "a library may ask for one itself; without the block there are eight"
    assert frozen > 100_000
