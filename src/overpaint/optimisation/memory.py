"""Memory: how much was held and is left, and keeping what was freed."""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import suppress
from pathlib import Path

import torch

from overpaint.headroom import free_bytes, sharing

_LARGE = 1 << 19  # pixels from which a step takes longer than looking for what is left
# proc(5): what the kernel tells of this process, and by which its peak begins anew.
_STATUS, _CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def reset_peak_memory(device: torch.device) -> None:
    """Lets `peak_memory_bytes` count from here on, where the system can: CUDA devices and Linux."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with suppress(OSError):  # other systems, and containers that forbid it
        _CLEAR_REFS.write_text("5", "ascii")


def peak_memory_bytes(device: torch.device) -> int | None:
    """The most memory held: on a CUDA device, else by this process.

    Since the reset, or ever where there can be none; None where the system does not tell.
    """
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    with suppress(OSError):
        for line in _STATUS.read_text("utf-8", errors="replace").splitlines():
            name, _, size = line.partition(":")
            if name == "VmHWM":  # getrusage's begins with the parent's
                return int(size.split()[0]) * 1024
    try:
        import resource
    except ImportError:  # Windows has no such module
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def free_memory_bytes(device: torch.device) -> int | None:
    """The memory of a device that this process may still take; None where that is not known."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        idle = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free) // sharing().device + int(idle)
    return free_bytes() if device.type == "cpu" else None


def free_what_is_left(long_edge: int) -> None:
    """Gives back what earlier fits hold, before one that is large.

    Lightning's objects form rings, which outlive their fit until the collector comes by: of a large
    picture gigabytes. Looking takes 5 ms in a command, 0.2 s in a process that did not import by
    `loading.uncollected`.

    Args:
        long_edge: of the picture to come, in pixels.
    """
    if long_edge**2 >= _LARGE:
        gc.collect()


def keep_freed_memory() -> bool:
    """Tells glibc to keep large blocks that are freed, for the next step asks for them again.

    By default it hands them back to the system, which then has to clear every page of the next
    one: some 5 % of a step on a CPU. Without glibc, or with one before 2.35, nothing is done.

    Returns:
        Whether it is done.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    trim_threshold, mmap_threshold = -1, -3  # from malloc.h
    # The first call is the one that older versions refuse; the second alone would do harm there.
    return mallopt is not None and all(
        mallopt(option, 2**31 - 1) for option in (mmap_threshold, trim_threshold)
    )
