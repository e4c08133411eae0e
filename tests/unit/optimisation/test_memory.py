from __future__ import annotations

import gc
import mmap
import os
import platform
import subprocess
import sys
import weakref
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from overpaint.headroom import Sharing
from overpaint.optimisation.memory import (
    free_memory_bytes,
    free_what_is_left,
    keep_freed_memory,
    peak_memory_bytes,
    reset_peak_memory,
)

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


TELL_PEAK = """
import torch
from overpaint.optimisation.memory import peak_memory_bytes
print(peak_memory_bytes(torch.device("cpu")))
"""

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere peaks are told otherwise")


def hold(size: int) -> None:
    """Takes memory from the system, and gives it back."""
    with mmap.mmap(-1, size) as block:
        for start in range(0, size, mmap.PAGESIZE):
            block[start] = 1


@on_linux
def test_peak_memory_is_in_bytes_and_outlasts_what_was_held() -> None:
    reset_peak_memory(CPU)
    held = peak_memory_bytes(CPU)
    assert held is not None
    hold(300 * 2**20)
    peak = peak_memory_bytes(CPU)
    assert peak is not None
    assert 250 * 2**20 < peak - held < 350 * 2**20


@on_linux
@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="forbidden here")
def test_peak_memory_counts_from_the_reset() -> None:
    hold(300 * 2**20)
    before = peak_memory_bytes(CPU)
    reset_peak_memory(CPU)
    after = peak_memory_bytes(CPU)
    assert before is not None
    assert after is not None
    assert before - after > 250 * 2**20


@on_linux
def test_a_parents_peak_is_not_that_of_its_child() -> None:
    child = "import subprocess, sys; bytearray(1 << 30); print(subprocess.run([sys.executable, "
    child += "'-c', sys.argv[1]], capture_output=True, check=True, text=True).stdout)"
    command = [sys.executable, "-c", child, TELL_PEAK]
    told = subprocess.run(command, capture_output=True, check=True, text=True, timeout=120)
    assert 100 * 2**20 < int(told.stdout) < 900 * 2**20


def test_rings_are_given_back_before_a_large_picture_and_not_before_each() -> None:
    class Ring:
        def __init__(self) -> None:
            self.own = self

    gone = weakref.ref(Ring())
    gc.disable()
    try:
        free_what_is_left(256)
        assert gone() is not None
        free_what_is_left(1024)
        assert gone() is None
    finally:
        gc.enable()


def test_a_system_that_does_not_tell_gives_no_number(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("overpaint.optimisation.memory._STATUS", tmp_path / "status")
    monkeypatch.setattr("overpaint.optimisation.memory._CLEAR_REFS", tmp_path / "no" / "clear_refs")
    reset_peak_memory(CPU)
    if sys.platform != "win32":
        assert peak_memory_bytes(CPU) > 2**20  # type: ignore[operator]
    monkeypatch.setitem(sys.modules, "resource", None)
    assert peak_memory_bytes(CPU) is None


def test_processes_on_one_gpu_each_reckon_with_a_share_of_what_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (9000, 10000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 500)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 400)
    device = torch.device("cuda", 0)
    assert free_memory_bytes(device) == 9100
    monkeypatch.setattr("overpaint.headroom._sharing", Sharing(machine=8, device=3))
    assert free_memory_bytes(device) == 3100, "and what it holds already and does not use"
