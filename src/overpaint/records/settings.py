"""The settings of a run, kept as a file that repeats it."""

from __future__ import annotations

from pathlib import Path

from overpaint.files import write_text


def save_settings(settings: str, path: Path) -> None:
    """Writes settings that give the same picture from any folder.

    Args:
        settings: YAML with absolute paths.
        path: of the file.

    Raises:
        WriteError: if it cannot be written.
    """
    write_text(path, f"# The resolved settings of this run.\n{settings}")
