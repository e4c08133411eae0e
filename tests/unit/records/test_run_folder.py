from __future__ import annotations

import dataclasses
import json
import math
import os
import platform
import re
import subprocess
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import PIL
import pytest
import torch

from overpaint.records import run_folder as record
from overpaint.records.run_folder import (
    create_run_folder,
    save_environment,
    save_settings,
    versions,
)
from overpaint.settings.reading import load_config
from overpaint.settings.schema import Config
from overpaint.version import __version__

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = datetime(2024, 2, 29, 12, 3, 4)
    monkeypatch.setattr(record, "datetime", SimpleNamespace(now=lambda: moment))


@pytest.fixture
def git_says(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replaces Git by its answers."""

    def answer(described: str | BaseException, tracked: bool = True) -> None:
        def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
            if isinstance(described, BaseException):
                raise described
            if command[1] == "describe":
                return subprocess.CompletedProcess(command, 0, f"{described}\n", "")
            return subprocess.CompletedProcess(command, 0 if tracked else 1, "", "")

        monkeypatch.setattr(subprocess, "run", run)

    return answer


def test_a_folder_is_named_by_the_time_and_the_pictures(tmp_path: Path) -> None:
    before = datetime.now().replace(microsecond=0)
    folder = create_run_folder(tmp_path, "photos/rocket.jpg", ["a/flow_field.png"])
    time, _, pictures = folder.name.rpartition("-rocket-")
    assert before <= datetime.strptime(time, "%Y%m%d-%H%M%S") <= datetime.now()
    assert pictures == "flow_field"
    assert folder.parent == tmp_path
    assert [path.name for path in folder.iterdir()] == ["snapshots"]


@pytest.mark.usefixtures("noon")
@pytest.mark.parametrize(
    ("content", "styles", "name"),
    [
        ("My Photo (1).JPG", ["a.png"], "20240229-120304-My_Photo_1-a"),
        ("a/b.c.jpg", ["x/1.png", "2.png"], "20240229-120304-b_c-1+2"),
        ("снимок.png", ["../..", "緑.jpg"], "20240229-120304-picture-picture+picture"),
        ("x" * 99, ["_y_.png"], f"20240229-120304-{'x' * 40}-y"),
    ],
)
def test_a_folders_name_suits_every_file_system(
    tmp_path: Path, content: str, styles: list[str], name: str
) -> None:
    assert create_run_folder(tmp_path, content, styles).name == name


@pytest.mark.usefixtures("noon")
def test_many_paintings_do_not_make_the_name_too_long(tmp_path: Path) -> None:
    folder = create_run_folder(tmp_path, "a.png", [f"painting_{i}.png" for i in range(50)])
    assert folder.name.startswith("20240229-120304-a-painting_0+painting_1+")
    assert len(folder.name) <= 130


@pytest.mark.usefixtures("noon")
def test_runs_of_the_same_second_get_folders_of_their_own(tmp_path: Path) -> None:
    names = [create_run_folder(tmp_path, "a.png", ["b.png"]).name for _ in range(3)]
    assert names == [f"20240229-120304-a-b{suffix}" for suffix in ("", "-2", "-3")]
    assert all((tmp_path / name / "snapshots").is_dir() for name in names)


@pytest.mark.usefixtures("noon")
def test_a_study_says_so_and_has_no_snapshots(tmp_path: Path) -> None:
    folders = [create_run_folder(tmp_path, "a.png", ["b.png"], study="lr-tune") for _ in range(2)]
    name = "20240229-120304-lr-tune-a-b"
    assert [folder.name for folder in folders] == [name, f"{name}-2"]
    assert not any(list(folder.iterdir()) for folder in folders)
    run = create_run_folder(tmp_path, "a.png", ["b.png"])
    assert run.name == "20240229-120304-a-b"


@pytest.mark.usefixtures("noon")
def test_there_is_an_end_to_the_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def taken(path: Path, **options: object) -> None:
        raise FileExistsError(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", taken)
        with pytest.raises(FileExistsError, match="999 runs named '20240229-120304-a-b'"):
            create_run_folder(tmp_path, "a.png", ["b.png"])


def test_missing_parents_are_made_and_the_path_is_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = create_run_folder("runs/today", "a.png", ["b.png"])
    assert folder.parent == tmp_path / "runs" / "today"
    assert folder.is_dir()


def test_a_root_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        create_run_folder(tmp_path / "file", "a.png", ["b.png"])


def test_saved_settings_give_an_equal_run(
    tmp_path: Path, make_config: Callable[..., Config]
) -> None:
    config = make_config("optimizer.name=lbfgs", "snapshots.steps=[2, 3]", "style.layers.conv1_1=1")
    save_settings(config, tmp_path / "config.yaml")
    assert load_config(tmp_path / "config.yaml") == config


def test_saved_settings_name_their_files_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_config: Callable[..., Config]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.png").rename("start.png")
    (tmp_path / "painting.png").rename("p2.png")
    for name in ("a.png", "p1.png", "vgg.pth"):
        Path(name).touch()
    config = make_config(
        content__image="a.png",
        style__images=["p1.png", "p2.png"],
        init__mode="file",
        init__file="start.png",
        encoder__weights="vgg.pth",
    )
    save_settings(config, tmp_path / "config.yaml")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    again = load_config("../config.yaml")
    assert again.content.image == str(tmp_path / "a.png")
    assert again.style.images == (str(tmp_path / "p1.png"), str(tmp_path / "p2.png"))
    assert again.init.file == str(tmp_path / "start.png")
    assert again.encoder.weights == str(tmp_path / "vgg.pth")
    same = {"content": config.content, "style": config.style}
    assert dataclasses.replace(again, **same, init=config.init, encoder=config.encoder) == config


def test_saved_settings_load_from_a_folder_without_the_copys_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_config: Callable[..., Config]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "copies").mkdir()
    save_settings(make_config("output.copy=copies/x.png"), tmp_path / "config.yaml")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert load_config("../config.yaml").output.copy == str(tmp_path / "copies" / "x.png")


@pytest.mark.parametrize("word", ["auto", "imagenet"])
def test_saved_settings_keep_weights_that_are_no_file(
    tmp_path: Path, make_config: Callable[..., Config], word: str
) -> None:
    save_settings(make_config(f"encoder.weights={word}"), tmp_path / "config.yaml")
    assert load_config(tmp_path / "config.yaml").encoder.weights == word


def test_the_environment_is_described(
    tmp_path: Path, git_says: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    git_says(COMMIT)
    monkeypatch.setattr("sys.argv", ["stylize.py", "seed=1"])
    save_environment(tmp_path / "environment.json", {"steps": 3, "losses": {"total": 0.5}})
    text = (tmp_path / "environment.json").read_text(encoding="utf-8")
    described = json.loads(text)
    processor = described.pop("processor")
    assert isinstance(processor, str)
    assert described.pop("versions")["overpaint"] == __version__
    assert described == {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "commit": COMMIT,
        "command": ["stylize.py", "seed=1"],
        "steps": 3,
        "losses": {"total": 0.5},
    }
    assert text.endswith("}\n")


@pytest.mark.parametrize(
    ("described", "tracked", "commit"),
    [
        (COMMIT, True, COMMIT),
        (f"{COMMIT}-dirty", True, f"{COMMIT}-dirty"),
        (COMMIT, False, None),
        (FileNotFoundError("git"), True, None),
        (subprocess.CalledProcessError(128, "git"), True, None),
        (subprocess.TimeoutExpired("git", 10), True, None),
    ],
    ids=["clean", "changed", "inside another checkout", "no git", "no checkout", "stuck"],
)
def test_the_commit_is_that_of_this_source_or_none(
    tmp_path: Path,
    git_says: Callable[..., None],
    described: str | BaseException,
    tracked: bool,
    commit: str | None,
) -> None:
    git_says(described, tracked)
    save_environment(tmp_path / "environment.json", {})
    assert json.loads((tmp_path / "environment.json").read_text())["commit"] == commit


def test_numbers_that_json_does_not_know_are_null(
    tmp_path: Path, git_says: Callable[..., None]
) -> None:
    git_says(COMMIT)
    losses = {"total": math.nan, "style": [1.5, math.inf, (-math.inf, 2)]}
    save_environment(tmp_path / "environment.json", {"losses": losses})
    text = (tmp_path / "environment.json").read_text()
    assert json.loads(text)["losses"] == {"total": None, "style": [1.5, None, [None, 2]]}
    assert "NaN" not in text


def test_versions_are_those_of_the_imported_packages() -> None:
    found = versions()
    assert found["overpaint"] == __version__
    assert found["numpy"] == np.__version__
    assert found["pillow"] == PIL.__version__
    assert torch.__version__.startswith(found["torch"].partition("+")[0])
    assert {"torchvision", "pytorch-lightning", "omegaconf", "safetensors", "wandb"} < set(found)
    assert all(re.match(r"\d+\.\d+", version) for version in found.values())


def test_a_package_that_is_missing_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "_PACKAGES", ("numpy", "no-such-package-here"))
    assert versions() == {
        "overpaint": __version__,
        "numpy": np.__version__,
        "no-such-package-here": "not installed",
    }
