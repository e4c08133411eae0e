"""A run whose picture several processes paint: the first has the run, the others take part."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from overpaint.building.sources import Sources
from overpaint.errors import LostProcessError
from overpaint.interrupts import followed_interrupts
from overpaint.optimisation.device import choose_device
from overpaint.processes.places import Place, find_place
from overpaint.processes.team import Team, gathered
from overpaint.records.result import RunResult
from overpaint.runs.kept import Kept
from overpaint.runs.pyramid import optimise
from overpaint.settings.schema import Config

_WORKER = "overpaint.runs.several.worker"


@dataclass(frozen=True)
class Task:
    """What all processes do."""

    config: Config
    """Resolved settings."""
    sources: Sources
    kept: Kept | None = None
    """Where the run goes on from."""
    folder: Path = Path()
    """Of the run, if it has one."""


def place_in(config: Config) -> Place:
    """Which of the processes of a run this one is.

    Raises:
        ConfigError: if the processes that were started are others than the settings ask for.
    """
    return find_place(config.trainer.devices, config.trainer.num_nodes)


@contextmanager
def together(place: Place, task: Task) -> Iterator[Team]:
    """The first process with all others, which have the same to do, for as long as the block lasts.

    Raises:
        LostProcessError: if some process does not come.
    """
    accelerator = task.config.trainer.accelerator
    device = choose_device(accelerator, place.device)
    with gathered(place, device, [_WORKER, accelerator]) as team:
        with team.losses_told():
            team.handed_out(task)
        yield team


def take_part(place: Place, accelerator: str) -> RunResult:
    """Paints along with a first process, and says nothing but why it cannot.

    Args:
        place: of this process.
        accelerator: `trainer.accelerator`.

    Returns:
        What the first one has, which writes it.

    Raises:
        LostProcessError: if another process is lost.
    """
    logging.getLogger("overpaint").setLevel(logging.ERROR)
    device = choose_device(accelerator, place.device)
    with (
        followed_interrupts(patient=True) as interrupts,
        interrupts.held(),
        gathered(place, device, [_WORKER, accelerator]) as team,
    ):
        with team.losses_told():
            task = team.handed_out(None)
        assert isinstance(task, Task)
        result = optimise(
            task.config,
            task.sources,
            interrupts=interrupts,
            tune_command="",
            kept=task.kept,
            team=team,
        )
    if result.lost:
        raise LostProcessError(result.lost)
    return RunResult(**vars(result), folder=task.folder)
