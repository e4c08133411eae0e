"""`checkpoints/` of a run folder: what an unfinished run needs to go on.

Lightning's checkpoints, as files that are whole or not there, and that execute nothing.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import re
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from lightning_fabric.plugins.io.checkpoint_io import CheckpointIO

from overpaint.errors import CheckpointError, brief
from overpaint.files import write_bytes, write_text

logger = logging.getLogger(__name__)

_KEPT = 2  # the newest, and the one before in case that it is damaged
_NAME = re.compile(r"step_(\d+)\.ckpt")


Checkpoint = Mapping[str, Any]
"""What Lightning's trainer saves: `state_dict`, `optimizer_states`, `callbacks`, `loops`, ..."""


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a checkpoint onto the CPU; only tensors and plain values can be in it.

    Raises:
        CheckpointError: if it is not there, damaged, or holds anything else.
    """
    try:
        content = path.read_bytes()
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            damaged = archive.testzip()  # PyTorch itself reads over a flipped bit
        if damaged is not None:
            raise ValueError(f"{damaged} has another checksum")
        read = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes raise all kinds
        raise CheckpointError(f"'{path}' cannot be read ({brief(error)}).") from error
    if not isinstance(read, dict):
        raise CheckpointError(f"'{path}' is no checkpoint.")
    return read


class WholeFiles(CheckpointIO):
    """Writes under a temporary name first, and reads with `read_checkpoint`."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Writes a checkpoint; the file that had its name before is whole until then."""
        content = io.BytesIO()
        torch.save(checkpoint, content)
        write_bytes(Path(path), content.getvalue())

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Reads one, always onto the CPU and always plain values alone."""
        return read_checkpoint(Path(path))

    def remove_checkpoint(self, path: str | Path) -> None:
        """Deletes one."""
        Path(path).unlink(missing_ok=True)


@dataclass(frozen=True)
class Origin:
    """What a run began with, so that it goes on with the same."""

    inputs: Mapping[str, str]
    """The setting of each picture to the SHA-256 of its file."""
    weights_sha256: str
    versions: Mapping[str, str]
    tracking_id: str | None
    """Of the run at W&B, if it is tracked there."""


def _seal(settings: str) -> str:
    """The line above settings that says whether they are whole."""
    return f"# sha256 {hashlib.sha256(settings.encode()).hexdigest()}\n"


class CheckpointFolder:
    """What lies beside the pictures of a run while it is not done.

    Args:
        run: the run folder.
    """

    def __init__(self, run: Path) -> None:
        self.run = run
        self.path = run / "checkpoints"
        self.settings = self.path / "settings.yaml"
        """All settings of the run, with the place of its copy."""
        self._is_done = False

    def begin(self, settings: str, origin: Origin) -> None:
        """Writes what the run begins with, before its first step.

        Args:
            settings: YAML with absolute paths.
            origin: what they led to.

        Raises:
            OSError: if it cannot be written.
        """
        write_text(self.settings, f"{_seal(settings)}{settings}")
        write_text(self.path / "origin.json", json.dumps(asdict(origin), indent=2) + "\n")

    def whole_settings(self) -> Path:
        """The file of the settings.

        Raises:
            CheckpointError: if it is damaged, or was edited.
        """
        try:
            seal, _, settings = self.settings.read_text(encoding="utf-8").partition("\n")
        except (OSError, ValueError) as error:
            raise CheckpointError(f"'{self.settings}' cannot be read ({error}).") from error
        if f"{seal}\n" != _seal(settings):
            raise CheckpointError(
                f"'{self.settings}' is damaged or was edited; give what is to change with --resume."
            )
        return self.settings

    def origin(self) -> Origin:
        """What the run began with.

        Raises:
            CheckpointError: if that is not there or damaged.
        """
        path = self.path / "origin.json"
        try:
            return Origin(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise CheckpointError(f"'{path}' cannot be read ({error}).") from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps every other process from painting here; the lock ends with the process.

        Raises:
            CheckpointError: if another process paints here.
            OSError: if the folder cannot be written.
        """
        self.path.mkdir(exist_ok=True)
        lock = FileLock(self.path / "lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise CheckpointError(f"'{self.run}' is being painted by another process.") from None
        try:
            yield
        finally:
            lock.release()
            if self._is_done:
                self._remove()  # what could not be while the lock was open

    def place(self, step: int) -> Path:
        """The file of a new checkpoint; forgets all but the newest one before."""
        for path in self._found()[_KEPT - 1 :]:
            path.unlink(missing_ok=True)
        return self.path / f"step_{step:05d}.ckpt"

    def has_any(self) -> bool:
        """Whether there is a checkpoint."""
        return bool(self._found())

    def newest(self) -> tuple[Path, Checkpoint] | None:
        """The newest checkpoint that is whole; says which ones are not.

        Returns:
            The file and what is in it; None if there is none, and the run has to begin again.
        """
        for path in self._found():
            try:
                return path, read_checkpoint(path)
            except CheckpointError as error:
                logger.warning("%s Going back to the one before it.", error)
                path.rename(path.with_suffix(".damaged"))
        return None

    def finish(self) -> None:
        """Deletes all of it, for the run is done; a process killed meanwhile leaves no settings."""
        self._is_done = True
        self._remove()

    def _remove(self) -> None:
        with suppress(OSError):
            self.settings.unlink(missing_ok=True)
            shutil.rmtree(self.path)

    def _found(self) -> list[Path]:
        """The checkpoints, newest first."""
        named = [(_NAME.fullmatch(path.name), path) for path in self.path.glob("step_*.ckpt")]
        steps = [(int(match[1]), path) for match, path in named if match]
        return [path for _, path in sorted(steps, reverse=True)]
