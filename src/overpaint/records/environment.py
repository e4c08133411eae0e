"""What is true of this machine and installation, written beside what a run did."""

from __future__ import annotations

import importlib.metadata
import json
import math
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from overpaint.files import readable, write_text
from overpaint.version import __version__

_PACKAGES = (
    "torch",
    "torchvision",
    "pytorch-lightning",
    "numpy",
    "pillow",
    "omegaconf",
    "safetensors",
    "wandb",
)


def read_facts(folder: Path) -> Mapping[str, Any]:
    """What a run wrote down about itself: `losses`, `steps`, `inputs`, ...

    Args:
        folder: of the run.

    Returns:
        Nothing if it did not get there.
    """
    try:
        facts = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def save_environment(path: Path, facts: Mapping[str, Any]) -> None:
    """Writes `facts` beside what is true of this machine and installation, as JSON.

    JSON knows no infinity and no NaN; null stands for them. Names of files that are not UTF-8 are
    told with escapes.
    """
    environment = {
        "versions": versions(),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "processor": _processor(),
        "cpu_count": os.cpu_count(),
        "commit": _commit(),
        "command": sys.argv,
        **facts,
    }
    write_text(path, json.dumps(_plain(environment), indent=2, allow_nan=False) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):
        return readable(value)
    if isinstance(value, Mapping):
        return {readable(key): _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def versions() -> dict[str, str]:
    """This package's version and those of the packages that matter for the picture."""
    found = {"overpaint": __version__}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [
                line.partition(":")[2].strip() for line in file if line.startswith("model name")
            ]
    except OSError:
        names = []
    return names[0] if names else platform.processor()


def _commit() -> str | None:
    """The Git commit of the source, with `-dirty` if it was changed; None outside a checkout."""
    source = Path(__file__).resolve().parent
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=source,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
        tracked = subprocess.run(
            ["git", "ls-files", "--error-unmatch", Path(__file__).name],
            cwd=source,
            capture_output=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip() if tracked.returncode == 0 else None
