"""A tracker whose failures cost no picture: it is told off for the rest of the run."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from PIL import Image
from pytorch_lightning.loggers import Logger

from overpaint.errors import brief
from overpaint.tracking.patience import Patience
from overpaint.tracking.port import Source, Tracker

log = logging.getLogger(__name__)

Guard = Callable[[Callable[[], object]], None]


class GuardedTracker(Tracker):
    """Hands everything on to a tracker, until that fails; after one warning it tells nobody.

    Args:
        tracker: of a service, open.
        service: its name, for the warning.
        surroundings: what its calls need around them.
        patience: for calls that wait for an answer; closing has `closing_s` even if none is left.
        closing_s: seconds.
        rescue: how to bring to the service what it could not be told; said at the end.
    """

    def __init__(
        self,
        tracker: Tracker,
        service: str,
        *,
        surroundings: Callable[[], AbstractContextManager[object]] = nullcontext,
        patience: Patience | None = None,
        closing_s: float = 0.0,
        rescue: str | None = None,
    ) -> None:
        self.mode = tracker.mode
        self.run_id = tracker.run_id
        self.message = tracker.message
        self.loggers = tuple(_GuardedLogger(one, self._attempt) for one in tracker.loggers)
        self._tracker = tracker
        self._service = service
        self._surroundings = surroundings
        self._patience = patience or Patience(math.inf)
        self._closing_s = closing_s
        self._rescue = rescue
        self._has_failed = self._is_cut_off = False

    def log_inputs(self, content: Image.Image, styles: Sequence[Image.Image]) -> None:
        """Logs the content and style pictures, once."""
        self._attempt(lambda: self._tracker.log_inputs(content, styles))

    def log_sources(self, sources: Sequence[Source]) -> None:
        """Logs what the run was made from, so that runs of one picture can be found by it."""
        self._attempt(lambda: self._wait_for(lambda: self._tracker.log_sources(sources)))

    def log_numbers(self, step: int, numbers: Mapping[str, float]) -> None:
        """Logs numbers of a step that no file of the run has, such as how fast it was."""
        self._attempt(lambda: self._tracker.log_numbers(step, numbers))

    def log_snapshot(self, step: int, picture: Image.Image) -> None:
        """Logs the image after a step."""
        self._attempt(lambda: self._tracker.log_snapshot(step, picture))

    def log_curves(self, curves: Mapping[str, Sequence[float]]) -> None:
        """Logs whole curves at once: a name to its values at steps 1, 2 and so on."""
        self._attempt(lambda: self._tracker.log_curves(curves))

    def log_study(
        self,
        table: tuple[Sequence[str], Sequence[Sequence[Any]]],
        pictures: Mapping[str, Path],
        summary: Mapping[str, Any],
    ) -> None:
        """Logs what a study found: a table (columns, rows), pictures by name, summary values."""
        self._attempt(
            lambda: self._wait_for(
                lambda: self._tracker.log_study(table, pictures, summary),
                lambda: self._tracker.summarise(summary),
            )
        )

    def log_warning(self, key: str, message: str) -> None:
        """Sends an alert, and writes the message to the summary."""
        self._attempt(lambda: self._tracker.log_warning(key, message))

    def log_result(self, summary: Mapping[str, Any], files: Sequence[Path]) -> None:
        """Writes summary values, and keeps the result's files."""
        self._attempt(
            lambda: self._wait_for(
                lambda: self._tracker.log_result(summary, files),
                lambda: self._tracker.summarise(summary),
            )
        )

    def log_row(self, row: Mapping[str, Any]) -> None:
        """Logs the run as a row of a table over runs; pictures among its values become small."""
        self._attempt(lambda: self._wait_for(lambda: self._tracker.log_row(row)))

    def summarise(self, summary: Mapping[str, Any]) -> None:
        """Writes summary values."""
        self._attempt(lambda: self._tracker.summarise(summary))

    def finish(self, exit_code: int) -> None:
        """Closes the run, also one that has failed: what it took in before is kept."""
        try:
            with self._surroundings():
                self._patience.spend(
                    lambda: self._tracker.finish(exit_code), at_least=self._closing_s
                )
        except Exception as error:
            self._fail(f"was not closed well ({_reason(error)})")
        if (self._has_failed or self._is_cut_off) and self._rescue:
            log.warning("%s: %s", self._service, self._rescue)

    def _wait_for(
        self, act: Callable[[], object], instead: Callable[[], object] = lambda: None
    ) -> None:
        """Does what waits for an answer; where none comes, all the rest is told on, for later."""
        if not self._is_cut_off:
            try:
                self._patience.spend(act)
                return
            except Exception as error:
                if self._rescue is None:
                    raise
                log.warning("%s does not answer (%s).", self._service, _reason(error))
                self._is_cut_off = True
        instead()

    def _attempt(self, act: Callable[[], object]) -> None:
        if self._has_failed:
            return
        try:
            with self._surroundings():
                act()
        except Exception as error:
            self._fail(f"failed ({_reason(error)}); the run goes on without it")

    def _fail(self, how: str) -> None:
        if not self._has_failed:
            log.warning("%s %s.", self._service, how)
        self._has_failed = True
        self.mode = "disabled"


def _reason(error: Exception) -> str:
    return brief(error).rstrip(".")


class _GuardedLogger(Logger):
    """A Lightning logger whose failures are those of its tracker."""

    def __init__(self, logger: Logger, guard: Guard) -> None:
        super().__init__()
        self._logger = logger
        self._guard = guard

    @property
    def name(self) -> str | None:
        """As the service has it."""
        return self._logger.name

    @property
    def version(self) -> int | str | None:
        """As the service has it."""
        return self._logger.version

    @property
    def experiment(self) -> Any:
        """The service's own run, without a guard."""
        return getattr(self._logger, "experiment", None)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Logs the numbers of a step."""
        self._guard(lambda: self._logger.log_metrics(dict(metrics), step))

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Logs settings."""
        self._guard(lambda: self._logger.log_hyperparams(*args, **kwargs))

    def save(self) -> None:
        """Writes what is left."""
        self._guard(self._logger.save)

    def finalize(self, status: str) -> None:
        """Ends what Lightning logs."""
        self._guard(lambda: self._logger.finalize(status))
