from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch

from overpaint.headroom import Sharing, _left_by_cgroups, free_bytes, in_words, is_out_of_memory

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux tells")


def version_2(folder: Path, most: str, held: int, cache: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{most}\n")
    (folder / "memory.current").write_text(f"{held}\n")
    (folder / "memory.stat").write_text(f"anon 1\ninactive_file {cache}\nactive_file 7\n")


def own_groups(folder: Path, *lines: str) -> Path:
    path = folder / "cgroup"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_control_group_leaves_its_limit_less_what_is_held(tmp_path: Path) -> None:
    version_2(tmp_path / "job", "1000", held=700, cache=50)
    assert list(_left_by_cgroups(tmp_path, own_groups(tmp_path, "0::/job"))) == [350]


def test_the_groups_around_a_group_count_too(tmp_path: Path) -> None:
    version_2(tmp_path / "user" / "job", "max", held=1, cache=0)
    version_2(tmp_path / "user", "500", held=100, cache=0)
    own = own_groups(tmp_path, "0::/user/job")
    assert list(_left_by_cgroups(tmp_path, own)) == [400]


def test_a_container_sees_its_own_group_at_the_top(tmp_path: Path) -> None:
    version_2(tmp_path, "500", held=100, cache=20)
    own = own_groups(tmp_path, "0::/somewhere/on/the/host")
    assert list(_left_by_cgroups(tmp_path, own)) == [420]


def test_version_1_has_other_names(tmp_path: Path) -> None:
    folder = tmp_path / "memory" / "job"
    folder.mkdir(parents=True)
    (folder / "memory.limit_in_bytes").write_text("1000")
    (folder / "memory.usage_in_bytes").write_text("900")
    (folder / "memory.stat").write_text("inactive_file 3\ntotal_inactive_file 200\n")
    own = own_groups(tmp_path, "5:cpu:/other", "4:memory:/job", "0::/")
    assert list(_left_by_cgroups(tmp_path, own)) == [300]


def test_no_control_groups_say_nothing(tmp_path: Path) -> None:
    assert list(_left_by_cgroups(tmp_path, tmp_path / "nothing")) == []
    assert list(_left_by_cgroups(tmp_path, own_groups(tmp_path, "0::/job"))) == []


@on_linux
@pytest.mark.parametrize("limit", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_a_limit_of_the_process_counts(limit: str) -> None:
    code = f"""
import resource
from overpaint.headroom import free_bytes
before = free_bytes()
resource.setrlimit(resource.{limit}, (900 << 20, resource.RLIM_INFINITY))
held = free_bytes()
block = bytearray(300 << 20)
print(before, held, free_bytes())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, limited, later = map(int, done.stdout.split())
    assert limited < min(before, 900 << 20)
    assert limited - later == pytest.approx(300 << 20, rel=0.05)


def test_elsewhere_it_is_the_whole_memory_less_what_is_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held = SimpleNamespace(rss=300)
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setattr(psutil, "Process", lambda: SimpleNamespace(memory_info=lambda: held))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=1000, available=1))
    assert free_bytes() == 700


@on_linux
def test_of_what_several_processes_may_take_it_is_a_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = SimpleNamespace(vms=300, data=0)
    process = SimpleNamespace(
        memory_info=lambda: own,
        rlimit=lambda limit: (550 if limit == psutil.RLIMIT_AS else psutil.RLIM_INFINITY, 0),
    )
    monkeypatch.setattr(psutil, "Process", lambda: process)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1100))
    monkeypatch.setattr(psutil, "swap_memory", lambda: SimpleNamespace(free=100))
    monkeypatch.setattr("overpaint.headroom._left_by_cgroups", lambda *_: [2000])
    monkeypatch.setattr("overpaint.headroom._sharing", Sharing(machine=6))
    assert free_bytes() == 200
    monkeypatch.setattr("overpaint.headroom._sharing", Sharing(machine=2))
    assert free_bytes() == 250, "the limit of this process alone"


@pytest.mark.parametrize("error", [psutil.AccessDenied(), FileNotFoundError(), RuntimeError()])
def test_a_system_that_does_not_tell_gives_no_number(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse() -> None:
        raise error

    monkeypatch.setattr(psutil, "virtual_memory", refuse)
    assert free_bytes() is None


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't"),
        RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
    ],
)
def test_errors_of_allocators_are_known(error: BaseException) -> None:
    assert is_out_of_memory(error)


def test_pytorchs_own_allocator_is_known() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 55, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("shapes do not match"),
        OSError(errno.ENOSPC, "No space left on device"),
        ValueError("out of memory of time"),
        KeyboardInterrupt("out of memory"),
    ],
)
def test_other_errors_are_not_taken_for_them(error: BaseException) -> None:
    assert not is_out_of_memory(error)


@pytest.mark.parametrize(
    ("size", "words"),
    [(1, "1 MB"), (140_400_000, "140 MB"), (3_210_000_000, "3.2 GB"), (4.6e12, "4,600.0 GB")],
)
def test_bytes_are_told_in_a_unit_that_people_know(size: int, words: str) -> None:
    assert in_words(size) == words
