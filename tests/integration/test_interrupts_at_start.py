"""Ctrl-C and SIGTERM in the first seconds of a real process, while libraries are imported."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import REPOSITORY
from PIL import Image

from overpaint.settings.schema import Config
from overpaint.settings.writing import to_yaml

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

MakeConfig = Callable[..., Config]
STARTS = {
    "module": [sys.executable, "-m", "overpaint"],
    "stylize.py": [sys.executable, str(REPOSITORY / "scripts" / "stylize.py")],
    "tune_lr.py": [sys.executable, str(REPOSITORY / "scripts" / "tune_lr.py")],
    "entry point": [sys.executable, "-c", "from overpaint.__main__ import main; main()"],
}

# Python runs this before anything else. It sends a signal at the n-th import from that of the
# command itself on, or says in a file that this one begins.
AT_AN_IMPORT = """
import os, signal, sys

count = -1

def watch(event, arguments):
    global count
    if event == "import" and (count >= 0 or arguments[0] == "overpaint.cli"):
        count += 1
        if count == 0 and "SAY_SO" in os.environ:
            open(os.environ["SAY_SO"], "w").close()
        if str(count) == os.environ.get("SIGNAL_AT"):
            signal.raise_signal(int(os.environ["SIGNAL"]))

sys.addaudithook(watch)
"""


@pytest.fixture
def watched(tmp_path: Path) -> dict[str, str]:
    """The environment of a process whose imports are watched."""
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(AT_AN_IMPORT)
    path = [str(tmp_path / "hook"), str(REPOSITORY / "src"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}


@pytest.fixture
def settings(make_config: MakeConfig, slim_file: Path, tmp_path: Path) -> Path:
    """Of a short run of the smallest network."""
    config = make_config("encoder.name=vgg19_slim", f"encoder.weights={slim_file}")
    path = tmp_path / "settings.yaml"
    path.write_text(to_yaml(config), encoding="utf-8")
    return path


def end_at(
    count: int, number: signal.Signals, words: list[str], env: dict[str, str]
) -> tuple[int, str, str]:
    """Status and output of a command that is sent a signal at an import."""
    done = subprocess.run(
        words,
        env={**env, "SIGNAL_AT": str(count), "SIGNAL": str(int(number))},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
@pytest.mark.parametrize("count", [0, 1, 200])
def test_ctrl_c_while_the_command_is_imported_ends_quietly(
    watched: dict[str, str], start: list[str], count: int
) -> None:
    told = end_at(count, signal.SIGINT, [*start, "--print-config"], watched)
    assert told == (130, "", "Interrupted.\n")


@pytest.mark.slow
@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
@pytest.mark.parametrize("count", [700, 1000, 1400, 2000, 2600])
def test_ctrl_c_while_pytorch_is_imported_ends_quietly_and_leaves_nothing(
    watched: dict[str, str], settings: Path, tmp_path: Path, start: list[str], count: int
) -> None:
    words = [*start, "--config", str(settings)]
    assert end_at(count, signal.SIGINT, words, watched) == (130, "", "Interrupted.\n")
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
@pytest.mark.parametrize("count", [0, 200, 1000, 2000])
def test_sigterm_while_libraries_are_imported_ends_the_process_by_the_signal(
    watched: dict[str, str], settings: Path, tmp_path: Path, count: int
) -> None:
    words = [*STARTS["module"], "--config", str(settings)]
    assert end_at(count, signal.SIGTERM, words, watched) == (-signal.SIGTERM, "", "")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("count", [0, 200])
def test_a_process_that_ignores_ctrl_c_goes_on(watched: dict[str, str], count: int) -> None:
    words = ["bash", "-c", "trap '' INT; exec \"$@\"", "bash", *STARTS["module"], "--version"]
    status, printed, told = end_at(count, signal.SIGINT, words, watched)
    assert (status, told) == (0, "")
    assert printed.startswith("overpaint ")


@pytest.mark.slow
@pytest.mark.parametrize("tenths", range(0, 60, 3))
def test_ctrl_c_at_any_moment_ends_without_a_traceback_and_with_whole_files(
    watched: dict[str, str], settings: Path, tmp_path: Path, tenths: int
) -> None:
    begun = tmp_path / "begun"
    process = subprocess.Popen(
        [*STARTS["module"], "--config", str(settings)],
        env={**watched, "SAY_SO": str(begun)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while not begun.exists() and process.poll() is None:
            time.sleep(0.005)
        time.sleep(tenths / 10)
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=120)[1]
    finally:
        process.kill()
    assert process.returncode in (0, 130), told
    assert "Traceback" not in told
    assert "Exception ignored" not in told
    pictures = [path for path in (tmp_path / "runs").rglob("*") if path.suffix == ".png"]
    for path in pictures:
        with Image.open(path) as picture:
            picture.load()
    assert not [path for path in (tmp_path / "runs").rglob("*") if path.name.startswith(".")]
    assert process.returncode == 130 or any(path.name == "result.png" for path in pictures)
