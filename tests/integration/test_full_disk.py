"""A disk that is full, at each kind of write: what was there is whole, and what can be is kept."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image

import overpaint.tuning.series
import overpaint.tuning.tune
from overpaint.cli import run
from overpaint.errors import WriteError
from overpaint.settings.schema import Config
from overpaint.settings.writing import to_yaml

MakeConfig = Callable[..., Config]
FillDisk = Callable[[str], None]

REASON = "cannot be written (No space left on device)"

pytestmark = pytest.mark.usefixtures("untuned")


@pytest.fixture
def fill_disk(monkeypatch: pytest.MonkeyPatch) -> FillDisk:
    """Lets the disk be full for files of a name, half way through them."""
    write = Path.write_bytes

    def begin(name: str) -> None:
        start = f".{name.partition('.')[0][:20]}"

        def breaks_off(path: Path, data: bytes) -> int:
            if path.name.startswith(start):
                write(path, data[: len(data) // 2])
                raise OSError(errno.ENOSPC, "No space left on device", str(path))
            return write(path, data)

        monkeypatch.setattr(Path, "write_bytes", breaks_off)

    return begin


@pytest.fixture
def start(
    make_config: MakeConfig, slim_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Runs the command with small settings; its status, and what it says."""

    def begin(*words: str, task: str = "stylize") -> tuple[int, str]:
        config = make_config(
            "encoder.name=vgg19_slim",
            f"encoder.weights={slim_file}",
            "tune.steps=4",
            "tune.candidates=4",
            "tune.rounds=2",
            "tune.size=32",
        )
        settings = tmp_path / "settings.yaml"
        settings.write_text(to_yaml(config), encoding="utf-8")
        before = [] if task == "stylize" else [task]
        status = run([*before, "--config", str(settings), *words])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return status, said.out + said.err

    return begin


def folder_of(tmp_path: Path) -> Path:
    """The one run folder; nothing temporary is in it or beside it."""
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".")]
    (folder,) = (tmp_path / "runs").iterdir()
    return folder


def is_picture(path: Path) -> bool:
    with Image.open(path) as picture:
        picture.load()
        return picture.size == (32, 24)


@pytest.mark.parametrize("name", ["metrics.csv", "step_00001.png"])
def test_what_only_accompanies_a_picture_costs_one_warning(
    start: Callable[..., tuple[int, str]], fill_disk: FillDisk, tmp_path: Path, name: str
) -> None:
    fill_disk(name)
    status, said = start()
    assert status == 0
    (line,) = (line for line in said.splitlines() if REASON in line)
    assert f"{name}': {REASON}. The run goes on." in line
    folder = folder_of(tmp_path)
    assert not list(folder.rglob(name))
    assert is_picture(folder / "result.png")
    assert (folder / "environment.json").exists()


@pytest.mark.parametrize(
    ("full", "kept"),
    [
        ("result.png", "copy.png"),
        ("copy.png", "result.png"),
        ("environment.json", "result.png"),
    ],
)
def test_a_result_that_cannot_be_written_is_a_failure_and_the_others_are_there(
    start: Callable[..., tuple[int, str]],
    fill_disk: FillDisk,
    tmp_path: Path,
    full: str,
    kept: str,
) -> None:
    (tmp_path / "copy.png").write_text("an older file")
    fill_disk(full)
    status, said = start("-o", str(tmp_path / "copy.png"))
    assert status == 1
    (line,) = (line for line in said.splitlines() if REASON in line)
    assert line.startswith("error: '")
    assert line.endswith(f"{full}': {REASON}.")
    folder = folder_of(tmp_path)
    where = {"result.png": folder / "result.png", "copy.png": tmp_path / "copy.png"}
    assert f"Result: {where[kept]} (" in said
    assert is_picture(where[kept])
    if full == "copy.png":
        assert (tmp_path / "copy.png").read_text() == "an older file"
    else:
        assert not (folder / full).exists()
    assert (folder / "metrics.csv").read_text().startswith("step,")


def test_a_disk_that_takes_neither_result_nor_copy_is_named_for_both(
    start: Callable[..., tuple[int, str]], fill_disk: FillDisk, tmp_path: Path
) -> None:
    copy = tmp_path / "result_copy.png"
    fill_disk("result")
    status, said = start("-o", str(copy))
    assert status == 1
    assert "Result: " not in said
    told = [line for line in said.splitlines() if REASON in line]
    paths = (copy, folder_of(tmp_path) / "result.png")
    assert told == [f"error: '{path}': {REASON}." for path in paths]


def test_settings_that_cannot_be_kept_end_a_run_before_its_first_step(
    start: Callable[..., tuple[int, str]], fill_disk: FillDisk, tmp_path: Path
) -> None:
    fill_disk("config.yaml")
    status, said = start()
    assert status == 1
    assert f"config.yaml': {REASON}." in said
    assert "step 1/" not in said
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".")]


@pytest.mark.parametrize(
    ("name", "what"), [("lr.png", "The chart"), ("contact_sheet.png", "The contact sheet")]
)
def test_a_chart_that_cannot_be_written_costs_a_warning_and_not_the_rate(
    start: Callable[..., tuple[int, str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    name: str,
    what: str,
) -> None:
    drawing = {"lr.png": "save_chart", "contact_sheet.png": "save_picture"}
    monkeypatch.setattr(overpaint.tuning.tune, drawing[name], no_space)
    status, said = start(task="tune-lr")
    assert status == 0
    assert f"{what} is missing: '" in said
    assert f"{name}': {REASON}." in said
    folder = folder_of(tmp_path)
    rate = json.loads((folder / "lr.json").read_text())["chosen"]
    assert f" optimizer.lr={rate:g}\n" in said
    assert (folder / "config.yaml").exists()
    assert not (folder / name).exists()


def no_space(first: object, *arguments: object, **options: object) -> None:
    path = next(one for one in (first, *arguments) if isinstance(one, Path))
    raise WriteError(errno.ENOSPC, "No space left on device", str(path))


def test_a_rate_is_told_although_its_record_cannot_be_written(
    start: Callable[..., tuple[int, str]], fill_disk: FillDisk, tmp_path: Path
) -> None:
    fill_disk("lr.json")
    status, said = start(task="tune-lr")
    assert status == 1
    assert "Rate found: optimizer.lr=" in said
    assert f"lr.json': {REASON}." in said
    assert not (folder_of(tmp_path) / "lr.json").exists()


def test_a_rate_is_told_although_the_settings_with_it_cannot_be_written(
    start: Callable[..., tuple[int, str]], fill_disk: FillDisk, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.yaml"
    fill_disk("mine.yaml")
    status, said = start("--write", str(mine), task="tune-lr")
    assert status == 1
    assert f"error: '{mine}': {REASON}." in said
    rate = json.loads((folder_of(tmp_path) / "lr.json").read_text())["chosen"]
    assert f" optimizer.lr={rate:g}\n" in said
    assert not mine.exists()


@pytest.mark.parametrize("words", [(), ("--study",)], ids=["search", "series"])
@pytest.mark.parametrize(
    "chart",
    [OSError(errno.ENOSPC, "No space left on device"), ValueError("bins"), ImportError("x")],
)
@pytest.mark.parametrize("stopped", [False, True])
def test_the_first_error_is_the_one_that_is_told(
    start: Callable[..., tuple[int, str]],
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    chart: Exception,
    stopped: bool,
) -> None:
    def fails(*arguments: object, **options: object) -> None:
        raise chart

    def stops(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt if stopped else OSError("the first error")

    for place in (overpaint.tuning.tune, overpaint.tuning.series):
        monkeypatch.setattr(place, "save_chart", fails)
        monkeypatch.setattr(place.Study, "save", fails)
        monkeypatch.setattr(place.Study, "log_trials", stops)
    status, said = start(*words, task="tune-lr")
    assert status == (130 if stopped else 1)
    assert said.splitlines()[-1] == ("Interrupted." if stopped else "error: the first error")
    (line,) = (line for line in said.splitlines() if "missing" in line)
    assert line.startswith("What is known is missing: ")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    options = ["-t", "tmpfs", "-o", "size=256k", "none"]
    if sys.platform != "linux":
        pytest.skip("mounts a small file system of Linux")
    try:
        mounted = subprocess.run(["mount", *options, place], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount")
    if mounted.returncode:
        pytest.skip("may not mount a file system here")
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("free", [0, 4096, 12288, 20480])
def test_a_small_disk_keeps_what_was_there_and_gets_nothing_half(
    start: Callable[..., tuple[int, str]], small_disk: Path, free: int
) -> None:
    copy, runs = small_disk / "copy.png", small_disk / "runs"
    Image.new("RGB", (4, 4), "red").save(copy)
    runs.mkdir()
    older = copy.read_bytes()
    with (small_disk / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        while filler.write(b"x" * 4096):
            pass
    os.truncate(small_disk / "filler", (small_disk / "filler").stat().st_size - free)

    status, said = start(f"output.dir={runs}", "-o", str(copy))
    assert status == 1
    assert "No space left on device" in said
    for path in small_disk.rglob("*"):
        assert not path.name.startswith(".")
        if path.suffix == ".png" and path != copy:
            assert is_picture(path)
        if path.suffix == ".json":
            assert json.loads(path.read_text())
    assert copy.read_bytes() == older or is_picture(copy)
