"""Which of the processes of a run this one is, as whoever started it says."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass

from lightning_fabric.plugins.environments import (  # type: ignore[attr-defined]
    ClusterEnvironment,
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)

from overpaint.errors import ConfigError


@dataclass(frozen=True)
class Place:
    """That of a process among those that paint one picture."""

    number: int = 0
    """Counted from 0 over all machines; 0 reads, writes and talks."""
    device: int = 0
    """The number of its device on its machine."""
    devices: int = 1
    """On each machine."""
    nodes: int = 1
    """Machines."""
    address: str | None = None
    """Of the first process, `host:port`; None if this is the first and nobody told it one."""
    starts_others: bool = False
    """Whether it is to start the others on its machine."""

    @property
    def processes(self) -> int:
        """Their number."""
        return self.devices * self.nodes

    @property
    def is_first(self) -> bool:
        """Whether it reads, writes and talks."""
        return self.number == 0


def as_text(place: Place) -> str:
    """A place as a word of a command line."""
    return json.dumps(dataclasses.asdict(place))


def place_from_text(text: str) -> Place:
    """The same place."""
    return Place(**json.loads(text))


def find_place(devices: int, nodes: int) -> Place:
    """The place that torchrun, Slurm, or nobody gave this process.

    Args:
        devices: on each machine.
        nodes: machines.

    Raises:
        ConfigError: if the processes that were started are others than the settings ask for.
    """
    if devices * nodes == 1:
        return Place()  # of several that each paint a picture of their own, say
    asked = f"trainer.devices={devices}, trainer.num_nodes={nodes}"
    try:
        environment = _environment()
        environment.validate_settings(num_devices=devices, num_nodes=nodes)
    except (ValueError, RuntimeError, KeyError) as error:
        raise ConfigError(f"{asked}: {error}") from None
    device = environment.local_rank()
    number = environment.node_rank() * devices + device
    if not isinstance(environment, LightningEnvironment):
        number = environment.global_rank()
    if not (0 <= device < devices and 0 <= number < devices * nodes):
        raise ConfigError(
            f"{asked}: this is process {number}, number {device} of its machine; start as many as "
            "the settings ask for."
        )
    starts = not environment.creates_processes_externally
    address = None
    if not starts or nodes > 1:
        if nodes > 1 and starts and not _is_told(os.environ):
            raise ConfigError(
                f"trainer.num_nodes={nodes}: start the command on each machine with NODE_RANK, "
                "MASTER_ADDR and MASTER_PORT set, or by torchrun or srun."
            )
        address = f"{environment.main_address}:{environment.main_port}"
    return Place(number, device, devices, nodes, address, starts)


def _environment() -> ClusterEnvironment:
    if TorchElasticEnvironment.detect():
        return TorchElasticEnvironment()
    # A job of one task may start the processes of its machine itself.
    if int(os.environ.get("SLURM_NTASKS", "1")) > 1 and SLURMEnvironment.detect():
        return SLURMEnvironment(auto_requeue=False)
    return LightningEnvironment()


def _is_told(environment: Mapping[str, str]) -> bool:
    return all(name in environment for name in ("NODE_RANK", "MASTER_ADDR", "MASTER_PORT"))


class Joined(LightningEnvironment):
    """What Lightning is told of processes that have found each other already."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self._place = place

    @property
    def creates_processes_externally(self) -> bool:
        """Lightning is to start none."""
        return True

    def local_rank(self) -> int:
        """The number of the device on its machine."""
        return self._place.device

    def node_rank(self) -> int:
        """The number of the machine."""
        return self._place.number // self._place.devices

    def teardown(self) -> None:
        """Leaves the environment as it is, for further sizes."""
