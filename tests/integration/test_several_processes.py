"""Several processes for one picture: one run folder, and no hang when one of them dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from conftest import REPOSITORY, TRACKING_VARIABLES, make_picture
from PIL import Image
from refusals import refused
from several import CALMLY, gradient, picture

from overpaint.processes.team import ALONE_HERE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX"),
]
HANGING = 60  # seconds
STARTED_BY_OTHERS = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "NODE_RANK", "MASTER_", "SLURM_", "WANDB_")


def environment() -> dict[str, str]:
    """One thread for each process, and nobody who says that it is one of several."""
    paths = [REPOSITORY / "src", REPOSITORY / "tests", REPOSITORY / "tests" / "support"]
    inherited = {
        key: one
        for key, one in os.environ.items()
        if not key.startswith(STARTED_BY_OTHERS) and key not in TRACKING_VARIABLES
    }
    own = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(map(str, paths))}
    return {**inherited, **own}


@contextmanager
def started(words: Sequence[str | Path], *, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that is ended with all that it has started."""
    process = subprocess.Popen(
        [sys.executable, *words],
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    others: list[psutil.Process] = []
    try:
        yield process
    finally:
        if process.poll() is None:
            others = psutil.Process(process.pid).children(recursive=True)
            process.kill()
        for one in others:
            one.kill()
        process.communicate(timeout=HANGING)


def done(words: Sequence[str | Path], *, cwd: Path) -> str:
    """What a process says that has to succeed."""
    with started(words, cwd=cwd) as process:
        said = process.communicate(timeout=HANGING)[0]
    assert process.returncode == 0, said
    return said


@pytest.fixture
def words(tmp_path: Path, slim_file: Path) -> list[str]:
    """A run whose last size is divided; the smaller ones have too few rows."""
    make_picture((40, 288), seed=1).save(tmp_path / "photo.png")
    make_picture((36, 280), seed=2).save(tmp_path / "painting.png")
    return [
        *("photo.png", "painting.png", "image.size=288", "schedule.steps=4"),
        *("encoder.name=vgg19_slim", f"encoder.weights={slim_file}", "tracking.mode=disabled"),
        *("trainer.accelerator=cpu", "trainer.devices=2"),
    ]


def painted_until(process: subprocess.Popen[str], begin: str) -> list[str]:
    """The lines of a process up to one that begins so."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith(begin):
            return lines
    raise AssertionError("".join(lines))


def ended(process: psutil.Process, within: float = 20) -> bool:
    until = time.monotonic() + within
    while time.monotonic() < until:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.usefixtures("one_thread")
def test_gradients_and_pictures_are_those_of_one_process_with_masks_and_without(
    tmp_path: Path,
) -> None:
    script = REPOSITORY / "tests" / "support" / "several.py"
    exact = {masked: gradient(ALONE_HERE, is_guided=masked) for masked in (False, True)}
    expected = {masked: picture(ALONE_HERE, is_guided=masked) for masked in (False, True)}
    assert float((expected[True] - expected[False]).abs().max()) > 0.1, "masks change nothing"
    for processes in (2, 3):
        path = tmp_path / f"{processes}.pt"
        done([script, str(processes), path], cwd=tmp_path)
        for masked, (gradients, painted) in torch.load(path).items():
            for one in gradients:
                assert float((one - exact[masked]).norm() / exact[masked].norm()) < 1e-5
            assert float((painted - expected[masked]).abs().max()) < 1e-3


def test_one_command_paints_together_and_leaves_one_folder(
    words: list[str], tmp_path: Path
) -> None:
    said = done(["-m", "overpaint", *words, "optimizer.name=lbfgs"], cwd=tmp_path)
    assert "40x288 pixels on cpu (2 processes)" in said
    assert "too few rows to divide" in said, "the smaller sizes"
    (folder,) = (tmp_path / "runs").iterdir()
    assert said.count("Result: ") == 1
    steps = [line.split(",")[0] for line in (folder / "metrics.csv").read_text().splitlines()]
    assert steps == ["step", "1", "4"]
    assert not (folder / "checkpoints").exists()
    assert json.loads((folder / "environment.json").read_text())["lost"] is None


def test_regions_and_weight_maps_are_painted_together(words: list[str], tmp_path: Path) -> None:
    levels = np.zeros((288, 40), np.uint8)
    levels[100:230] = 255
    Image.fromarray(levels).save(tmp_path / "middle.png")
    region = "{content_mask: middle.png, style: painting.png}"
    words = [word for word in words if word != "painting.png"]
    words += [f"regions=[{region}]", "content.weight_map=middle.png", *CALMLY]
    for devices in (2, 1):
        done(
            [*("-m", "overpaint", *words), f"trainer.devices={devices}", "-o", f"{devices}.png"],
            cwd=tmp_path,
        )
    with (
        Image.open(tmp_path / "2.png") as together,
        Image.open(tmp_path / "1.png") as alone,
        Image.open(tmp_path / "photo.png") as photo,
    ):
        painted, expected, before = (
            np.asarray(one).astype(int) for one in (together, alone, photo)
        )
    assert np.abs(painted - expected).max() <= 1
    assert (painted[:100] == before[:100]).all()
    assert np.abs(painted - before)[100:230].mean() > 5


def test_torchrun_starts_the_processes_too(words: list[str], tmp_path: Path) -> None:
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    script = REPOSITORY / "scripts" / "stylize.py"
    said = done([*torchrun, script, *words], cwd=tmp_path)
    (folder,) = (tmp_path / "runs").iterdir()
    assert said.count("Result: ") == said.count("W&B: disabled") == 1, said
    with Image.open(folder / "result.png") as picture:
        assert picture.size == (40, 288)


def test_a_worker_that_is_killed_ends_the_run_with_one_line_and_its_picture(
    words: list[str], tmp_path: Path
) -> None:
    endless = [*words, "schedule.steps=100000", "schedule.scales=[1]"]
    with started(["-m", "overpaint", *endless], cwd=tmp_path) as process:
        painted_until(process, "step 1/")
        (worker,) = psutil.Process(process.pid).children()
        worker.kill()
        said = process.communicate(timeout=HANGING)[0]
    assert process.returncode == 1, said
    assert "Traceback" not in said
    (error,) = (line for line in said.splitlines() if "error" in line)
    assert error.startswith("error: process 2 of 2 ended by SIGKILL; the picture is that of step ")
    (folder,) = (tmp_path / "runs").iterdir()
    facts = json.loads((folder / "environment.json").read_text())
    assert facts["interrupted"]
    assert facts["lost"] == "process 2 of 2 ended by SIGKILL"
    with Image.open(folder / "result.png") as picture:
        assert np.asarray(picture).std() > 1
    assert f"--resume {folder}" in said
    kept = sorted(path.name for path in (folder / "checkpoints").glob("*.ckpt"))
    assert kept[-1] == f"step_{facts['steps']:05d}.ckpt", "the checkpoint is of the same step"


def test_ctrl_c_ends_all_processes_with_a_picture_and_the_run_goes_on_by_one(
    words: list[str], tmp_path: Path
) -> None:
    endless = [*words, "schedule.steps=100000", "schedule.scales=[1]"]
    with started(["-m", "overpaint", *endless], cwd=tmp_path) as process:
        painted_until(process, "step 1/")
        (worker,) = psutil.Process(process.pid).children()
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=HANGING)[0]
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert ended(worker)
    (folder,) = (tmp_path / "runs").iterdir()
    assert (folder / "result.png").is_file()
    done_before = json.loads((folder / "environment.json").read_text())["steps"]
    again = ["--resume", str(folder), "trainer.devices=1", "snapshots.every=0"]
    with started(["-m", "overpaint", *again], cwd=tmp_path) as process:
        said = "".join(painted_until(process, "40x288 pixels on cpu in"))
    assert f"Going on after step {done_before}." in said


def test_workers_end_with_a_first_process_that_is_killed(words: list[str], tmp_path: Path) -> None:
    with started(["-m", "overpaint", *words, "schedule.steps=100000"], cwd=tmp_path) as process:
        painted_until(process, "step 1/")
        (worker,) = psutil.Process(process.pid).children()
        process.kill()
        assert ended(worker)


def test_machines_that_nobody_told_of_each_other_are_refused(
    words: list[str], tmp_path: Path
) -> None:
    said = refused([*words, "trainer.num_nodes=2"], cwd=tmp_path, env=environment())
    assert "NODE_RANK, MASTER_ADDR and MASTER_PORT set" in said
