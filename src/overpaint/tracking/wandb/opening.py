"""Opening a W&B run: online, offline or not at all, without a question and without a long wait.

wandb takes a second to import, so it is imported when a run is opened.
"""

from __future__ import annotations

import logging
import netrc
import os
import shutil
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overpaint.connection import answers
from overpaint.errors import TrackingError
from overpaint.tracking.port import Tracker
from overpaint.tracking.wandb.run import WandbTracker

if TYPE_CHECKING:
    import wandb

logger = logging.getLogger(__name__)

INIT_TIMEOUT_S = 20.0


def open_wandb(
    mode: str,
    *,
    directory: Path,
    project: str,
    name: str | None,
    entity: str | None = None,
    group: str | None = None,
    tags: Sequence[str] = (),
    notes: str | None = None,
    job_type: str = "stylize",
    run_id: str | None = None,
    config: Mapping[str, Any],
) -> Tracker:
    """Opens a W&B run without ever asking or waiting for long.

    Args:
        mode: `online`, `offline`, `disabled`, or `auto`: online if there is an API key and the host
            answers, else offline, which WANDB_MODE=offline or =disabled can force.
        directory: the run folder; W&B's own files go to `wandb/` in it.
        project: W&B project, and likewise for the other names.
        name: of the run.
        entity: user or team.
        group: runs of one group can be folded in the dashboard.
        tags: labels.
        notes: free text.
        job_type: what the run does; the dashboard can group by it.
        run_id: of a run that goes on. W&B cannot continue one offline, for parts of one run
            overwrite each other when they are uploaded: what lies in `directory` of it is deleted,
            and the new one is to be told everything again.
        config: the resolved settings.

    Returns:
        The open run, or one that tells nobody if disabled.

    Raises:
        TrackingError: if `online` was asked for and cannot be had.
    """
    mode, reason = _choose_mode() if mode == "auto" else (mode, "as asked")
    if mode == "disabled":
        logger.info("W&B: disabled (%s).", reason)
        return Tracker()
    if mode == "online" and not _has_key(_base_url()):
        raise TrackingError("tracking.mode=online, but no W&B API key is set: run `wandb login`.")
    import wandb

    going_on: dict[str, Any] = {} if run_id is None else {"id": run_id, "resume": "allow"}
    start: Callable[..., wandb.Run] = partial(
        wandb.init,
        dir=str(directory),
        project=project,
        name=name,
        entity=entity,
        group=group,
        tags=list(tags),
        notes=notes,
        job_type=job_type,
        config=dict(config),
        reinit="create_new",  # a study's run is open while its trials' runs come and go
        settings=wandb.Settings(console="off", silent=True, init_timeout=INIT_TIMEOUT_S),
        **going_on,
    )
    refusals = (wandb.errors.CommError, wandb.errors.UsageError, wandb.errors.AuthenticationError)
    try:
        run = start(mode=mode)
    except refusals as error:
        if mode == "offline" or reason == "as asked":
            raise TrackingError(f"W&B run could not be opened: {error}") from error
        mode, reason = "offline", f"W&B refused the run: {' '.join(str(error).split())}"
        run = start(mode=mode)
    if run_id is not None:
        _remove_earlier_parts(run)
    return WandbTracker(run, mode, _where_to_look(run, mode, reason))


def _remove_earlier_parts(run: wandb.Run) -> None:
    """Deletes what earlier offline runs of the same id have left beside this one."""
    own = Path(run.dir).parent
    for part in own.parent.glob(f"offline-run-*-{run.id}"):
        if part != own:
            shutil.rmtree(part, ignore_errors=True)


def _where_to_look(run: wandb.Run, mode: str, reason: str) -> str:
    if mode == "online":
        return f"W&B: online, {run.url}"
    folder = Path(run.dir).parent
    return f"W&B: offline ({reason}). Upload: wandb sync {folder}  Look: wandb leet {folder}"


def _choose_mode() -> tuple[str, str]:
    wish = os.environ.get("WANDB_MODE", "").lower()
    if wish in ("offline", "dryrun"):
        return "offline", f"WANDB_MODE={wish}"
    if wish == "disabled":
        return "disabled", f"WANDB_MODE={wish}"
    url = _base_url()
    if not _has_key(url):
        return "offline", "no API key; `wandb login` sets one"
    if not answers(url):
        return "offline", f"{url} does not answer"
    return "online", "API key found and host answers"


def _base_url() -> str:
    if "WANDB_BASE_URL" in os.environ:
        return os.environ["WANDB_BASE_URL"]
    import wandb

    return str(wandb.setup().settings.base_url)


def _has_key(url: str) -> bool:
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    named = os.environ.get("NETRC")
    host = urllib.parse.urlsplit(url)
    for place in (named,) if named else ("~/.netrc", "~/_netrc"):
        try:
            known = netrc.netrc(os.path.expanduser(place))
        except (OSError, netrc.NetrcParseError):
            continue
        found = known.authenticators(host.netloc) or known.authenticators(host.hostname or "")
        if found and found[2]:
            return True
    return False
