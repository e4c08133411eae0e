"""The places that a run writes to, and what writes there, tried before anything is read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from overpaint.errors import ConfigError, brief
from overpaint.files import try_folder, try_to_write
from overpaint.pictures.deep.libvips import missing
from overpaint.settings.schema import Config


def require_places(config: Config, *, copied: bool) -> None:
    """Tries whether results can be written where they are to be, and leaves nothing there.

    Args:
        config: resolved settings; `output` says where.
        copied: whether the result is copied to `output.copy`, if that is set.

    Raises:
        ConfigError: if one of the places cannot be written, or nothing writes 16 bits here.
    """
    if problems := [*_problems(config, copied=copied)]:
        raise ConfigError(problems)


def _problems(config: Config, *, copied: bool) -> Iterator[str]:
    folder, copy = config.output.dir, config.output.copy
    try:
        try_folder(Path(folder))
    except OSError as error:
        yield f"output.dir: no runs can be kept in '{folder}' ({error.strerror or brief(error)})."
    if copied and config.output.depth == 16 and (reason := missing()):
        yield (
            f"output.depth: 16 needs libvips, which is not to be had here ({reason}): "
            "pip install -U 'pyvips[binary]'; or use output.depth=8."
        )
    if copied and copy:
        try:
            try_to_write(Path(copy))
        except OSError as error:
            yield f"output.copy: '{copy}' cannot be written ({error.strerror or brief(error)})."
