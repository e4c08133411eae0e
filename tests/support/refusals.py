"""The real command on inputs that it has to refuse: what it says, and that it leaves nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

LINES_AT_MOST = 3


def command(
    words: Sequence[str | bytes],
    *,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    timeout: float = 120,
) -> subprocess.CompletedProcess[str]:
    """Runs `python -m overpaint` as a person would, without W&B's or this project's variables.

    Args:
        words: behind the name of the command.
        cwd: the current folder.
        env: further environment variables.
        timeout: seconds after which the command counts as hanging.
    """
    own = ("WANDB_", "NEURAL_STYLE_", "SLURM_", "PYTEST_")
    inherited = {key: one for key, one in os.environ.items() if not key.startswith(own)}
    return subprocess.run(
        [sys.executable, "-m", "overpaint", *words],
        cwd=cwd,
        env={**inherited, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="backslashreplace",
        timeout=timeout,
        check=False,
    )


def refused(
    words: Sequence[str | bytes],
    *,
    cwd: Path,
    status: int = 2,
    env: Mapping[str, str] | None = None,
) -> str:
    """Runs a command that must refuse: its status, few lines, no traceback, and no file left.

    Args:
        words: behind the name of the command.
        cwd: the current folder; what is in it must be the same afterwards.
        status: 2 for bad input, 1 where the user is not at fault.
        env: further environment variables.

    Returns:
        What the command said on standard error.
    """
    before = _listing(cwd)
    done = command(words, cwd=cwd, env=env)
    told = done.stderr
    assert done.returncode == status, told
    assert "Traceback" not in told, told
    lines = [line for line in told.splitlines() if line.strip()]
    assert 1 <= len(lines) <= LINES_AT_MOST, told
    assert not done.stdout, done.stdout
    assert _listing(cwd) == before, "the command left or took files"
    return told


def _listing(folder: Path) -> dict[str, int]:
    """Every path in a folder, and the size of what is a file."""
    return {
        os.fsdecode(os.fsencode(path.relative_to(folder))): path.lstat().st_size
        if path.is_file()
        else -1
        for path in folder.rglob("*")
    }
