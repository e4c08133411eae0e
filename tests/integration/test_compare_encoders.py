from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY
from PIL import Image

from overpaint.encoder.weights import VARIABLE

pytestmark = pytest.mark.slow  # processes that import PyTorch and run dozens of steps


def compare(vgg_file: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            str(REPOSITORY / "scripts" / "development" / "compare_encoders.py"),
            *words,
        ],
        cwd=REPOSITORY,
        env={**os.environ, VARIABLE: str(vgg_file), "NEURAL_STYLE_LOG": "WARNING"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_both_encoders_are_compared_over_all_pairs(
    vgg_file: Path, photo: Path, painting: Path, tmp_path: Path
) -> None:
    done = compare(
        vgg_file,
        *("--folder", str(tmp_path / "pictures"), "--output", str(tmp_path / "found.json")),
        *("--size", "64", "--content", str(photo), str(painting), "--style", str(painting)),
        "schedule.steps=3",
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    (row,) = found["pairs"]  # a picture in its own style would say nothing
    assert (row["content"], row["style"]) == ("photo", "painting")
    full, slim = (row[name] for name in ("vgg19", "vgg19_slim"))
    for one in (full, slim):
        assert 0 < one["S"] < 1.5
        assert one["C"] > 0
        assert one["seconds_per_step"] > 0
    assert full["S"] != slim["S"]
    summary = found["summary"]
    assert summary["S_ratio"] == pytest.approx(slim["S"] / full["S"])
    assert summary["memory_bytes"]["vgg19"] > 0
    assert f"| photo | painting | {full['S']:.3f} | {slim['S']:.3f} |" in done.stdout
    pictures = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert pictures == [f"photo-painting-{name}.png" for name in ("vgg19", "vgg19_slim")]
    with Image.open(tmp_path / "pictures" / pictures[-1]) as image:
        assert image.size == (64, 48)


def test_a_setting_that_is_wrong_is_told_before_anything_is_painted(
    vgg_file: Path, photo: Path, painting: Path
) -> None:
    words = ("--content", str(photo), "--style", str(painting), "style.wight=3")
    done = compare(vgg_file, *words)
    assert done.returncode == 2
    assert "unknown setting 'wight'" in done.stderr
    assert "Traceback" not in done.stderr
