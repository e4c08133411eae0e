"""Several pictures at a time: the same files as one by one, whatever process is lost or stopped."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import psutil
import pytest
from batches import NAMES, PAINTINGS, is_over, make_folders, pictures, rows, small_words
from forked import Server, serving

from overpaint.cli import run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX"),
    pytest.mark.usefixtures("untuned", "one_thread"),
]
HANGING = 60  # seconds


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as started:
        yield started


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are two folders of pictures, and processes have a thread each."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    make_folders()


@pytest.fixture
def small(slim_file: Path) -> list[str]:
    return small_words(slim_file)


def words_of(place: Path, *words: str) -> list[str]:
    """A batch over the two folders; processes of the server start elsewhere."""
    folders = (str(place / "photos"), str(place / "paintings"))
    return ["batch", *folders, "-o", str(place / "out"), *words]


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + HANGING
    while not is_so():
        assert time.monotonic() < deadline, "it does not come to that"
        time.sleep(0.02)


def others_of(number: int) -> list[psutil.Process]:
    return psutil.Process(number).children()


def are_gone(processes: Sequence[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=20)
    return all(one.status() == psutil.STATUS_ZOMBIE for one in alive)


def lines_about(log: str, name: str) -> list[str]:
    return [line.removeprefix(f"{name}: ") for line in log.splitlines() if line.startswith(name)]


def test_shards_of_several_at_a_time_make_what_one_at_a_time_makes(
    small: list[str], server: Server, tmp_path: Path
) -> None:
    broken = Path("photos", "cut.png")
    broken.write_bytes(Path("photos", "x.png").read_bytes()[:300])
    assert run(words_of(tmp_path, *small, "--preview")) == 1
    whole = Path("out").rename("whole")
    log = tmp_path / "log"
    for part, status in (("1/2", 0), ("2/2", 1)):  # the second one has both that are broken
        given = words_of(tmp_path, *small, "--jobs", "2", "--shard", part, "--preview")
        assert server.run(given, log=log) == status
    said = log.read_text(encoding="utf-8")
    assert "Traceback" not in said
    folder = Path("out")
    assert sorted(one.stem for one in folder.glob("*.png")) == sorted(NAMES)
    for name in NAMES:
        for file in (f"{name}.png", f"runs/{name}/metrics.csv"):
            assert (folder / file).read_bytes() == (whole / file).read_bytes(), file
        assert (folder / "runs" / name / "preview.png").is_file()
        about = lines_about(said, name)
        assert len([line for line in about if line.startswith("Result: ")]) == 1
        assert len([line for line in about if "4 steps of adam" in line]) == 1
    bare = [{**one, "trial": "", "seconds": ""} for one in rows(folder) if one["status"] == "done"]
    assert bare == [
        {**one, "trial": "", "seconds": ""} for one in rows(whole) if one["status"] == "done"
    ]
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2
    assert all("cut_" in line and "may be damaged" in line for line in errors)
    assert said.count("Several pictures at a time are not shown in the terminal") == 2
    assert not list(folder.glob(".lock*"))


@pytest.fixture
def endless(small: list[str], tmp_path: Path) -> list[str]:
    """Words of two pictures that take for ever and two of a moment, two at a time."""
    shutil.copy("photos/x.png", "e.png")
    shutil.copy("photos/a, b.png", "f.png")
    paintings = [f"{tmp_path}/paintings/{one}" for one in PAINTINGS]
    lines = [
        *(f"{tmp_path}/{name}.png,{paintings[i]},100000,{name}" for i, name in enumerate("ef")),
        *(f"{tmp_path}/photos/x.png,{paintings[1]},4,{name}" for name in "gh"),
    ]
    Path("pairs.csv").write_text("\n".join(["content,style,schedule.steps,name", *lines]))
    pairs = ["--pairs", str(tmp_path / "pairs.csv"), "-o", str(tmp_path / "out")]
    kept = ["checkpoint.every_seconds=0", "snapshots.every=0"]
    return ["batch", *pairs, "--jobs", "2", *small, *kept]


def newest(name: str) -> int:
    """The step of the newest checkpoint; 0 if there is none yet."""
    found = Path("out", "runs", name, "checkpoints").glob("step_*.ckpt")
    return max((int(one.stem.removeprefix("step_")) for one in found), default=0)


def both_are_under_way(beyond: Sequence[int] = (0, 0)) -> Callable[[], bool]:
    return lambda: all(newest(name) > least for name, least in zip("ef", beyond, strict=True))


def test_a_process_that_is_killed_costs_its_picture_and_another_takes_its_place(
    endless: list[str], server: Server, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    number = server.start(endless, log=log)
    until(both_are_under_way())
    first, second = others_of(number)
    first.kill()
    until(lambda: is_over(Path("out/runs/g")) and is_over(Path("out/runs/h")))
    second.kill()
    assert server.wait(number) == 1
    assert are_gone([first, second])
    said = log.read_text()
    assert "Traceback" not in said
    errors = sorted(line for line in said.splitlines() if line.startswith("error: "))
    assert len(errors) == 2
    for name, error in zip("ef", errors, strict=True):
        assert error.startswith(f"error: {name}: its process ended by SIGKILL")
    assert [one["status"] for one in rows(Path("out"))] == ["failed", "failed", "done", "done"]
    assert sorted(pictures(Path("out"))) == ["g", "h"]


def test_ctrl_c_and_sigterm_keep_every_picture_that_is_under_way(
    endless: list[str], server: Server, tmp_path: Path
) -> None:
    with (tmp_path / "first").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "overpaint", *endless],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        until(both_are_under_way())
        others = others_of(process.pid)
        assert len(others) == 2
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        assert process.wait(HANGING) == 130
    finally:
        process.kill()
        process.wait()
    assert are_gone(others)
    said = (tmp_path / "first").read_text()
    assert "Traceback" not in said
    assert said.splitlines()[-1] == "To go on with the batch, give the same command again."
    assert sorted(pictures(Path("out"))) == ["e", "f"]
    assert [one["status"] for one in rows(Path("out"))] == ["interrupted"] * 2
    reached = [int(one["steps"]) for one in rows(Path("out"))]
    assert reached == [newest(name) for name in "ef"]

    number = server.start(endless, log=tmp_path / "second")
    until(both_are_under_way(reached))
    others = others_of(number)
    for one in others:
        one.terminate()  # as clusters do, which send it to all processes: it is for the first one
    until(both_are_under_way([newest(name) + 5 for name in "ef"]))
    os.kill(number, signal.SIGTERM)
    assert server.wait(number) == -signal.SIGTERM, "which a shell shows as 143"
    assert are_gone(others)
    said = (tmp_path / "second").read_text()
    for name, step in zip("ef", reached, strict=True):
        assert f"{name}: Going on after step {step}." in said
    assert [one["status"] for one in rows(Path("out"))] == ["interrupted"] * 2
    assert all(
        int(one["steps"]) > step for one, step in zip(rows(Path("out")), reached, strict=True)
    )


def test_processes_end_with_the_one_that_started_them_and_a_second_ctrl_c_ends_all_at_once(
    endless: list[str], server: Server, tmp_path: Path
) -> None:
    number = server.start(endless, log=tmp_path / "first")
    until(both_are_under_way())
    others = others_of(number)
    os.kill(number, signal.SIGKILL)
    assert server.wait(number) == -signal.SIGKILL
    number = server.start(endless, log=tmp_path / "second")  # before they have noticed, perhaps
    assert are_gone(others)
    reached = [newest(name) for name in "ef"]
    until(both_are_under_way(reached))
    said = (tmp_path / "second").read_text()
    assert all(f"{name}: Going on after step" in said for name in "ef")
    assert "failed" not in said
    others = others_of(number)
    for one in others:
        one.suspend()  # so that they cannot keep anything
    os.kill(number, signal.SIGINT)
    until(lambda: "keeping the pictures" in (tmp_path / "second").read_text())
    os.kill(number, signal.SIGINT)
    assert server.wait(number) == 130
    assert are_gone(others)
    assert "Traceback" not in (tmp_path / "second").read_text()
    assert not pictures(Path("out"))


def test_a_batch_of_several_that_was_killed_goes_on_and_paints_nothing_twice(
    slim_file: Path, server: Server, tmp_path: Path
) -> None:
    words = [*small_words(slim_file, 12), "checkpoint.every_seconds=0"]
    assert run(words_of(tmp_path, *words)) == 0
    whole = Path("out").rename("whole")
    log = tmp_path / "log"
    given = words_of(tmp_path, *words, "--jobs", "2")
    number = server.start(given, log=log)
    made: dict[Path, int] = {}
    for wanted in (1, 4):
        until(lambda wanted=wanted: len(list(Path("out").glob("*.png"))) >= wanted)
        for one in (*others_of(number), psutil.Process(number)):
            one.kill()
        assert server.wait(number) == -signal.SIGKILL
        done = [path for path in Path("out").glob("runs/*/result.png") if is_over(path.parent)]
        now = {path: path.stat().st_mtime_ns for path in done}
        assert now.items() >= made.items()
        made = now
        number = server.start(given, log=log)
    assert server.wait(number) == 0, log.read_text()
    assert "Traceback" not in log.read_text()
    assert {path: path.stat().st_mtime_ns for path in made} == made
    one, two = pictures(Path("out")), pictures(whole)
    assert sorted(one) == sorted(two) == sorted(NAMES)
    for name in two:
        np.testing.assert_array_equal(one[name], two[name])
