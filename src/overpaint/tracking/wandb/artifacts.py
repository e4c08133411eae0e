"""What runs are made from and what they leave, as W&B's artifacts, which runs can share."""

from __future__ import annotations

import hashlib
import re
import threading
from typing import TYPE_CHECKING

from overpaint.tracking import keys
from overpaint.tracking.port import Source

if TYPE_CHECKING:
    import wandb

PATIENCE_S = 4
"""For the question which result of a group is the best."""
_LARGEST = 1024
"""The longer edge of a picture that is kept as an artifact, in pixels."""


def source_artifact(source: Source) -> wandb.Artifact:
    """A photo, painting or mask; its name is of its file's hash, so that all its runs share it.

    It holds the picture at 1024 pixels at most, without what a camera writes beside it, such as the
    place.
    """
    import wandb

    image = source.image.copy()
    image.thumbnail((_LARGEST, _LARGEST), reducing_gap=2.0)
    artifact = wandb.Artifact(
        f"{source.kind}-{source.sha256[:16]}",
        type=source.kind,
        metadata={
            "sha256": source.sha256,
            "file": source.file,
            "width": source.image.width,
            "height": source.image.height,
        },
    )
    with artifact.new_file(f"{source.kind}.jpg", mode="wb") as file:
        image.save(file, "JPEG", quality=92)
    return artifact


def use(run: wandb.Run, artifact: wandb.Artifact) -> None:
    """Makes an artifact an input of a run.

    `use_artifact` would wait until it is uploaded, and refuses offline runs; what it calls does
    neither. Where wandb has that no more, the artifact is one of the run's own.
    """
    try:
        run._log_artifact(artifact, aliases=["latest"], is_user_created=True, use_after_commit=True)
    except (AttributeError, TypeError):
        run.log_artifact(artifact)


def result_name(run: wandb.Run) -> str:
    """Of the artifact of a result: one for a group, or one for a run without a group."""
    group = run.group
    if not group:
        return f"result-{run.id}"
    plain = re.sub(r"[^A-Za-z0-9._-]", "-", group)[:80]
    if plain != group:  # two groups can look alike so
        plain += f"-{hashlib.sha256(group.encode()).hexdigest()[:8]}"
    return f"result-{plain}"


def is_least_of_its_group(run: wandb.Run, total: float, *, mode: str) -> bool:
    """Whether no other finished run of a group has a smaller total loss, as far as is known.

    Args:
        run: open.
        total: the loss of its result.
        mode: `online` or `offline`.

    Returns:
        True for a run without a group; False for one whose group cannot be asked for, or where the
        answer takes longer than 4 s.
    """
    if not run.group:
        return True
    if mode != "online":
        return False
    found: list[bool] = []

    def ask() -> None:
        try:
            found.append(_has_none_below(run, total))
        except Exception:
            found.append(False)

    # wandb's own time limit is for each of several requests.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PATIENCE_S)
    return found == [True]


def _has_none_below(run: wandb.Run, total: float) -> bool:
    import wandb

    filters = {
        "$and": [
            {"group": run.group},
            {"name": {"$ne": run.id}},
            {f"summary_metrics.{keys.final('total')}": {"$lt": total}},
            {"summary_metrics.interrupted": {"$ne": True}},
        ]
    }
    api = wandb.Api(timeout=PATIENCE_S)
    better = api.runs(f"{run.entity}/{run.project}", filters=filters, per_page=1)
    return next(iter(better), None) is None
