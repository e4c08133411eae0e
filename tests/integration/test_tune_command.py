"""The script that looks for a learning rate, as people start it."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from conftest import REPOSITORY

from overpaint.settings.reading import load_config
from overpaint.settings.schema import Config
from overpaint.settings.writing import to_yaml


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},  # the pictures are tiny
        check=False,
    )


@pytest.mark.slow
def test_a_rate_is_found_printed_and_written(
    make_config: Callable[..., Config], slim_file: Path, photo: Path, painting: Path, tmp_path: Path
) -> None:
    config = make_config(
        "encoder.name=vgg19_slim",
        f"encoder.weights={slim_file}",
        "trainer.precision=32-true",
        "tune.candidates=4",
        "tune.rounds=2",
        "schedule.steps=8",
        "seed=3",
    )
    settings, mine = tmp_path / "settings.yaml", tmp_path / "mine.yaml"
    settings.write_text(to_yaml(config), encoding="utf-8")
    words = ["--config", str(settings), "--content", str(painting), "--write", str(mine)]
    words += ["init.mode=blend", "--style", str(photo), str(painting), "tune.lowest=0.001"]
    done = command("scripts/tune_lr.py", *words)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    for line in ("Range test from 0.001 to 1", "Round 1 of 2: 4 rates, 4 steps each", "Round 2 of"):
        assert line in done.stderr
    assert "Round 1: 4 steps at 32 px" in done.stdout
    assert "chosen" in done.stdout

    found = re.search(r"Chart and contact sheet: (\S+) ", done.stderr)
    assert found
    folder = Path(found.group(1))
    names = {path.name for path in folder.iterdir()}
    assert names == {"lr.json", "lr.png", "contact_sheet.png", "config.yaml"}
    rate = json.loads((folder / "lr.json").read_text(encoding="utf-8"))["chosen"]
    expected = replace(
        load_config(
            settings,
            ["init.mode=blend", "tune.lowest=0.001"],
            values={"content.image": str(painting), "style.images": [str(photo), str(painting)]},
        ),
        optimizer=replace(config.optimizer, lr=rate),
    )
    assert load_config(mine) == load_config(folder / "config.yaml") == expected
    assert f"Written: {mine}" in done.stderr

    python, script, *arguments = shlex.split(done.stdout.splitlines()[-1])
    assert (python, script) == ("python", "scripts/stylize.py")
    shown = command(script, *arguments, "--print-config")
    assert shown.returncode == 0, shown.stderr
    printed = tmp_path / "printed.yaml"
    printed.write_text(shown.stdout, encoding="utf-8")
    assert replace(load_config(printed), tune=expected.tune) == expected
    assert yaml.safe_load(shown.stdout)["optimizer"]["lr"] == rate
