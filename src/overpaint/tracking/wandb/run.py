"""One run of Weights & Biases, as the port asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image
from pytorch_lightning.loggers import WandbLogger

from overpaint.tracking import keys
from overpaint.tracking.port import Source, Tracker
from overpaint.tracking.wandb.artifacts import (
    is_least_of_its_group,
    result_name,
    source_artifact,
    use,
)

if TYPE_CHECKING:
    import wandb

_SMALL = 256
"""The longer edge of a picture in a table, in pixels."""
_ALERTS = {
    keys.rate_warning("too_low"): "Learning rate too low",
    keys.rate_warning("too_high"): "Learning rate too high",
    keys.DIVERGED: "Run diverged",
}


class WandbTracker(Tracker):
    """One W&B run, opened by `opening.open_wandb`.

    W&B counts rows by a step of its own, which is the x axis of its media panels. Here it is the
    step of the run: everything of a step is one row, and pictures of two runs at one position are
    of one step. A run that goes on is not told again what W&B has of it.

    Args:
        run: as wandb opened it.
        mode: `online` or `offline`.
        message: where to look, or how to upload.
    """

    def __init__(self, run: wandb.Run, mode: str, message: str) -> None:
        self.mode = mode
        self.message = message
        self.run_id = run.id
        self._run = run
        self._known = run.step
        self.loggers = (_Numbers(run, self._known),)
        run.define_metric(keys.STEP)
        # With a `summary` mode the values nest, {"min": ...}, and sweeps look for plain numbers.
        run.define_metric("*", step_metric=keys.STEP)

    def log_inputs(self, content: Image.Image, styles: Sequence[Image.Image]) -> None:
        """Logs the content and style pictures, once."""
        import wandb

        self._log(
            0,
            {
                keys.CONTENT: wandb.Image(content, caption="content"),
                keys.STYLES: [
                    wandb.Image(style, caption=f"style {i}") for i, style in enumerate(styles, 1)
                ],
            },
        )

    def log_sources(self, sources: Sequence[Source]) -> None:
        """Logs what the run was made from, as artifacts that it uses: one for each picture."""
        if self._known:
            return
        for source in {(one.kind, one.sha256): one for one in sources}.values():
            use(self._run, source_artifact(source))

    def log_numbers(self, step: int, numbers: Mapping[str, float]) -> None:
        """Logs numbers of a step that no file of the run has, such as how fast it was."""
        self._log(step, {**numbers, keys.STEP: step})

    def log_snapshot(self, step: int, picture: Image.Image) -> None:
        """Logs the image after a step."""
        import wandb

        image = wandb.Image(picture, caption=f"step {step}")
        self._log(step, {keys.SNAPSHOTS: image, keys.STEP: step})

    def log_curves(self, curves: Mapping[str, Sequence[float]]) -> None:
        """Logs whole curves at once: a name to its values at steps 1, 2 and so on."""
        for step, values in enumerate(zip(*curves.values(), strict=True), 1):
            row = dict(zip(curves, values, strict=True))
            self._log(step, {**row, keys.STEP: step})

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
            keys.STUDY + name: wandb.Image(str(path)) for name, path in pictures.items()
        }
        logged[keys.TRIALS] = wandb.Table(columns=list(columns), data=[*map(list, rows)])
        self._run.log(logged)
        self.summarise(summary)

    def summarise(self, summary: Mapping[str, Any]) -> None:
        """Writes summary values."""
        self._run.summary.update(dict(summary))

    def log_warning(self, key: str, message: str) -> None:
        """Sends an alert, and writes the message to the summary.

        Args:
            key: of the summary, from `keys`.
            message: one sentence.
        """
        self._run.alert(title=_ALERTS.get(key, key), text=message, level="WARN")
        self._run.summary[key] = message

    def log_result(self, summary: Mapping[str, Any], files: Sequence[Path]) -> None:
        """Writes summary values, and the result's files as an artifact of type `result`.

        Results of one group are versions of one artifact: `latest`, and `best`, the one with the
        least total loss. Whether it is that is asked of W&B; an offline run of a group cannot know.
        """
        import wandb

        self.summarise(summary)
        artifact = wandb.Artifact(result_name(self._run), type="result", metadata=dict(summary))
        for file in files:
            artifact.add_file(str(file))
        total = None if summary.get("interrupted") else summary.get(keys.final("total"))
        is_best = total is not None and is_least_of_its_group(self._run, total, mode=self.mode)
        self._run.log_artifact(artifact, aliases=["latest", *(["best"] if is_best else [])])

    def log_row(self, row: Mapping[str, Any]) -> None:
        """Logs the run as a row of a table over runs; pictures among its values become small."""
        import wandb

        values = [
            wandb.Image(_small(value), file_type="jpg") if isinstance(value, Image.Image) else value
            for value in row.values()
        ]
        # Without a step it joins the last row, whichever that is.
        self._run.log({keys.RESULT: wandb.Table(columns=[*row], data=[values])})

    def finish(self, exit_code: int) -> None:
        """Closes the run, so that the next one does not inherit it."""
        self._run.finish(exit_code=exit_code)

    def _log(self, step: int, values: Mapping[str, Any]) -> None:
        if step >= self._known:
            self._run.log(dict(values), step=step)


def _small(image: Image.Image) -> Image.Image:
    small = image.copy()
    small.thumbnail((_SMALL, _SMALL))
    return small


class _Numbers(WandbLogger):
    """Lightning's logger, with the run's step as W&B's own."""

    def __init__(self, run: wandb.Run, known: int) -> None:
        super().__init__(experiment=run)
        self._run, self._known = run, known

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Logs a row, unless W&B has it."""
        if step is not None and step >= self._known:
            self._run.log({**metrics, keys.STEP: step}, step=step)
