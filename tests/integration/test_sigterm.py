"""SIGTERM, as `wandb agent`, a cluster or `kill` sends it, at a real process and while saving."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import REPOSITORY, wandb_records
from PIL import Image

import overpaint.runs.saving
import overpaint.runs.stylize
from overpaint.callbacks.snapshots import Snapshots
from overpaint.cli import run
from overpaint.settings.schema import Config
from overpaint.settings.writing import to_yaml

MakeConfig = Callable[..., Config]


def write(config: Config, path: Path) -> str:
    path.write_text(to_yaml(config), encoding="utf-8")
    return str(path)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to send")
def test_sigterm_keeps_the_picture_and_ends_the_process(
    make_config: MakeConfig, slim_file: Path, tmp_path: Path
) -> None:
    network = ("encoder.name=vgg19_slim", f"encoder.weights={slim_file}")
    config = make_config("schedule.steps=100000", "tracking.mode=offline", *network)
    process = subprocess.Popen(
        [
            sys.executable,
            REPOSITORY / "scripts" / "stylize.py",
            "--config",
            write(config, tmp_path / "settings.yaml"),
        ],
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if line.startswith("step 1/"):
                break
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)  # a second one does not cost the picture
        lines += process.communicate(timeout=120)[1].splitlines(keepends=True)
    finally:
        process.kill()
    text = "".join(lines)
    assert process.returncode == -signal.SIGTERM, text
    assert "Interrupted; keeping the picture" in text
    assert "Traceback" not in text

    (folder,) = Path(config.output.dir).iterdir()
    facts = json.loads((folder / "environment.json").read_text())
    assert facts["interrupted"] is True
    assert 1 <= facts["steps"] < 100000
    with Image.open(folder / "result.png") as picture:
        assert picture.size == (32, 24)
    records = wandb_records(folder)
    (exit_record,) = (record["exit"] for record in records if record["type"] == "exit")
    assert exit_record["exit_code"] == 130


@pytest.mark.usefixtures("untuned")
def test_sigterm_during_a_step_keeps_the_picture(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = Snapshots.on_train_batch_end

    def interrupted(self: Snapshots, trainer: Any, module: Any, *arguments: Any) -> None:
        go_on(self, trainer, module, *arguments)
        if module.completed == 2:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Snapshots, "on_train_batch_end", interrupted)
    config = make_config()
    assert run(["--config", write(config, tmp_path / "settings.yaml")]) == 143
    (folder,) = Path(config.output.dir).iterdir()
    facts = json.loads((folder / "environment.json").read_text())
    assert (facts["interrupted"], facts["steps"]) == (True, 2)
    with Image.open(folder / "result.png") as kept:
        picture = np.asarray(kept)
    with Image.open(folder / "snapshots" / "step_00001.png") as first:
        assert not np.array_equal(np.asarray(first), picture)


@pytest.mark.usefixtures("untuned")
def test_sigterm_while_the_files_are_written_comes_too_late(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_picture = overpaint.runs.saving.save_picture

    def interrupted(*arguments: Any, **options: Any) -> None:
        signal.raise_signal(signal.SIGTERM)
        save_picture(*arguments, **options)

    monkeypatch.setattr(overpaint.runs.saving, "save_picture", interrupted)
    config = make_config()
    assert run(["--config", write(config, tmp_path / "settings.yaml")]) == 0
    (folder,) = Path(config.output.dir).iterdir()
    with Image.open(folder / "result.png") as picture:
        assert np.asarray(picture).shape == (24, 32, 3)
    assert json.loads((folder / "environment.json").read_text())["interrupted"] is False
