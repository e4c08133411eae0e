from __future__ import annotations

import json
import math
import os
import platform
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL
import pytest
import torch

from overpaint.records import environment
from overpaint.records.environment import read_facts, save_environment, versions
from overpaint.version import __version__

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def git_says(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replaces Git by its answers."""

    def answer(described: str | BaseException, tracked: bool = True) -> None:
        def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
            if isinstance(described, BaseException):
                raise described
            if command[1] == "describe":
                return subprocess.CompletedProcess(command, 0, f"{described}\n", "")
            return subprocess.CompletedProcess(command, 0 if tracked else 1, "", "")

        monkeypatch.setattr(subprocess, "run", run)

    return answer


def test_the_environment_is_described(
    tmp_path: Path, git_says: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    git_says(COMMIT)
    monkeypatch.setattr("sys.argv", ["stylize.py", "seed=1"])
    save_environment(tmp_path / "environment.json", {"steps": 3, "losses": {"total": 0.5}})
    text = (tmp_path / "environment.json").read_text(encoding="utf-8")
    described = json.loads(text)
    processor = described.pop("processor")
    assert isinstance(processor, str)
    assert described.pop("versions")["overpaint"] == __version__
    assert described == {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "commit": COMMIT,
        "command": ["stylize.py", "seed=1"],
        "steps": 3,
        "losses": {"total": 0.5},
    }
    assert text.endswith("}\n")


@pytest.mark.parametrize(
    ("described", "tracked", "commit"),
    [
        (COMMIT, True, COMMIT),
        (f"{COMMIT}-dirty", True, f"{COMMIT}-dirty"),
        (COMMIT, False, None),
        (FileNotFoundError("git"), True, None),
        (subprocess.CalledProcessError(128, "git"), True, None),
        (subprocess.TimeoutExpired("git", 10), True, None),
    ],
    ids=["clean", "changed", "inside another checkout", "no git", "no checkout", "stuck"],
)
def test_the_commit_is_that_of_this_source_or_none(
    tmp_path: Path,
    git_says: Callable[..., None],
    described: str | BaseException,
    tracked: bool,
    commit: str | None,
) -> None:
    git_says(described, tracked)
    save_environment(tmp_path / "environment.json", {})
    assert json.loads((tmp_path / "environment.json").read_text())["commit"] == commit


def test_numbers_that_json_does_not_know_are_null(
    tmp_path: Path, git_says: Callable[..., None]
) -> None:
    git_says(COMMIT)
    losses = {"total": math.nan, "style": [1.5, math.inf, (-math.inf, 2)]}
    save_environment(tmp_path / "environment.json", {"losses": losses})
    text = (tmp_path / "environment.json").read_text()
    assert json.loads(text)["losses"] == {"total": None, "style": [1.5, None, [None, 2]]}
    assert "NaN" not in text


def test_versions_are_those_of_the_imported_packages() -> None:
    found = versions()
    assert found["overpaint"] == __version__
    assert found["numpy"] == np.__version__
    assert found["pillow"] == PIL.__version__
    assert torch.__version__.startswith(found["torch"].partition("+")[0])
    assert {"torchvision", "pytorch-lightning", "omegaconf", "safetensors", "wandb"} < set(found)
    assert all(re.match(r"\d+\.\d+", version) for version in found.values())


def test_a_package_that_is_missing_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_PACKAGES", ("numpy", "no-such-package-here"))
    assert versions() == {
        "overpaint": __version__,
        "numpy": np.__version__,
        "no-such-package-here": "not installed",
    }


def test_facts_are_read_back_and_damaged_ones_are_none(tmp_path: Path) -> None:
    assert read_facts(tmp_path) == {}
    save_environment(tmp_path / "environment.json", {"steps": 3})
    assert read_facts(tmp_path)["steps"] == 3
    for text in ("", "{", "[1]", "null"):
        (tmp_path / "environment.json").write_text(text)
        assert read_facts(tmp_path) == {}
    (tmp_path / "environment.json").write_bytes(b"\xff{}")
    assert read_facts(tmp_path) == {}
