"""How much memory this process may still take, and what an error says that there was too little."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import psutil

_CGROUPS, _OWN_CGROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
# Of versions 2 and 1: the folder of the memory groups, and the names of their files.
_VERSIONS = (
    ("", "memory.max", "memory.current", "inactive_file"),
    ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
# What allocators say: PyTorch's on CPU, CUDA and MPS, cuDNN's and cuBLAS's, the dynamic loader's.
_ALLOCATORS = (
    "not enough memory",
    "DefaultCPUAllocator",
    "out of memory",
    "_STATUS_ALLOC_FAILED",
    "bad_alloc",
    "Cannot allocate memory",
    "failed to map segment",
)


@dataclass(frozen=True)
class Sharing:
    """How many processes like this one take of the same memory at the same time."""

    machine: int = 1
    device: int = 1
    """Of them, those that take of the same GPU."""

    @property
    def told(self) -> str:
        """Behind "3.2 GB are free here"."""
        return f" for each of {self.machine} pictures at a time" if self.machine > 1 else ""


_sharing = Sharing()


def share_memory(sharing: Sharing) -> None:
    """Lets this process reckon with its share of what is free from now on.

    Several that look at the same moment all see the same memory.
    """
    global _sharing
    _sharing = sharing


def sharing() -> Sharing:
    """With how many others this process shares memory."""
    return _sharing


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, whoever raised it."""
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    said = isinstance(error, RuntimeError | ImportError | OSError)
    return isinstance(error, MemoryError) or (
        said and any(words in str(error) for words in _ALLOCATORS)
    )


def free_bytes() -> int | None:
    """The memory that this process may still take, or None where the system does not tell.

    Of what several processes may take, it is one's share.

    The smallest of what the machine has free (swap counted), of what its control groups leave, and
    of its own limits (`ulimit -v`, `ulimit -d`). Outside Linux, where what is free says little
    about what can be had, it is the machine's whole memory less what the process holds.
    """
    try:
        process = psutil.Process()
        held = process.memory_info()
        machine = psutil.virtual_memory()
        if sys.platform != "linux":
            return max(0, int(machine.total - held.rss) // _sharing.machine)
        shared = [machine.available + psutil.swap_memory().free]
        own = []
        for limit, used in ((psutil.RLIMIT_AS, held.vms), (psutil.RLIMIT_DATA, held.data)):
            soft, _ = process.rlimit(limit)
            if soft != psutil.RLIM_INFINITY:
                own.append(soft - used)
    except (psutil.Error, OSError, ValueError, RuntimeError):  # no /proc, say
        return None
    shared += _left_by_cgroups(_CGROUPS, _OWN_CGROUPS)
    return max(0, int(min([min(shared) // _sharing.machine, *own])))


def _left_by_cgroups(mounted: Path, own: Path) -> Iterator[int]:
    """What each control group that this process is in leaves."""
    try:
        lines = own.read_text("ascii", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        _, kinds, group = line.split(":", 2)
        if kinds not in ("", "memory"):
            continue
        folder, limit, used, cache = _VERSIONS[kinds == "memory"]
        path = PurePosixPath(group.lstrip("/"))
        for place in (path, *path.parents):  # a container sees only the last, as its own
            left = _left_by(mounted / folder / place, limit, used, cache)
            if left is not None:
                yield left


def _left_by(group: Path, limit: str, used: str, cache: str) -> int | None:
    try:
        most, held = (int((group / name).read_text("ascii")) for name in (limit, used))
        facts = (group / "memory.stat").read_text("ascii").split()
    except (OSError, ValueError):  # not there, or "max"
        return None
    # Files that were read count as used, but make room for whoever needs it.
    reusable = dict(zip(facts[::2], facts[1::2], strict=False)).get(cache, "0")
    return most - held + int(reusable)


def in_words(size: int) -> str:
    """A number of bytes as people read it: `3.2 GB`, `140 MB`."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{max(1, round(size / 1e6))} MB"
