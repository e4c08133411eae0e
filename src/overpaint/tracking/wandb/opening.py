"""Opening a W&B run: online, offline or not at all, without a question and without a long wait.

wandb takes a second to import, so it is imported when a run is opened.
"""

from __future__ import annotations

import functools
import logging
import math
import os
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from overpaint.connection import answers
from overpaint.errors import TrackingError
from overpaint.tracking.guarded import GuardedTracker
from overpaint.tracking.patience import Patience
from overpaint.tracking.port import Tracker
from overpaint.tracking.wandb.naming import RunNames, named
from overpaint.tracking.wandb.quiet import end_quietly, nothing_said
from overpaint.tracking.wandb.run import WandbTracker
from overpaint.tracking.wandb.surroundings import (
    Surroundings,
    environment,
    has_key,
    look_around,
    reason,
)

if TYPE_CHECKING:
    import wandb

logger = logging.getLogger(__name__)

VERIFY_TIMEOUT_S = 4
"""For an answer to the question who this is; wandb takes whole seconds."""
INIT_TIMEOUT_S = 4.0
"""For the run itself, once the host has answered; WANDB_INIT_TIMEOUT changes it."""
PATIENCE_S = 11.0
"""For W&B in all: opening the run, the questions of the run, what is left to upload at the end."""
CLOSING_S = 2.0
"""For the end even if no patience is left; WANDB_FINISH_TIMEOUT changes it."""
ENDING_S = 1.0
"""For the service to go, before it is left to itself."""
OFFLINE_FINISH_TIMEOUT_S = 60.0
"""For files to be written; here too WANDB_FINISH_TIMEOUT changes it."""

_DISABLED, _PATIENCE = "WANDB_DISABLED", "WANDB_HTTP_TIMEOUT"
_TRUE = ("1", "true", "t", "yes", "y", "on")
_MODES: Mapping[str, Literal["online", "offline"]] = {"online": "online", "offline": "offline"}


def open_wandb(
    mode: str,
    *,
    directory: Path,
    names: RunNames,
    defaults: RunNames,
    config: Mapping[str, Any],
    run_id: str | None = None,
    is_required: bool = True,
) -> Tracker:
    """Opens a W&B run without ever asking or waiting for long.

    Args:
        mode: `online`, `offline`, `disabled`, or `auto`: online if there is an API key and the host
            answers as W&B does, else offline, else not at all; WANDB_MODE, WANDB_DISABLED, `wandb
            offline` and `wandb disabled` can choose for it.
        directory: the run folder; W&B's own files go to `wandb/` in it, or in WANDB_DIR.
        names: as the settings have them; they win over those of the environment.
        defaults: where neither has them.
        config: the resolved settings.
        run_id: of a run that goes on. W&B cannot continue one offline, for parts of one run
            overwrite each other when they are uploaded: what lies beside the new one of it is
            deleted, and the new one is to be told everything again.
        is_required: whether it is an error if `online` or `offline` cannot be had; else the next
            best mode is taken.

    Returns:
        The open run, or one that tells nobody if disabled. What fails later is a warning.

    Raises:
        TrackingError: if `online` or `offline` was asked for and cannot be had.
    """
    if mode == "disabled":
        logger.info("W&B: disabled (as asked).")
        return Tracker()
    patience = Patience(PATIENCE_S)
    what = (patience, names, defaults, config, run_id)
    if mode != "auto" and is_required:
        try:
            return _opened(mode, "as asked", surroundings_for(directory, mode, patience), *what)
        except Exception as error:
            raise TrackingError(f"tracking.mode={mode}: {_in_a_line(error)}") from error
    try:
        around = surroundings_for(directory, None, patience)
        mode, why = _choose_mode(around, patience) if mode == "auto" else (mode, "as before")
    except Exception as error:
        logger.warning("W&B: off for this run (%s).", _in_a_line(error))
        return Tracker()
    if mode == "disabled":
        logger.info("W&B: disabled (%s).", why)
        return Tracker()
    return _opened_at_best(mode, why, around, *what)


def surroundings_for(
    directory: Path, required: str | None = None, patience: Patience | None = None
) -> Surroundings:
    """What there is for a run; where a mode is required, everything has to be right.

    Raises:
        TrackingError: if a variable is refused, or there is no key for a required `online`.
    """
    with nothing_said():
        around = look_around(directory)
    if required and around.refused:
        raise TrackingError(f"W&B refuses {'; '.join(around.refused)}")
    if required == "online" and not has_key(around.settings):
        raise TrackingError("no W&B API key is set: run `wandb login`.")
    if required == "online" and not _answers(around, patience or Patience(PATIENCE_S)):
        raise TrackingError(f"{around.settings.base_url} does not answer")
    return around


def _opened_at_best(mode: str, why: str, *how: Any) -> Tracker:
    """The run in a mode or the next best one; in none if all fail."""
    try:
        return _opened(mode, why, *how)
    except Exception as error:
        why = _in_a_line(error)
    if mode == "online":
        return _opened_at_best("offline", why, *how)
    logger.warning("W&B: off for this run (%s).", why)
    return Tracker()


def _opened(
    mode: str,
    why: str,
    around: Surroundings,
    patience: Patience,
    names: RunNames,
    defaults: RunNames,
    config: Mapping[str, Any],
    run_id: str | None,
) -> Tracker:
    try:
        str(around.directory).encode()
    except UnicodeEncodeError:
        raise TrackingError("the run folder's name is not UTF-8, and W&B takes no other") from None
    going_on: dict[str, Any] = {} if run_id is None else {"id": run_id, "resume": "allow"}
    if mode != "online":
        patience = Patience(math.inf)
    with environment(around.changes):
        import wandb

        with nothing_said():
            wandb.setup()
        end_quietly(ENDING_S)
        if mode == "online":
            with patience.counted():
                verify(str(around.settings.base_url))
        with patience.counted():
            run = wandb.init(
                mode=_MODES[mode],
                dir=str(around.directory),
                **named(names, around.settings, defaults),
                config=dict(config),
                reinit="create_new",  # a study's run is open while its trials' runs come and go
                settings=_manners(_time_limits(around.settings, patience)),
                **going_on,
            )
        if run_id is not None:
            _remove_earlier_parts(run)
        return GuardedTracker(
            WandbTracker(run, mode, _where_to_look(run, mode, why)),
            "W&B",
            surroundings=functools.partial(environment, around.changes),
            patience=patience,
            closing_s=max(CLOSING_S, around.settings.finish_timeout),
            rescue=_how_to_upload(run) if mode == "online" else None,
        )


def _manners(time_limits: Mapping[str, Any]) -> wandb.Settings:
    """Quiet, and without a list of all that is installed, which takes as long as all the rest.

    The versions that matter are in the config.
    """
    import wandb

    return wandb.Settings(console="off", silent=True, x_save_requirements=False, **time_limits)


def verify(url: str) -> None:
    """Lets wandb ask the host who this is.

    A host that is not W&B, such as a proxy's page, is found here: later it can break the service.

    Raises:
        TrackingError: if the host does not answer as W&B does, or does not know the key.
    """
    import wandb

    patience = os.environ.get(_PATIENCE) or str(VERIFY_TIMEOUT_S)
    try:
        with environment({_PATIENCE: patience}):
            is_known = wandb.login(verify=True, prompt=False)
    except Exception as error:
        raise TrackingError(f"{url} does not answer as W&B does: {_in_a_line(error)}") from error
    if not is_known:
        raise TrackingError("no W&B API key is set: run `wandb login`.")


def _time_limits(around: wandb.Settings, patience: Patience) -> dict[str, Any]:
    finish = min(patience.seconds, OFFLINE_FINISH_TIMEOUT_S)
    own = {"init_timeout": INIT_TIMEOUT_S, "finish_timeout": finish}
    given = {name: one for name, one in own.items() if name not in around.model_fields_set}
    return {**given, "finish_timeout_raises": True}


def _in_a_line(error: Exception) -> str:
    return " ".join(reason(error).split()).rstrip(".")


def _remove_earlier_parts(run: wandb.Run) -> None:
    """Deletes what earlier offline runs of the same id have left beside this one."""
    own = Path(run.dir).parent
    for part in own.parent.glob(f"offline-run-*-{run.id}"):
        if part != own:
            shutil.rmtree(part, ignore_errors=True)


def _where_to_look(run: wandb.Run, mode: str, why: str) -> str:
    if mode == "online":
        return f"W&B: online, {run.url}"
    folder = Path(run.dir).parent
    return f"W&B: offline ({why}). Upload: wandb sync {folder}  Look: wandb leet {folder}"


def _how_to_upload(run: wandb.Run) -> str:
    folder = shlex.quote(str(Path(run.dir).parent))
    return f"what it was told is on disk, and can be uploaded: wandb sync --include-online {folder}"


def _answers(around: Surroundings, patience: Patience) -> bool:
    with patience.counted():
        return answers(str(around.settings.base_url))


def _choose_mode(around: Surroundings, patience: Patience) -> tuple[str, str]:
    """What `auto` is here, and why."""
    wish = around.settings.mode
    if os.environ.get(_DISABLED, "").strip().lower() in _TRUE:
        return "disabled", f"{_DISABLED}={os.environ[_DISABLED]}"
    by = f"WANDB_MODE={wish}" if os.environ.get("WANDB_MODE") else f"`wandb {wish}`"
    if wish == "disabled":
        return "disabled", by
    if around.refused:
        return "offline", f"W&B refuses {'; '.join(around.refused)}"
    if wish in ("offline", "dryrun"):
        return "offline", by
    if not has_key(around.settings):
        return "offline", "no API key; `wandb login` sets one"
    if not _answers(around, patience):
        return "offline", f"{around.settings.base_url} does not answer"
    return "online", "API key found and host answers"
