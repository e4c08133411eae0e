from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import REPOSITORY, wandb_records
from PIL import Image

from overpaint.runs.stylize import stylize
from overpaint.settings.schema import Config
from overpaint.settings.writing import to_yaml
from overpaint.version import __version__

MakeConfig = Callable[..., Config]


def command(*words: str, cwd: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(REPOSITORY / "scripts" / "stylize.py"), *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
        check=False,
    )


@pytest.fixture
def settings(make_config: MakeConfig, tmp_path: Path) -> Path:
    path = tmp_path / "settings.yaml"
    path.write_text(to_yaml(make_config("init.mode=blend")))
    return path


def test_two_processes_make_the_same_picture_and_report_in_lines(
    settings: Path, tmp_path: Path
) -> None:
    pictures = []
    for name in ("a", "b"):
        done = command("--config", str(settings), "--output", str(tmp_path / f"{name}.png"))
        assert done.returncode == 0, done.stderr
        with Image.open(tmp_path / f"{name}.png") as image:
            pictures.append(np.asarray(image))
    np.testing.assert_array_equal(*pictures)

    assert re.search(r"step 4/4  total \S+  content \S+  style \S+  \S+ steps/s", done.stderr)
    result = re.search(r"Result: (\S+result\.png)", done.stderr)
    assert result
    assert Path(result.group(1)).is_file()
    assert done.stdout == ""
    assert "\x1b" not in done.stderr  # no bar, no colours


def test_options_are_shorthands_for_settings(settings: Path, photo: Path, painting: Path) -> None:
    done = command(
        "--config",
        str(settings),
        "--print-config",
        "seed=3",
        "--style",
        str(photo),
        str(painting),
        "optimizer.lr=0.5",
        "--content",
        str(painting),
    )
    assert done.returncode == 0, done.stderr
    shown = yaml.safe_load(done.stdout)
    assert shown["content"]["image"] == str(painting)
    assert shown["style"]["images"] == [str(photo), str(painting)]
    assert (shown["seed"], shown["optimizer"]["lr"]) == (3, 0.5)


def test_help_shows_examples_and_version_is_the_package_s() -> None:
    shown = command("--help")
    assert shown.returncode == 0
    assert "python scripts/stylize.py --config configs/default.yaml" in shown.stdout
    assert command("--version").stdout.split() == ["overpaint", __version__]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["optimizer.rate=1"], "optimizer.rate: unknown setting 'rate'"),
        (["--config", "nowhere.yaml"], "no such file: 'nowhere.yaml'"),
        (["--contents", "a.jpg"], "unrecognized arguments: --contents"),
        (["image.size=9"], "image.size: 9 is too small"),
    ],
)
def test_bad_use_exits_with_2_and_one_message(words: list[str], message: str) -> None:
    done = command(*words)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_offline_run_can_be_read_back_and_changes_no_pixel(make_config: MakeConfig) -> None:
    untracked = stylize(make_config("tracking.log_every=2", "snapshots.steps=[3]"))
    config = make_config(
        "tracking.mode=offline",
        "tracking.log_every=2",
        "tracking.project=test",
        "tracking.tags=[a,b]",
        "snapshots.steps=[3]",
    )
    result = stylize(config)
    np.testing.assert_array_equal(np.asarray(result.image), np.asarray(untracked.image))

    parsed = wandb_records(result.folder)
    (run,) = (record["run"] for record in parsed if record["type"] == "run")
    assert run["project"] == "test"
    assert run["config"]["update"]["optimizer"]["lr"] == 0.03
    history = [record["history"]["item"] for record in parsed if record["type"] == "history"]
    losses = {item["trainer/global_step"]: item for item in history if "loss/total" in item}
    assert sorted(losses) == [1, 2, 4]
    assert losses[4].keys() >= {
        "loss/content",
        "loss/style",
        *(f"loss/style/relu{block}_1" for block in range(1, 6)),
        "optimizer/lr",
        "update/mean_abs",
    }
    captions = [item["snapshots.caption"] for item in history if "snapshots.caption" in item]
    assert captions == ["step 1", "step 3", "step 4"]
    assert sum("inputs/content.path" in item for item in history) == 1
    summary: dict[str, object] = {}
    for record in parsed:
        if record["type"] == "summary":
            summary |= record["summary"]["update"]
    assert summary["loss/total"] == losses[4]["loss/total"]  # a number, as sweeps need it
    assert summary["final/total"] == pytest.approx(result.losses["total"])
    artifacts = [record["artifact"] for record in parsed if record["type"] == "artifact"]
    names = {entry["path"] for entry in artifacts[0]["manifest"]["contents"]}
    assert names == {"result.png", "config.yaml"}


def readme_commands() -> list[str]:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    return [line.strip() for line in text.splitlines() if "python scripts/" in line]


def test_readme_opens_with_the_two_lines_and_its_commands_are_valid() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    install = "python3 -m venv .venv && . .venv/bin/activate && pip install -e"
    assert f"{install} . && python scripts/stylize.py --config configs/default.yaml" in text
    assert f"{install} '.[dev]' && pytest" in text
    tried = 0
    for line in readme_commands():
        call = line[line.index("python scripts/") :].split(" #")[0]
        words = shlex.split(call)
        if words[1] != "scripts/stylize.py" or any(word.isupper() for word in words):
            continue
        done = command(*words[2:], "--print-config")
        assert done.returncode == 0, f"{call}: {done.stderr}"
        tried += 1
    assert tried >= 3
