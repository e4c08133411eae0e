from __future__ import annotations

import re
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import make_picture
from PIL import Image

from overpaint.tracking.port import Source
from overpaint.tracking.wandb import artifacts
from overpaint.tracking.wandb.artifacts import is_least_of_its_group, result_name, source_artifact


def run_of(group: str | None) -> Any:
    return SimpleNamespace(group=group, id="abc", entity="team", project="paint")


@pytest.fixture
def staging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CACHE_DIR", "DATA_DIR", "ARTIFACT_DIR"):
        monkeypatch.setenv(f"WANDB_{name}", str(tmp_path / "wandb"))


@pytest.mark.usefixtures("staging")
def test_a_painting_is_one_artifact_whatever_its_file_is_called() -> None:
    picture = make_picture((1500, 900), seed=1)
    picture.info["exif"] = b"Exif\0\0where it was taken"
    one, other = (
        source_artifact(Source("painting", picture, name, "ab" * 32))
        for name in ("painting.jpg", "картина [1].jpg")
    )
    assert one.name == other.name == f"painting-{'ab' * 8}"
    assert one.type == "painting"
    assert one.digest == other.digest  # so it is one version, too
    assert other.metadata == {
        **{"sha256": "ab" * 32, "file": "картина [1].jpg"},
        **{"width": 1500, "height": 900},
    }
    (entry,) = one.manifest.entries.values()
    assert re.fullmatch("[a-z.]+", entry.path)
    assert entry.local_path is not None
    with Image.open(entry.local_path) as kept:
        assert kept.size == (1024, 614)
        assert not kept.getexif()
        assert "exif" not in kept.info


def test_results_of_a_group_are_one_artifact_and_groups_do_not_mix() -> None:
    assert result_name(run_of(None)) == result_name(run_of("")) == "result-abc"
    assert result_name(run_of("first try_2.0")) == result_name(run_of("first try_2.0"))
    assert result_name(run_of("plain-1")) == "result-plain-1"
    groups = ["a b", "a-b", "a/b", "картины", "картина", "g" * 128, "g" * 127]
    names = [result_name(run_of(group)) for group in groups]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,128}", name) for name in names)


class Group:
    """Stands in for wandb.Api: the runs of a group that the question finds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
        import wandb

        self.asked: list[Any] = []
        self._answer = answer
        monkeypatch.setattr(wandb, "Api", lambda **options: self)

    def runs(self, path: str, filters: dict[str, Any], per_page: int) -> Any:
        self.asked.append((path, filters))
        return self._answer() if callable(self._answer) else self._answer


def test_a_result_is_the_best_if_no_other_of_its_group_has_a_smaller_loss(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    group = Group(monkeypatch, [])
    assert is_least_of_its_group(run_of("some"), 1.5, mode="online")
    ((path, filters),) = group.asked
    assert path == "team/paint"
    assert filters["$and"][0] == {"group": "some"}
    assert {"name": {"$ne": "abc"}} in filters["$and"]
    assert {"summary_metrics.final/total": {"$lt": 1.5}} in filters["$and"]
    Group(monkeypatch, ["a better run"])
    assert not is_least_of_its_group(run_of("some"), 1.5, mode="online")


def test_without_a_group_or_a_connection_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    group = Group(monkeypatch, [])
    assert is_least_of_its_group(run_of(None), 1.5, mode="online")
    assert is_least_of_its_group(run_of(None), 1.5, mode="offline")
    assert not is_least_of_its_group(run_of("some"), 1.5, mode="offline")
    assert not group.asked


def test_a_question_that_fails_or_is_not_answered_costs_little(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> None:
        raise ConnectionError("gone")

    Group(monkeypatch, fail)
    assert not is_least_of_its_group(run_of("some"), 1.5, mode="online")
    answered = threading.Event()
    monkeypatch.setattr(artifacts, "PATIENCE_S", 0.05)
    Group(monkeypatch, lambda: answered.wait(20) and [])
    began = time.monotonic()
    assert not is_least_of_its_group(run_of("some"), 1.5, mode="online")
    assert time.monotonic() - began < 10
    answered.set()
