"""What W&B finds on this machine: its variables, its settings files, folders that it may write.

wandb reads them itself and raises where it cannot; here they are read first, one by one, so that
each fault has a name and wandb never meets it.
"""

from __future__ import annotations

import netrc
import os
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overpaint.errors import brief

if TYPE_CHECKING:
    import wandb

PREFIX = "WANDB_"
SERVICE = "WANDB_SERVICE"
_DIRECTORY = "WANDB_DIR"
_USUALLY = {  # unless the user has them
    "WANDB_SILENT": "true",
    "WANDB_ERROR_REPORTING": "false",  # at the end it waits half a minute for a lost connection
}
_SECRET = ("KEY", "TOKEN", "PASSWORD")
_PASSED_OVER = ("anonymous", "settings_system", "root_dir")  # so does wandb


@dataclass(frozen=True)
class Surroundings:
    """What the environment and wandb's settings files say, and what has to change for wandb."""

    settings: wandb.Settings
    """wandb's own, from its files and its variables; of a run's names those that are set."""
    refused: tuple[str, ...]
    """Variables and entries that wandb refuses, each with the reason."""
    directory: Path
    """Where the run's files go: WANDB_DIR, or the run folder."""
    changes: Mapping[str, str | None]
    """Variables as wandb gets to see them; None: not at all."""


def look_around(folder: Path) -> Surroundings:
    """Reads what is said about W&B outside this project's settings.

    Args:
        folder: of the run; wandb's own folders go there where the home cannot take them.

    Raises:
        Exception: whatever wandb raises where it cannot be imported.
    """
    changes = _without_empty(os.environ)
    changes.update(_home(folder))
    if mode := os.environ.get("WANDB_MODE"):
        changes["WANDB_MODE"] = mode.strip().lower()
    with environment(changes):
        import wandb

        changes.update(_folders(folder))
        settings = wandb.Settings()
        refused = [*_read_files(settings), *_read_variables(settings, changes)]
    if os.environ.get(SERVICE):
        with environment(changes):
            refused += _join_service()
    directory = folder
    if os.environ.get(_DIRECTORY) and _DIRECTORY not in changes:
        directory = Path(os.environ[_DIRECTORY]).expanduser().absolute()
        if not _can_be_written(directory):
            refused.append(f"{_DIRECTORY}={directory}: cannot be written")
            changes[_DIRECTORY], directory = None, folder
    changes.update({name: one for name, one in _USUALLY.items() if not os.environ.get(name)})
    return Surroundings(settings, tuple(refused), directory, changes)


@contextmanager
def environment(changes: Mapping[str, str | None]) -> Iterator[None]:
    """Lets variables have other values inside; afterwards they are what they were.

    A stale WANDB_SERVICE does not come back: wandb puts that of its own service there.
    """
    before = {name: os.environ.get(name) for name in changes if name != SERVICE}
    _apply(changes)
    try:
        yield
    finally:
        _apply(before)


def _apply(changes: Mapping[str, str | None]) -> None:
    for name, value in changes.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _without_empty(variables: Mapping[str, str]) -> dict[str, str | None]:
    """Empty ones are none; wandb takes some for values and refuses them."""
    return {
        name: None for name, value in variables.items() if name.startswith(PREFIX) and not value
    }


def _home(folder: Path) -> dict[str, str | None]:
    """A home for a user that has none, such as that of `docker run --user`."""
    return {"HOME": str(folder / "wandb" / "home")} if os.path.expanduser("~") == "~" else {}


def _folders(folder: Path) -> dict[str, str | None]:
    """Folders of wandb in the run folder, for those that cannot be written where they are."""
    import wandb

    places = {
        "WANDB_DATA_DIR": wandb.env.get_data_dir(),
        "WANDB_CACHE_DIR": wandb.env.get_cache_dir(),
    }
    return {
        name: str(folder / "wandb" / "home" / name.split("_")[1].lower())
        for name, place in places.items()
        if not _can_be_written(Path(str(place)).expanduser())
    }


def _can_be_written(folder: Path) -> bool:
    """Whether a folder is there and takes files, or can be made."""
    folder = folder.absolute()
    nearest = next(place for place in (folder, *folder.parents) if os.path.exists(place))
    return os.path.isdir(nearest) and os.access(nearest, os.W_OK | os.X_OK)


def _read_files(settings: wandb.Settings) -> Iterator[str]:
    """Takes over what `wandb login`, `wandb offline` and the like wrote; yields what is refused."""
    import wandb

    system = Path(os.environ.get("WANDB_CONFIG_DIR") or Path("~", ".config", "wandb")).expanduser()
    settings.settings_system = str(system / "settings")
    files = settings.read_system_settings()
    for key, value in files.all().items():
        if key in _PASSED_OVER:
            continue
        try:
            given: Any = value.split(",") if key == "ignore_globs" else value
            settings.update_from_settings(wandb.Settings(**{key: given}))
        except Exception as error:
            shown = _shown(key, value)
            yield f"{shown} in {' and '.join(map(str, files.sources))}: {reason(error)}"


def _read_variables(settings: wandb.Settings, changes: dict[str, str | None]) -> Iterator[str]:
    """Takes over the variables; those that are refused are left out, and yielded."""
    for name, value in sorted(os.environ.items()):
        if not name.startswith(PREFIX):
            continue
        try:
            settings.update_from_env_vars({name: value})
        except Exception as error:
            changes[name] = None
            yield f"{_shown(name, value)}: {reason(error)}"


def _join_service() -> Iterator[str]:
    """Joins the service that WANDB_SERVICE names; where there is none, wandb starts its own."""
    import wandb

    try:
        wandb.setup()
    except Exception as error:
        yield f"{_shown(SERVICE, os.environ.pop(SERVICE, ''))}: {reason(error)}"


def has_key(settings: wandb.Settings) -> bool:
    """Whether there is a key for the host, or what stands in for one."""
    if settings.api_key or settings.identity_token_file:
        return True
    named = os.environ.get("NETRC")
    host = urllib.parse.urlsplit(str(settings.base_url))
    for place in (named,) if named else ("~/.netrc", "~/_netrc"):
        try:
            known = netrc.netrc(os.path.expanduser(place))
        except (OSError, ValueError, netrc.NetrcParseError):
            continue
        found = known.authenticators(host.netloc) or known.authenticators(host.hostname or "")
        if found and found[2]:
            return True
    return False


def _shown(name: str, value: str) -> str:
    return name if any(word in name.upper() for word in _SECRET) else f"{name}={value!r}"


def reason(error: BaseException) -> str:
    """Why wandb refuses something, in a line and without what it was given."""
    import pydantic

    if isinstance(error, pydantic.ValidationError):
        return "; ".join(fault["msg"].removeprefix("Value error, ") for fault in error.errors())
    return brief(error)
