"""Words that `overpaint compare` refuses, and what it leaves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY
from refusals import command, refused
from run_folders import make_run

REFUSED = [
    ("", "there is nothing to compare"),
    ("nope", "'nope': no such folder"),
    ("empty", "'empty': there is no run in this folder."),
    ("photo.png", "'photo.png': no such folder"),
    ("runs nope", "'nope': no such folder"),
    ("runs -o page.png", "--output: 'page.png' must end in .html."),
    ("runs -o page", "--output: 'page' must end in .html."),
    ("runs -o folder.html", "--output: 'folder.html' is a folder"),
    ("runs -o new/page.html", "--output: no such folder: 'new'"),
    (f"runs -o {'a' * 300}.html", "cannot be written (File name too long)"),
    (
        "runs --grid style.wieght seed",
        "unknown setting 'style.wieght'; did you mean 'style.weight'",
    ),
    ("runs --grid seed seed", "--grid: name two settings, not 'seed' twice."),
    ("runs --gird=seed", "unknown option --gird=seed; did you mean --grid?"),
]


@pytest.fixture
def place(tmp_path: Path, photo: Path, painting: Path) -> Path:
    make_run(tmp_path / "runs" / "a", photo=photo, painting=painting)
    for name in ("empty", "folder.html"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.mark.parametrize(("words", "told"), REFUSED)
def test_what_cannot_be_compared_is_refused_in_words(place: Path, words: str, told: str) -> None:
    assert told in refused(["compare", *words.split()], cwd=place)


def test_a_name_that_is_not_utf8_is_refused_in_words(place: Path) -> None:
    assert r"no such folder" in refused(["compare", b"r\xfcn"], cwd=place)


def test_the_page_is_written_and_its_place_is_told(place: Path) -> None:
    done = command(["compare", "runs", "-o", "page.html"], cwd=place)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("Page: page.html (")
    first = (place / "page.html").read_text(encoding="utf-8")
    assert first.startswith("<!doctype html>")
    assert command(["compare", "runs", "-o", "page.html"], cwd=place).returncode == 0
    assert sorted(os.listdir(place)) == sorted(
        ["empty", "folder.html", "page.html", "painting.png", "photo.png", "runs"]
    )


def test_the_script_of_a_checkout_is_the_same_command(place: Path) -> None:
    script = REPOSITORY / "scripts" / "compare.py"
    words = [sys.executable, str(script), "runs", "-o", "page.html"]
    done = subprocess.run(words, cwd=place, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr[:17]) == (0, "Page: page.html ("), done.stderr
    assert f"python {REPOSITORY / 'scripts' / 'stylize.py'} --config" in (
        place / "page.html"
    ).read_text(encoding="utf-8")


def test_runs_that_are_damaged_in_every_way_make_a_page(place: Path) -> None:
    for name in ("config.yaml", "environment.json", "metrics.csv", "result.png"):
        (place / "runs" / "a" / name).write_bytes(b"\xff\0half")
    done = command(["compare", "runs/a"], cwd=place)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert "damaged" in (place / "report.html").read_text(encoding="utf-8")
