"""Pictures and settings from pipes, as a shell's `<(command)` gives them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from refusals import command

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs a shell with <(...)")


def in_bash(line: str, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs a line of bash; in it `$0` is Python, `$1`, `$2`, ... the words."""
    return subprocess.run(
        ["bash", "-c", line, sys.executable, *words],
        cwd=cwd,
        env={**os.environ, "WANDB_MODE": "disabled"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.mark.slow
def test_pictures_are_read_from_pipes(tmp_path: Path, photo: Path, painting: Path) -> None:
    done = in_bash(
        'exec "$0" -m overpaint content.image=<(cat "$1") style.images=[<(cat "$2")] '
        'init.mode=file init.file=<(cat "$1") "${@:3}"',
        *map(str, (photo, painting)),
        *("image.size=32", "schedule.steps=2", "encoder.name=vgg19_slim", "tracking.mode=disabled"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs").iterdir()
    assert (folder / "result.png").is_file()
    inputs = json.loads((folder / "environment.json").read_text(encoding="utf-8"))["inputs"]
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (photo, painting, photo)]
    assert list(inputs.values()) == hashes
    assert list(inputs) == ["content.image", "style.images[0]", "init.file"]


def test_settings_are_read_from_a_pipe(tmp_path: Path) -> None:
    done = in_bash(
        'exec "$0" -m overpaint --config <(echo "image: {size: 77}") --print-config', cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "size: 77" in done.stdout


def test_a_closed_pipe_is_no_picture(tmp_path: Path, painting: Path) -> None:
    done = command(["content.image=/dev/fd/87", "--style", painting.name], cwd=tmp_path)
    assert done.returncode == 2
    assert "content.image: no such file: '/dev/fd/87'" in " ".join(done.stderr.split())
