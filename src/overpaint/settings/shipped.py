"""What comes with the package: presets under `configs/`, sample pictures under `assets/`.

They lie in the package's own folder where it was installed, and at the top level of a checkout.
"""

from __future__ import annotations

import os
from pathlib import Path

from overpaint.errors import ConfigError, unknown_name

_PACKAGE = Path(__file__).resolve().parents[1]


def shipped_folder() -> Path:
    """The folder that holds `configs/` and `assets/`."""
    return _PACKAGE if (_PACKAGE / "configs").is_dir() else _PACKAGE.parents[1]


def preset_names() -> list[str]:
    """Names of the presets that come with the package, in alphabetical order."""
    return sorted(path.stem for path in (shipped_folder() / "configs").glob("*.yaml"))


def find_preset(word: str | Path) -> Path:
    """Finds a file of settings.

    Args:
        word: path of a file, or the name of a shipped preset such as `paper`; `configs/paper.yaml`
            is the shipped one too where the current folder has no such file.

    Raises:
        ConfigError: if there is no such file; close names are suggested.
    """
    path = Path(os.path.expanduser(word))
    if os.path.isfile(path):
        return path
    names = preset_names()
    if path.as_posix() in (path.stem, f"configs/{path.stem}.yaml") and path.stem in names:
        return shipped_folder() / "configs" / f"{path.stem}.yaml"
    if os.path.exists(path):
        return path  # a folder, say: reading it tells more
    meant = ""
    if path.parent in (Path(), Path("configs")):
        meant = f" Or a preset: {unknown_name(path.stem, names, 'preset')}"
    raise ConfigError(f"--config: no such file: '{word}' (from {Path.cwd()}).{meant}")


def find_sweep(word: str) -> Path:
    """Finds the file of a sweep.

    Args:
        word: its path; `layers` and `configs/sweeps/layers.yaml` are the shipped one too where the
            current folder has no such file.

    Raises:
        ConfigError: if there is no such file; close names are suggested.
    """
    path = Path(os.path.expanduser(word))
    if os.path.exists(path):
        return path
    folder = shipped_folder() / "configs" / "sweeps"
    names = sorted(one.stem for one in folder.glob("*.yaml"))
    if path.as_posix() in (path.stem, f"configs/sweeps/{path.stem}.yaml") and path.stem in names:
        return folder / f"{path.stem}.yaml"
    meant = ""
    if path.parent in (Path(), Path("configs/sweeps")):
        meant = f" Or a shipped one: {unknown_name(path.stem, names, 'sweep')}"
    raise ConfigError(f"no such file of a sweep: '{word}' (from {Path.cwd()}).{meant}")


def find_picture(name: str) -> str:
    """The absolute path of a sample picture `assets/...` that is not in the current folder.

    Returns:
        Any other `name` as it is.
    """
    if not os.path.exists(name) and Path(name).parts[:1] == ("assets",):
        sample = shipped_folder() / name
        if os.path.isfile(sample):
            return str(sample)
    return name


def sample_name(path: str) -> str:
    """The name of a sample picture, which `find_picture` finds in any installation.

    Returns:
        Any other `path` as it is.
    """
    folder = shipped_folder()
    is_sample = Path(path).is_relative_to(folder / "assets")
    return Path(path).relative_to(folder).as_posix() if is_sample else path
