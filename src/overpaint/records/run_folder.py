"""What a run leaves: its result, its folder, and what it writes down about itself."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import math
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from PIL import Image

from overpaint.files import write_text
from overpaint.optimisation.verdicts import Finding
from overpaint.settings.schema import Config
from overpaint.settings.writing import to_yaml
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


@dataclass(frozen=True)
class RunResult:
    """What a finished or interrupted run leaves."""

    image: Image.Image
    """The result, mode RGB."""
    folder: Path
    """Absolute path of the run folder."""
    losses: dict[str, float]
    """Of the result: `total`, `content`, `style` and `style/<layer>`; at the size reached."""
    steps: int
    """Steps done; after a divergence those that made the result."""
    evaluations: int
    """Forward and backward passes done; more than steps if a line search was used."""
    seconds: float
    """Of the optimisation: all sizes with their targets."""
    step_seconds: float
    """Of Lightning's fits alone: the steps with their logging and snapshots."""
    interrupted: bool
    device: str
    """`cpu`, `mps`, or the name of the GPU."""
    precision: str
    """`32-true` or `bf16-mixed`."""
    compiled: bool
    """Whether steps were compiled by torch.compile."""
    peak_memory_bytes: int | None
    """The most memory held: on the GPU if one was used, else by the process."""
    diverged: str | None
    """What went wrong where, if the run left the finite numbers; `image` is the last good one."""
    warnings: tuple[Finding, ...]
    """What was found about the learning rate."""


def create_run_folder(
    root: str | Path, content: str, styles: Sequence[str], *, study: str | None = None
) -> Path:
    """Makes `root/<time>-<content>-<style>` with `snapshots/` in it.

    Args:
        root: made if missing.
        content: path of the content picture.
        styles: paths of the style pictures.
        study: what is studied, if it is no run; it follows the time, and there are no snapshots.

    Returns:
        The absolute path of the new folder; a number is added if the name is taken.

    Raises:
        OSError: if it cannot be made.
    """
    time = datetime.now().strftime("%Y%m%d-%H%M%S")
    inputs = [_slug(content), "+".join(_slug(style) for style in styles)]
    name = "-".join([time, *([study] if study else []), *inputs])[:120]
    for attempt in range(1, 1000):
        folder = Path(root).absolute() / (name if attempt == 1 else f"{name}-{attempt}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        if not study:
            (folder / "snapshots").mkdir()
        return folder
    raise FileExistsError(f"'{root}' already holds 999 runs named '{name}'.")


def _slug(path: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]+", "_", Path(path).stem).strip("_")[:40] or "picture"


def save_settings(config: Config, path: Path) -> None:
    """Writes settings that give the same picture from any folder: with absolute paths."""

    def absolute(name: str) -> str:
        return str(Path(name).absolute())

    init, encoder, output = config.init, config.encoder, config.output
    if output.copy:
        output = dataclasses.replace(output, copy=absolute(output.copy))
    if init.file:
        init = dataclasses.replace(init, file=absolute(init.file))
    if encoder.weights not in ("auto", "imagenet"):
        encoder = dataclasses.replace(encoder, weights=absolute(encoder.weights))
    movable = dataclasses.replace(
        config,
        content=dataclasses.replace(config.content, image=absolute(config.content.image)),
        style=dataclasses.replace(
            config.style, images=tuple(absolute(name) for name in config.style.images)
        ),
        init=init,
        encoder=encoder,
        output=output,
    )
    write_text(path, "# The resolved settings of this run.\n" + to_yaml(movable))


def save_environment(path: Path, facts: Mapping[str, Any]) -> None:
    """Writes `facts` beside what is true of this machine and installation, as JSON.

    JSON knows no infinity and no NaN; null stands for them.
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
    write_text(path, json.dumps(_with_nulls(environment), indent=2, allow_nan=False) + "\n")


def _with_nulls(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _with_nulls(one) for key, one in value.items()}
    return [_with_nulls(one) for one in value] if isinstance(value, list | tuple) else value


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
