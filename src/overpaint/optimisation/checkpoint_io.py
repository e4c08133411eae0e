"""Lightning's checkpoints as files that are whole or not there, and that execute nothing."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.checkpoint_io import CheckpointIO

from overpaint.errors import CheckpointError, brief
from overpaint.files import replacing

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
        with replacing(Path(path)) as temporary:
            temporary.write_bytes(content.getbuffer())

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Reads one, always onto the CPU and always plain values alone."""
        return read_checkpoint(Path(path))

    def remove_checkpoint(self, path: str | Path) -> None:
        """Deletes one."""
        Path(path).unlink(missing_ok=True)
