"""Where numbers and pictures are logged: metrics.csv always, Weights & Biases if wanted.

The only file that imports wandb, which takes a second, so it is imported when a run is opened.
"""

from __future__ import annotations

import csv
import io
import logging
import netrc
import os
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image
from pytorch_lightning.loggers import Logger, WandbLogger

from overpaint.errors import TrackingError
from overpaint.files import write_text
from overpaint.connection import answers

if TYPE_CHECKING:
    import wandb

logger = logging.getLogger(__name__)

INIT_TIMEOUT_S = 20.0

_ALERTS = {
    "rate/too_low": "Learning rate too low",
    "rate/too_high": "Learning rate too high",
    "diverged": "Run diverged",
}


class CsvLogger(Logger):
    """Logged numbers as a table, one row per logged step, rewritten whole at each save."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._rows: list[dict[str, Any]] = []
        self._saved = 0

    @property
    def name(self) -> str:
        """Lightning asks for one."""
        return "csv"

    @property
    def version(self) -> str:
        """Lightning asks for one."""
        return ""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Adds a row; values have the seven digits that float32 holds."""
        self._rows.append({"step": step, **{key: f"{value:.7g}" for key, value in metrics.items()}})

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Does nothing: the settings are in config.yaml."""

    def save(self) -> None:
        """Writes the file once the rows have grown by a tenth, so that long runs stay cheap."""
        if len(self._rows) >= self._saved * 1.1:
            self._write()

    def finalize(self, status: str) -> None:
        """Writes what is left."""
        if len(self._rows) > self._saved:
            self._write()

    def _write(self) -> None:
        columns = list(dict.fromkeys(name for row in self._rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        write_text(self._path, text.getvalue())
        self._saved = len(self._rows)


class WandbTracking:
    """One W&B run, opened by `open_wandb`."""

    def __init__(self, run: wandb.Run, mode: str, message: str) -> None:
        self.mode = mode
        """`online` or `offline`."""
        self.message = message
        """One line for the user: where to look, or how to sync."""
        self.logger = WandbLogger(experiment=run)
        self._run = run
        run.define_metric("trainer/global_step")
        # With a `summary` mode the values nest, {"min": ...}, and sweeps look for plain numbers.
        run.define_metric("*", step_metric="trainer/global_step")

    def log_inputs(self, content: Image.Image, styles: Sequence[Image.Image]) -> None:
        """Logs the content and style pictures, once."""
        import wandb

        self._run.log(
            {
                "inputs/content": wandb.Image(content, caption="content"),
                "inputs/style": [
                    wandb.Image(style, caption=f"style {i}") for i, style in enumerate(styles, 1)
                ],
            }
        )

    def log_snapshot(self, step: int, picture: Image.Image) -> None:
        """Logs the image after a step."""
        import wandb

        image = wandb.Image(picture, caption=f"step {step}")
        self._run.log({"snapshots": image, "trainer/global_step": step})

    def log_curves(self, curves: Mapping[str, Sequence[float]]) -> None:
        """Logs whole curves at once: a name to its values at steps 1, 2 and so on."""
        for step, values in enumerate(zip(*curves.values(), strict=True), 1):
            row = dict(zip(curves, values, strict=True))
            self._run.log({**row, "trainer/global_step": step})

    def log_study(
        self,
        table: tuple[Sequence[str], Sequence[Sequence[Any]]],
        pictures: Mapping[str, Path],
        summary: Mapping[str, Any],
    ) -> None:
        """Logs what a study found: a table (columns, rows), pictures by name, summary values."""
        import wandb

        columns, rows = table
        logged: dict[str, Any] = {
            f"study/{name}": wandb.Image(str(path)) for name, path in pictures.items()
        }
        logged["study/trials"] = wandb.Table(columns=list(columns), data=[*map(list, rows)])
        self._run.log(logged)
        self.summarise(summary)

    def summarise(self, summary: Mapping[str, Any]) -> None:
        """Writes summary values."""
        self._run.summary.update(dict(summary))

    def log_warning(self, key: str, message: str) -> None:
        """Sends an alert, and writes the message to the summary.

        Args:
            key: of the summary, such as `rate/too_low`.
            message: one sentence.
        """
        self._run.alert(title=_ALERTS.get(key, key), text=message, level="WARN")
        self._run.summary[key] = message

    def log_result(self, summary: Mapping[str, Any], files: Sequence[Path]) -> None:
        """Writes summary values, and the result's files as an artifact of type `result`."""
        import wandb

        self.summarise(summary)
        artifact = wandb.Artifact(f"result-{self._run.id}", type="result")
        for file in files:
            artifact.add_file(str(file))
        self._run.log_artifact(artifact)

    def finish(self, exit_code: int) -> None:
        """Closes the run, so that the next one does not inherit it."""
        self._run.finish(exit_code=exit_code)


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
    config: Mapping[str, Any],
) -> WandbTracking | None:
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
        config: the resolved settings.

    Returns:
        The open run, or None if disabled.

    Raises:
        TrackingError: if `online` was asked for and cannot be had.
    """
    if mode == "auto":
        mode, reason = _choose_mode()
    else:
        reason = "as asked"
        if mode == "online" and not _has_key(_base_url()):
            raise TrackingError(
                "tracking.mode=online, but no W&B API key is set: run `wandb login`."
            )
    if mode == "disabled":
        logger.info("W&B: disabled (%s).", reason)
        return None
    import wandb

    def start(chosen: str) -> wandb.Run:
        return wandb.init(
            mode="offline" if chosen == "offline" else "online",
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
        )

    try:
        run = start(mode)
    except (
        wandb.errors.CommError,
        wandb.errors.UsageError,
        wandb.errors.AuthenticationError,
    ) as error:
        if mode == "offline" or reason == "as asked":
            raise TrackingError(f"W&B run could not be opened: {error}") from error
        mode, reason = "offline", f"W&B refused the run: {' '.join(str(error).split())}"
        run = start(mode)
    if mode == "online":
        return WandbTracking(run, mode, f"W&B: online, {run.url}")
    folder = Path(run.dir).parent
    message = f"W&B: offline ({reason}). Upload: wandb sync {folder}  Look: wandb leet {folder}"
    return WandbTracking(run, mode, message)


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
