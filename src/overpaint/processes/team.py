"""The processes that paint one picture, once they have found each other."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed
from torch.autograd.function import once_differentiable

from overpaint.banding.shares import Share
from overpaint.errors import LostProcessError, brief
from overpaint.processes.places import Place
from overpaint.processes.workers import Workers

_T = TypeVar("_T")

_MEETING = 300.0  # seconds in which all of them have to come
_WAITING = timedelta(minutes=30)  # for a process that does not come to a sum
_LEAVING = 10.0  # seconds that a process may take to end when all is done
_SOON = 3.0  # seconds in which the system tells how a process ended
_BACKENDS = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}
# What errors of torch.distributed say where they are no `DistError`.
_OF_OTHERS = ("gloo", "NCCL", "TCPStore", "Connection closed by peer", "ProcessGroup")


@dataclasses.dataclass(frozen=True)
class Team:
    """All processes that paint one picture, of which this is one; perhaps the only one."""

    place: Place = dataclasses.field(default_factory=Place)
    workers: Workers | None = None
    """Those that this process started."""

    @property
    def is_alone(self) -> bool:
        """Whether there are no others."""
        return self.place.processes == 1

    @property
    def share(self) -> Share | None:
        """Of this process in the rows of a picture."""
        if self.is_alone:
            return None
        return Share(self.place.number, self.place.processes, total)

    def named(self, device: torch.device, layers: Sequence[str], height: int) -> str:
        """Where a picture is computed, and by how many processes.

        Args:
            device: of this process.
            layers: that are read.
            height: of the picture.
        """
        if self.share is None:
            return str(device)
        number = self.place.processes
        if self.share.part(layers, height) is None:
            return f"{device} (too few rows to divide: {number} processes do all)"
        return f"{device} ({number} processes)"

    def agree(self, is_so: bool) -> bool:
        """Whether it is so for one of them; all ask at the same time."""
        if self.is_alone:
            return is_so
        answer = torch.tensor([int(is_so)])
        distributed.all_reduce(answer, distributed.ReduceOp.MAX)
        return bool(answer)

    def handed_out(self, value: _T) -> _T:
        """What the first process has, for all."""
        if self.is_alone:
            return value
        held: list[Any] = [value if self.place.is_first else None]
        distributed.broadcast_object_list(held, device=torch.device("cpu"))
        handed: _T = held[0]
        return handed

    @torch.no_grad()
    def let_all_have(self, image: Tensor) -> None:
        """Brings the first process's image, of any layout, to all of them, in place."""
        if self.is_alone:
            return
        sent = image.detach().contiguous()
        distributed.broadcast(sent, 0)
        image.copy_(sent)

    @contextmanager
    def losses_told(self) -> Iterator[None]:
        """Says so if another process ends before it is done.

        Raises:
            LostProcessError: in the place of what torch.distributed raises.
        """
        try:
            yield
        except Exception as error:
            if self.is_alone or isinstance(error, LostProcessError):
                raise
            lost = self._lost(error)
            if lost is None:
                raise
            raise LostProcessError(lost) from None

    def _lost(self, error: Exception) -> str | None:
        until = time.monotonic() + _SOON
        is_of_others = isinstance(error, distributed.DistError) or (
            isinstance(error, RuntimeError) and any(one in str(error) for one in _OF_OTHERS)
        )
        while self.workers and is_of_others and time.monotonic() < until:
            if lost := self.workers.lost():
                return lost
            time.sleep(0.1)
        return f"another process is gone ({brief(error)})" if is_of_others else None


ALONE_HERE = Team()


@contextmanager
def gathered(place: Place, device: torch.device, words: Sequence[str]) -> Iterator[Team]:
    """The team of a run for as long as the block lasts, once all of its processes have come.

    Args:
        place: of this process.
        device: of this process.
        words: of processes that are started here, as `Workers` takes them.

    Raises:
        LostProcessError: if some process does not come.
    """
    if place.processes == 1:
        yield ALONE_HERE
        return
    threads, workers, is_done = torch.get_num_threads(), None, False
    if device.type == "cuda":
        torch.cuda.set_device(device)
    elif "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // place.devices))
    try:
        store = _store(place) if place.is_first else None
        if place.starts_others:
            workers = Workers(words, _others(place, store))
        team = Team(place, workers)
        with team.losses_told():
            _join(place, store or _store(place), workers, _BACKENDS[device.type])
        yield team
        is_done = True
    finally:
        torch.set_num_threads(threads)
        if distributed.is_initialized():
            distributed.destroy_process_group()
        if workers:
            workers.close(_LEAVING if is_done else 0.0)


def _others(place: Place, store: Any) -> list[Place]:
    """Those on the machine of a first process."""
    address = place.address or f"127.0.0.1:{store.port}"
    return [
        dataclasses.replace(
            place, number=place.number + one, device=one, address=address, starts_others=False
        )
        for one in range(1, place.devices)
    ]


def _join(place: Place, store: Any, workers: Workers | None, backend: str) -> None:
    options: dict[str, Any] = {"init_method": "env://"}
    if store is not None:
        _await_all(store, place, workers)
        options = {"store": store}
    distributed.init_process_group(
        backend,
        rank=place.number,
        world_size=place.processes,
        timeout=_WAITING,
        **options,
    )


def _store(place: Place) -> Any:
    """Where the processes leave words for each other; None where torchrun has one."""
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        return None
    host, _, port = (place.address or "127.0.0.1:0").rpartition(":")
    return distributed.TCPStore(  # type: ignore[attr-defined]  # PyTorch documents it
        host,
        int(port),
        place.processes,
        is_master=place.is_first,
        timeout=timedelta(seconds=_MEETING),
        wait_for_workers=False,
    )


def _await_all(store: Any, place: Place, workers: Workers | None) -> None:
    """Waits until all have come.

    Raises:
        LostProcessError: if one has ended, or does not come.
    """
    names = [f"here/{number}" for number in range(place.processes)]
    store.set(names[place.number], "")
    until = time.monotonic() + _MEETING
    while not store.check(names):
        if workers and (lost := workers.lost()):
            raise LostProcessError(lost)
        if time.monotonic() > until:
            came = sum(store.check([name]) for name in names)
            raise LostProcessError(
                f"{came} of {place.processes} processes have come within {_MEETING:g} s"
            )
        time.sleep(0.05)


class _Total(torch.autograd.Function):
    """Sums over processes.

    Each process has the gradient of one loss by the sums of all, which is that by its own. DDP
    averages what the processes make of it, where their sum is the gradient of the picture.
    """

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        summed = own.clone()
        distributed.all_reduce(summed)
        return summed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient * distributed.get_world_size()


def total(sums: Sequence[Tensor]) -> Sequence[Tensor]:
    """The sums of all processes from those of this one, in one go; DDP averages the gradients."""
    if not sums:
        return sums
    joined: Tensor = _Total.apply(torch.cat([one.flatten() for one in sums]))
    parts = joined.split_with_sizes([one.numel() for one in sums])
    return [part.view_as(one).to(one.dtype) for part, one in zip(parts, sums, strict=True)]
