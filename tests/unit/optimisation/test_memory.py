from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from overpaint.optimisation.memory import keep_freed_memory, peak_memory_bytes

CPU = torch.device("cpu")

# Page faults of a block that was freed and is asked for again.
COUNT_FAULTS = """
import ctypes, resource, sys
from overpaint.optimisation.memory import keep_freed_memory
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
def count():
    for round in range(3):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        block = libc.malloc(64 << 20)
        ctypes.memset(block, 1, 64 << 20)
        libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(count(), keep_freed_memory(), count())
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has this setting")
def test_memory_that_is_freed_is_not_cleared_again() -> None:
    done = subprocess.run(
        [sys.executable, "-c", COUNT_FAULTS], capture_output=True, text=True, check=True
    )
    returned, is_done, kept = done.stdout.split()
    if is_done == "False":
        pytest.skip("this glibc refuses the setting")
    assert int(kept) < 0.1 * int(returned)


def test_a_system_without_the_setting_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("ctypes.CDLL", lambda name: SimpleNamespace())
    assert not keep_freed_memory()
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setattr("ctypes.CDLL", lambda name: pytest.fail("there is no C library to load"))
    assert not keep_freed_memory()


def test_an_older_glibc_is_not_left_half_set(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def mallopt(option: int, value: int) -> int:
        asked.append(option)
        return int(option != -3)  # refuses so great an mmap threshold

    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("ctypes.CDLL", lambda name: SimpleNamespace(mallopt=mallopt))
    assert not keep_freed_memory()
    assert asked == [-3]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells it in a second way")
def test_peak_memory_is_what_the_system_counts_in_bytes() -> None:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    (peak,) = (int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    assert peak_memory_bytes(CPU) == pytest.approx(peak * 1024, rel=0.02)


def test_a_system_that_does_not_tell_gives_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    assert peak_memory_bytes(CPU) is None
