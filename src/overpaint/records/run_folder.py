"""The folder of a run: where it is and what it is called."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

_PICTURE = re.compile(r"step_(\d+)\.(?:png|jpg)")


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
    inputs = [_slug(content), "+".join(_slug(style) for style in styles)]
    folder = _new_folder(root, [*([study] if study else []), *inputs])
    if not study:
        (folder / "snapshots").mkdir()
    return folder


def create_sweep_folder(root: str | Path, name: str) -> Path:
    """Makes `root/<time>-sweep-<name>`; arguments, result and errors are those of a run's folder.

    Args:
        root: made if missing.
        name: of the sweep.
    """
    return _new_folder(root, ["sweep", _slug(name)])


def _new_folder(root: str | Path, parts: Sequence[str]) -> Path:
    """Makes a folder named after the time and some parts."""
    time = datetime.now().strftime("%Y%m%d-%H%M%S")
    name = "-".join([time, *parts])[:120]
    for attempt in range(1, 1000):
        folder = Path(root).absolute() / (name if attempt == 1 else f"{name}-{attempt}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise FileExistsError(f"'{root}' already holds 999 runs named '{name}'.")


def frames_folder(run: Path) -> Path:
    """Where a run that is not done keeps small pictures for its time-lapse."""
    return run / "checkpoints" / "frames"


def pictures_by_step(folder: Path) -> dict[int, Path]:
    """The pictures that a run left of its steps, in their order.

    Args:
        folder: its `snapshots/`, or `frames_folder`; it need not be there.
    """
    named = [(_PICTURE.fullmatch(path.name), path) for path in folder.glob("step_*")]
    return dict(sorted((int(match[1]), path) for match, path in named if match))


@contextmanager
def kept_if_begun(folder: Path, *, in_new_root: bool = False) -> Iterator[None]:
    """Leaves no folder of a run that failed before it had anything to keep.

    Args:
        folder: of a run inside; its first step leaves a picture in `snapshots/`.
        in_new_root: whether the folder around it was made with it, and goes with it.
    """
    try:
        yield
    except BaseException:
        if not any((folder / "snapshots").glob("*")):
            remove_run_folder(folder, in_new_root=in_new_root)
        raise


def remove_run_folder(folder: Path, *, in_new_root: bool = False) -> None:
    """Removes the folder of a run that did not begin, and the new folder around it if empty."""
    shutil.rmtree(folder, ignore_errors=True)
    if in_new_root:
        with suppress(OSError):  # other runs are in it
            folder.parent.rmdir()


def _slug(path: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]+", "_", Path(path).stem).strip("_")[:40] or "picture"
