from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY

from overpaint.encoder.weights import VARIABLE

pytestmark = pytest.mark.slow  # processes that import PyTorch and run dozens of steps


def check(vgg_file: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(REPOSITORY / "scripts" / "development" / "check_tuning.py"), *words],
        cwd=REPOSITORY,
        env={**os.environ, VARIABLE: str(vgg_file), "NEURAL_STYLE_LOG": "ERROR"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_rate_found_is_compared_with_a_grid(
    vgg_file: Path, photo: Path, painting: Path, tmp_path: Path
) -> None:
    done = check(
        vgg_file,
        *("--config", "configs/default.yaml", "configs/paper.yaml", "--output"),
        *(str(tmp_path / "found.json"), "--size", "32", "--steps", "4", "--grid", "4"),
        *("--turns", "1", "--content", str(photo), "--style", str(painting)),
        *("tune.candidates=2", "trainer.accelerator=cpu"),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert [row["normalization"] for row in found["rows"]] == ["relative", "paper"]
    for row in found["rows"]:
        usable = [one["loss"] for one in row["grid"] if one["usable"]]
        assert len(row["grid"]) == 4
        assert row["best"]["loss"] == min(usable)
        assert row["loss"] > 0
        assert list(row["warned"]) == ["0.01", "1", "100"]
        assert f"| {row['rate']:.3g} |" in done.stdout
    speed = found["speed"]
    assert speed["ratio"] == pytest.approx(speed["together"] / speed["alone"])


def test_a_setting_that_is_wrong_is_told_before_anything_is_searched(
    vgg_file: Path, photo: Path, painting: Path
) -> None:
    words = ("--content", str(photo), "--style", str(painting))
    done = check(vgg_file, *words, "tune.candidates=0")
    assert done.returncode == 2
    assert "tune.candidates: 0 is out of range" in done.stderr
    assert "Traceback" not in done.stderr
    done = check(vgg_file, *words, str(photo), "tune.steps=4")
    assert done.returncode == 2
    assert "as many paintings as photos" in done.stderr
