"""Runs that are stopped at any moment and go on: nothing is lost, and nothing is different."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import InterruptAfter, make_picture, wandb_history, wandb_runs
from forked import Server, serving
from PIL import Image
from pytorch_lightning.callbacks import Callback

from overpaint.cli import run
from overpaint.errors import CheckpointError, ConfigError, DivergedError
from overpaint.optimisation.module import StyleTransferModule
from overpaint.records.checkpoints import CheckpointFolder
from overpaint.records.result import RunResult
from overpaint.runs.resume import resume
from overpaint.runs.stylize import stylize
from overpaint.settings.schema import Config
from overpaint.settings.writing import to_yaml

pytestmark = pytest.mark.usefixtures("one_thread")

MakeConfig = Callable[..., Config]

COARSE_TO_FINE = (
    "image.size=64",
    "schedule.scales=[0.5, 0.75, 1.0]",
    "schedule.steps=12",
    "snapshots.every=3",
    "tracking.log_every=2",
)
KILLS, SIGNALS = 20, 10


def pixels(path: Path) -> Any:
    with Image.open(path) as picture:
        return np.asarray(picture)


def assert_same_run(folder: Path, other: Path) -> None:
    """The same picture, numbers and snapshots, and nothing left of checkpoints."""
    np.testing.assert_array_equal(pixels(folder / "result.png"), pixels(other / "result.png"))
    assert (folder / "metrics.csv").read_bytes() == (other / "metrics.csv").read_bytes()
    names = [
        sorted(path.relative_to(one).as_posix() for path in one.rglob("*") if path.is_file())
        for one in (folder, other)
    ]
    assert names[0] == names[1]
    for path in (folder / "snapshots").iterdir():
        np.testing.assert_array_equal(pixels(path), pixels(other / "snapshots" / path.name))


def stopped_after(step: int, config: Config) -> RunResult:
    """A run that Ctrl-C ends after a step."""

    class Signal(Callback):
        def on_train_batch_end(self, trainer: Any, module: Any, *args: Any) -> None:
            if module.completed == step:
                signal.raise_signal(signal.SIGINT)

    result = stylize(config, callbacks=[Signal()])
    assert result.interrupted
    assert result.steps == step
    return result


OPTIMIZERS = ["adam", "lbfgs", "sgd"]
SETTINGS = {
    "adam": ("optimizer.name=adam",),
    "lbfgs": ("optimizer.name=lbfgs", "optimizer.lbfgs.history_size=5"),
    "sgd": ("optimizer.name=sgd", "optimizer.lr=30", "optimizer.sgd.momentum=0.5"),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("step", [1, 4, 6, 11], ids=["first", "end of a size", "middle", "late"])
def test_a_run_that_goes_on_ends_as_if_it_had_never_stopped(
    make_config: MakeConfig, optimizer: str, step: int
) -> None:
    config = make_config(*COARSE_TO_FINE, *SETTINGS[optimizer])
    whole, stopped = stylize(config), stopped_after(step, config)
    went_on = resume(stopped.folder)
    assert went_on is not None
    assert not went_on.interrupted
    assert went_on.losses == whole.losses
    assert went_on.history == whole.history
    assert (went_on.steps, went_on.evaluations) == (whole.steps, whole.evaluations)
    assert went_on.seconds > stopped.seconds
    assert went_on.seconds > went_on.step_seconds > stopped.step_seconds * 0.5
    assert_same_run(went_on.folder, whole.folder)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_it_may_stop_again_and_again(make_config: MakeConfig, precision: str) -> None:
    config = make_config(*COARSE_TO_FINE, f"trainer.precision={precision}")
    whole, folder = stylize(config), stopped_after(2, config).folder
    for step in (3, 4, 9):
        result = resume(folder, callbacks=[InterruptAt(step)])
        assert result is not None
        assert result.steps == step
    assert resume(folder) is not None
    assert_same_run(folder, whole.folder)


class InterruptAt(Callback):
    """Ctrl-C after a step of the run."""

    def __init__(self, step: int) -> None:
        self._step = step

    def on_train_batch_end(self, trainer: Any, module: Any, *args: Any) -> None:
        if module.completed == self._step:
            signal.raise_signal(signal.SIGINT)


def test_a_checkpoint_holds_no_network_and_is_small(make_config: MakeConfig) -> None:
    config = make_config(*COARSE_TO_FINE)
    result = stopped_after(6, config)
    (newest,) = (result.folder / "checkpoints").glob("step_00006.ckpt")
    values = 48 * 36 * 3  # at the second size
    assert newest.stat().st_size < 4 * 4 * values + 40_000  # picture, good one, two moments


def test_two_checkpoints_are_kept_and_none_when_a_run_ends_well(make_config: MakeConfig) -> None:
    config = make_config(*COARSE_TO_FINE, "checkpoint.every_seconds=0")
    folder = stopped_after(7, config).folder
    found = sorted(path.name for path in (folder / "checkpoints").glob("*.ckpt"))
    assert found == ["step_00006.ckpt", "step_00007.ckpt"]
    resume(folder)
    assert not (folder / "checkpoints").exists()


def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    make_config: MakeConfig, caplog: pytest.LogCaptureFixture
) -> None:
    config = make_config(*COARSE_TO_FINE, "checkpoint.every_seconds=0")
    whole, folder = stylize(config), stopped_after(7, config).folder
    newest = folder / "checkpoints" / "step_00007.ckpt"
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    with caplog.at_level("INFO", logger="overpaint"):
        assert resume(folder) is not None
    assert "step_00007.ckpt' cannot be read" in caplog.text
    assert "Going on after step 6." in caplog.text
    assert_same_run(folder, whole.folder)


def test_without_a_whole_checkpoint_the_run_begins_again(make_config: MakeConfig) -> None:
    config = make_config(*COARSE_TO_FINE)
    whole, folder = stylize(config), stopped_after(5, config).folder
    for path in (folder / "checkpoints").glob("*.ckpt"):
        path.write_bytes(b"")
    assert resume(folder) is not None
    assert_same_run(folder, whole.folder)


def test_a_pickle_in_the_place_of_a_checkpoint_is_not_executed(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "executed"),)

    folder = stopped_after(5, make_config(*COARSE_TO_FINE)).folder
    torch.save({"state_dict": Evil()}, folder / "checkpoints" / "step_00009.ckpt")
    resume(folder)
    assert not (tmp_path / "executed").exists()


def test_a_finished_run_says_so(make_config: MakeConfig, caplog: pytest.LogCaptureFixture) -> None:
    folder = stylize(make_config()).folder
    before = sorted(folder.rglob("*"))
    with caplog.at_level("INFO", logger="overpaint"):
        assert resume(folder) is None
    assert "The run is done" in caplog.text
    assert "4 steps" in caplog.text
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("style.weight=3", "style.weight: 3.0, but the run began with 2.0"),
        ("seed=7", "seed: 7, but the run began with 0"),
        ("image.size=48", "image.size: 48, but the run began with 64"),
        ("content.layers={relu1_1: 1.0}", "content.layers: {'relu1_1': 1.0}, but"),
        ("schedule.steps=11", "schedule.steps: 11 is less than 12"),
    ],
)
def test_a_changed_setting_is_refused_by_name(
    make_config: MakeConfig, word: str, told: str
) -> None:
    folder = stopped_after(5, make_config(*COARSE_TO_FINE)).folder
    with pytest.raises(ConfigError, match=re.escape(told)):
        resume(folder, word)
    assert CheckpointFolder(folder).has_any()


@pytest.mark.parametrize("stopped", [2, 4, 10], ids=["first size", "its end", "last size"])
def test_steps_may_grow_and_the_sizes_that_are_left_share_them(
    make_config: MakeConfig, stopped: int
) -> None:
    folder = stopped_after(stopped, make_config(*COARSE_TO_FINE)).folder
    result = resume(folder, "schedule.steps=20", "snapshots.every=1")
    assert result is not None
    assert result.steps == 20
    sizes = [pixels(path).shape[1] for path in sorted((folder / "snapshots").glob("*.png"))]
    assert sizes == sorted(sizes)
    assert sizes[-1] == 64
    rows = [int(row["step"]) for row in result.history]
    assert rows == sorted(set(rows))
    assert rows[-1] == 20


def test_another_photo_or_network_is_refused(
    make_config: MakeConfig, photo: Path, slim_file: Path
) -> None:
    network = ("encoder.name=vgg19_slim", f"encoder.weights={slim_file}")
    folder = stopped_after(5, make_config(*COARSE_TO_FINE)).folder
    make_picture((64, 48), seed=9).save(photo)
    with pytest.raises(CheckpointError, match=r"content\.image: not the picture"):
        resume(folder)
    with pytest.raises(ConfigError, match=r"encoder\.name"):
        resume(folder, *network)


def test_a_diverged_run_does_not_go_on(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    training_step = StyleTransferModule.training_step

    def spoilt(self: StyleTransferModule, *batch: Any) -> torch.Tensor:
        return training_step(self, *batch) * (torch.nan if self.completed >= 4 else 1)

    monkeypatch.setattr(StyleTransferModule, "training_step", spoilt)
    with pytest.raises(DivergedError) as raised:
        stylize(make_config("schedule.steps=9", "checkpoint.every_seconds=0"))
    folder = raised.value.result.folder
    assert not (folder / "checkpoints").exists()
    with pytest.raises(CheckpointError, match="cannot go on; start a new one with another rate"):
        resume(folder)


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no folder of a run"):
        resume(tmp_path)
    with pytest.raises(CheckpointError, match="no folder of a run"):
        resume(tmp_path / "nothing")


def test_a_second_resume_of_a_run_is_refused(make_config: MakeConfig) -> None:
    folder = stopped_after(5, make_config(*COARSE_TO_FINE)).folder
    refused = []

    class Again(Callback):
        def on_train_start(self, trainer: Any, module: Any) -> None:
            if not refused:
                with pytest.raises(CheckpointError, match="painted by another process") as raised:
                    resume(folder)
                refused.append(raised)

    assert resume(folder, callbacks=[Again()]) is not None
    assert refused


def test_a_run_that_fails_before_its_first_step_leaves_nothing(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("overpaint.runs.pyramid.build_problem", broken)
    with pytest.raises(KeyboardInterrupt):
        stylize(make_config(*COARSE_TO_FINE, "tracking.mode=offline"))
    assert not (tmp_path / "runs").exists()


def test_the_one_offline_run_at_wandb_has_one_whole_curve(make_config: MakeConfig) -> None:
    config = make_config(*COARSE_TO_FINE, "tracking.mode=offline", "tracking.name=mine")
    whole, folder = stylize(config).folder, stopped_after(6, config).folder
    result = resume(folder)
    assert result is not None
    told = []
    for place in (whole, folder):
        (records,) = wandb_runs(place)
        rows = wandb_history(records)
        told.append([(row["_step"], row.get("loss/total"), "snapshots" in row) for row in rows])
    assert [step for step, _, _ in told[0]] == [0, 1, 2, 3, 4, 6, 8, 9, 10, 12]
    assert told[0] == told[1]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as one:
        yield one


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_a_run_killed_at_any_moment_goes_on_to_the_same_picture(
    make_config: MakeConfig, server: Server, slim_file: Path, tmp_path: Path, optimizer: str
) -> None:
    words, whole, seconds = reference_run(make_config, server, slim_file, tmp_path, optimizer)
    moments = random.Random(0)
    went_on = 0
    for trial in range(KILLS):
        runs, log = tmp_path / f"runs_{trial}", tmp_path / f"log_{trial}"
        number = server.start([*words, f"output.dir={runs}"], log=log)
        time.sleep(moments.uniform(0, 1.05 * seconds))
        os.kill(number, signal.SIGKILL)
        server.wait(number)
        folders = list(runs.iterdir()) if runs.exists() else []
        if not folders:
            continue
        if server.run(["--resume", str(folders[0])], log=log) != 0:
            assert "no folder of a run" in log.read_text(), log.read_text()
            assert not (folders[0] / "checkpoints" / "settings.yaml").exists()
            continue
        assert_same_run(folders[0], whole)
        went_on += 1
        shutil.rmtree(runs)
    assert went_on > KILLS // 2


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_at_any_moment_keeps_what_there_is(
    make_config: MakeConfig, server: Server, slim_file: Path, tmp_path: Path, sent: signal.Signals
) -> None:
    words, whole, seconds = reference_run(make_config, server, slim_file, tmp_path, "adam")
    moments, stopped = random.Random(sent), 0
    for trial in range(SIGNALS):
        runs, log = tmp_path / f"runs_{trial}", tmp_path / f"log_{trial}"
        number = server.start([*words, f"output.dir={runs}"], log=log)
        time.sleep(moments.uniform(0.1, 1.05) * seconds)
        os.kill(number, sent)
        status, told = server.wait(number), log.read_text()
        assert "Traceback" not in told, told
        folders = list(runs.iterdir()) if runs.exists() else []
        if status == 0:  # it came too late
            assert_same_run(folders[0], whole)
            continue
        assert status == (130 if sent == signal.SIGINT else -signal.SIGTERM), told
        if not folders:
            continue  # before the first step
        assert (folders[0] / "result.png").exists(), told
        if told.endswith("Interrupted.\n") and not (folders[0] / "checkpoints").exists():
            assert_same_run(folders[0], whole)  # it was done, and about to leave
            continue
        assert f"--resume {folders[0]}" in told
        assert server.run(["--resume", str(folders[0])], log=log) == 0, log.read_text()
        assert_same_run(folders[0], whole)
        stopped += 1
    assert stopped >= 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_the_second_interrupt_ends_a_run_at_once(
    make_config: MakeConfig, server: Server, tmp_path: Path
) -> None:
    # One step of strong Wolfe takes up to twenty passes, so the first interrupt has to wait.
    config = make_config(
        "image.size=512",
        "schedule.steps=3000",
        "schedule.scales=[1.0]",
        "optimizer.name=lbfgs",
        "optimizer.lbfgs.line_search=strong_wolfe",
        "checkpoint.every_seconds=0",
    )
    settings, log = tmp_path / "settings.yaml", tmp_path / "log"
    settings.write_text(to_yaml(config), encoding="utf-8")
    number = server.start(["--config", str(settings)], log=log)
    while not log.exists() or "step 1/" not in log.read_text():
        time.sleep(0.05)
    os.kill(number, signal.SIGINT)
    time.sleep(0.2)
    os.kill(number, signal.SIGINT)
    asked = time.monotonic()
    assert server.wait(number) == 130
    assert time.monotonic() - asked < 20
    assert "--resume" in log.read_text()


def reference_run(
    make_config: MakeConfig, server: Server, slim_file: Path, tmp_path: Path, optimizer: str
) -> tuple[list[str], Path, float]:
    """The words of a run of 60 steps at three sizes, the folder of it undisturbed, its seconds."""
    config = make_config(
        *COARSE_TO_FINE,
        *SETTINGS[optimizer],
        "schedule.steps=60",
        "encoder.name=vgg19_slim",
        f"encoder.weights={slim_file}",
        "checkpoint.every_seconds=0.05",
    )
    settings = tmp_path / "settings.yaml"
    settings.write_text(to_yaml(config), encoding="utf-8")
    words, runs = ["--config", str(settings)], tmp_path / "undisturbed"
    seconds = []
    for _ in range(2):  # the first one reads everything from the disk
        shutil.rmtree(runs, ignore_errors=True)
        began = time.monotonic()
        assert server.run([*words, f"output.dir={runs}"], log=tmp_path / "log") == 0
        seconds.append(time.monotonic() - began)
    (folder,) = runs.iterdir()
    return words, folder, min(seconds)


@pytest.mark.usefixtures("untuned")
def test_the_command_goes_on_and_takes_no_pictures(
    make_config: MakeConfig, photo: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = stopped_after(5, make_config(*COARSE_TO_FINE)).folder
    assert run(["--resume", str(folder), str(photo)]) == 2
    assert "the run has its pictures and settings" in capsys.readouterr().err
    copy = tmp_path / "copy.png"
    assert run(["--resume", str(folder), "-o", str(copy), "tracking.notes=again"]) == 0
    assert copy.read_bytes() == (folder / "result.png").read_bytes()
    assert run(["--resume", str(folder)]) == 0
    assert "The run is done" in capsys.readouterr().err


def test_an_interrupt_by_exception_keeps_the_last_whole_step(make_config: MakeConfig) -> None:
    config = make_config("schedule.steps=50", "checkpoint.every_seconds=0")
    result = stylize(config, callbacks=[InterruptAfter(2)])
    assert result.interrupted
    assert CheckpointFolder(result.folder).has_any()
