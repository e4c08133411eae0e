"""Batches: every picture is a run like any other, and a batch can stop anywhere."""

from __future__ import annotations

import io
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from batches import NAMES, PAINTINGS, PHOTOS, is_over, make_folders, pictures, rows, small_words
from conftest import REPOSITORY, make_picture, wandb_records
from forked import Server, serving
from PIL import Image
from pytorch_lightning import Callback
from rich.console import Console

import overpaint.building.objective
import overpaint.building.shelf
import overpaint.sweeps.trials
from overpaint.callbacks.progress import Overall
from overpaint.cli import run
from overpaint.commands.batch import BATCH
from overpaint.files import replacing
from overpaint.losses.objective import Objective
from overpaint.runs.stylize import stylize
from overpaint.settings.reading import load_config

pytestmark = pytest.mark.usefixtures("untuned", "one_thread")


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are two folders of pictures, with other files among them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["/usr/bin/overpaint"])
    make_folders()


@pytest.fixture
def small(slim_file: Path) -> list[str]:
    """The words of runs of a moment."""
    return small_words(slim_file)


def batch(*words: str, status: int = 0) -> Path:
    """Runs a batch over the two folders, and returns where its pictures are."""
    assert run(["batch", "photos", "paintings", "-o", "out", *words]) == status
    return Path("out")


def assert_same_pictures(folder: Path, other: Path) -> None:
    one, two = pictures(folder), pictures(other)
    assert sorted(one) == sorted(two) == sorted(NAMES)
    for name in NAMES:
        np.testing.assert_array_equal(one[name], two[name])


class Counted:
    """Counts the runs that begin, and may do something after a step of one of them."""

    def __init__(self, name: str = "", act: Callable[[], object] = lambda: None) -> None:
        self.begun: list[str] = []
        self._name, self._act = name, act

    def stylize(self, config: Any, *, callbacks: Any = (), folder: Path, **options: Any) -> Any:
        self.begun.append(folder.name)
        if folder.name == self._name:
            callbacks = [*callbacks, _AfterTwo(self._act)]
        return stylize(config, callbacks=callbacks, folder=folder, **options)


class _AfterTwo(Callback):
    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act

    def on_train_batch_end(self, trainer: Any, module: Any, *args: Any) -> None:
        if module.completed == 2:
            self._act()


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def test_each_photo_is_painted_with_each_painting_as_by_a_single_command(
    small: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[object] = []
    build = overpaint.building.shelf.build_encoder

    def building(*arguments: Any) -> Any:
        built.append(arguments)
        return build(*arguments)

    monkeypatch.setattr(overpaint.building.shelf, "build_encoder", building)
    folder = batch(*small)
    assert len(built) == 1
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["batch.csv", "report.html", "runs", *(f"{name}.png" for name in NAMES)]
    )
    for name, (photo, painting), row in zip(
        NAMES, [(a, b) for b in PAINTINGS for a in PHOTOS], rows(folder), strict=True
    ):
        words = [*small, "output.dir=one"]
        files = {"content.image": f"photos/{photo}", "style.images": [f"paintings/{painting}"]}
        alone = stylize(load_config(overrides=words, values=files))
        with Image.open(folder / f"{name}.png") as picture:
            np.testing.assert_array_equal(np.asarray(picture), np.asarray(alone.image))
        kept = folder / "runs" / name
        assert {path.name for path in kept.iterdir()} == {p.name for p in alone.folder.iterdir()}
        assert (kept / "result.png").read_bytes() == (folder / f"{name}.png").read_bytes()
        assert (row["status"], row["folder"]) == ("done", name)
        assert row["content.image"] == f"photos/{photo}"
        assert float(row["final/total"]) == alone.losses["total"]


def test_paintings_are_measured_once_for_photos_of_one_size(
    small: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    known: list[bool] = []

    def make(*arguments: Any, style_targets: Any, **options: Any) -> Any:
        known.append(style_targets is not None)
        return Objective(*arguments, style_targets=style_targets, **options)

    monkeypatch.setattr(overpaint.building.objective, "Objective", make)
    batch(*small, "schedule.scales=[1.0]")
    assert known == 2 * [False, True, True]


def test_the_same_command_again_paints_only_what_is_new(
    small: list[str], slim_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(slim_file, "mine.safetensors")
    small = [*small, "encoder.weights=mine.safetensors"]  # from the current folder
    folder = batch(*small)
    counted = Counted()
    monkeypatch.setattr(overpaint.sweeps.trials, "stylize", counted.stylize)
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*.png")}
    (folder / f"{NAMES[0]}.png").unlink()  # the run still has it
    shutil.copy("photos/x.png", "photos/new.png")
    batch(*small)
    assert counted.begun == ["new_#1 [y]", "new_z"]
    assert (folder / f"{NAMES[0]}.png").is_file()
    del before[folder / f"{NAMES[0]}.png"]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert [row["status"] for row in rows(folder)] == 8 * ["done"]


@pytest.mark.parametrize("name", [NAMES[0], NAMES[3]])
def test_a_batch_that_was_stopped_goes_on_where_it_was(
    name: str, small: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = batch(*small).rename("whole")
    first = Counted(name, interrupt)
    monkeypatch.setattr(overpaint.sweeps.trials, "stylize", first.stylize)
    folder = batch(*small, status=130)
    assert "give the same command again" in capsys.readouterr().err
    at = NAMES.index(name)
    assert first.begun == NAMES[: at + 1]
    assert [row["status"] for row in rows(folder)] == [*at * ["done"], "interrupted"]
    assert (folder / f"{name}.png").is_file()  # as far as it got
    second = Counted()
    monkeypatch.setattr(overpaint.sweeps.trials, "stylize", second.stylize)
    batch(*small)
    assert second.begun == NAMES[at + 1 :]  # the one under way is gone on with
    assert_same_pictures(folder, whole)


def test_a_folder_that_was_moved_goes_on_in_its_new_place(
    small: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted(NAMES[1], interrupt)
    monkeypatch.setattr(overpaint.sweeps.trials, "stylize", counted.stylize)
    batch(*small, status=130).rename("moved")
    Path("moved", f"{NAMES[0]}.png").unlink()
    assert run(["batch", "photos", "paintings", "-o", "moved", *small]) == 0
    assert sorted(pictures(Path("moved"))) == sorted(NAMES)
    assert not Path("out").exists()


def test_what_fails_in_one_picture_does_not_stop_the_others(
    small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    painting = Path("paintings", PAINTINGS[0])
    whole = painting.read_bytes()
    painting.write_bytes(whole[:200])
    folder = batch(*small, status=1)
    assert [row["status"] for row in rows(folder)] == [*3 * ["failed"], *3 * ["done"]]
    told = capsys.readouterr().err
    errors = [line for line in told.splitlines() if line.startswith("error")]
    assert [line.partition(": ")[2].partition(":")[0] for line in errors] == NAMES[:3]
    assert all("may be damaged" in line for line in errors)
    assert "Traceback" not in told
    assert sorted(pictures(folder)) == sorted(NAMES[3:])
    painting.write_bytes(whole)
    batch(*small)
    assert sorted(pictures(folder)) == sorted(NAMES)


def test_shards_make_each_picture_once_and_the_last_one_shows_all(
    small: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted()
    monkeypatch.setattr(overpaint.sweeps.trials, "stylize", counted.stylize)
    for part, so_far in enumerate([2, 4, 5, 6], 1):
        folder = batch(*small, "--shard", f"{part}/4")
        assert len(rows(folder)) == so_far
    assert sorted(counted.begun) == sorted(NAMES)
    assert [row["folder"] for row in rows(folder)] == NAMES
    batch(*small)  # and all of it, with nothing to do
    assert sorted(counted.begun) == sorted(NAMES)


def test_more_shards_than_pictures_leave_some_with_nothing_to_do(small: list[str]) -> None:
    folder = batch(*small, "--shard", "7/9")
    assert not list(folder.glob("*.png"))
    assert not (folder / ".lock-7-of-9").exists()


def test_a_table_says_which_goes_with_which_and_how(small: list[str]) -> None:
    Path("pairs.csv").write_text(
        "\ufeffcontent;style;style.weight;name\n"
        'photos/a, b.png;paintings/z.webp;;"Erste; zweite"\n'
        ";;;\n"
        "photos/x.png;[paintings/z.webp, 'paintings/#1 [y].png'];5;\n",
        encoding="utf-8",
    )
    assert run(["batch", "--pairs", "pairs.csv", "-o", "out", *small, "style.weight=3"]) == 0
    folder = Path("out")
    assert sorted(pictures(folder)) == ["Erste; zweite", "x_z+#1 [y]"]
    first, second = (load_config(folder / "runs" / n / "config.yaml") for n in pictures(folder))
    assert (first.style.weight, second.style.weight) == (3.0, 5.0)
    assert [Path(one).name for one in second.style.images] == ["z.webp", "#1 [y].png"]
    assert [row["style.weight"] for row in rows(folder)] == ["", "5"]


def test_pictures_that_were_made_otherwise_are_not_taken_for_these(
    small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = batch(*small)
    made = pictures(folder)
    capsys.readouterr()
    batch(*small, "style.weight=5", status=2)
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 3
    assert f"style.weight: '{NAMES[0]}.png' was painted with 2.0, not 5.0" in told[0]
    assert "and 4 more like these" in told[2]
    make_picture((64, 48), seed=99).save("photos/x.png")
    batch(*small, status=2)
    assert "was painted from another 'photos/x.png'" in capsys.readouterr().err
    for name, picture in pictures(folder).items():
        np.testing.assert_array_equal(picture, made[name])
    batch(*small, "--shard", "1/3", "snapshots.every=7")  # two that are not of this photo


def test_a_batch_is_not_run_twice_at_once(
    small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    from overpaint.sweeps.folder import locked

    folder = batch(*small)
    with locked(folder.absolute(), "batch"):
        batch(*small, status=2)
        assert "another process is at this batch" in capsys.readouterr().err
        batch(*small, "--shard", "1/2")


def test_one_line_after_each_picture_says_how_long_it_will_take(
    small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    batch(*small)
    told = [line for line in capsys.readouterr().err.splitlines() if " pictures " in line]
    assert [line.partition(" ")[0] for line in told] == [f"{i}/6" for i in range(1, 7)]
    assert told[-1] == "6/6 pictures  0 s left"


def test_a_terminal_has_one_bar_for_all_pictures() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with Overall(3, done=1, console=console) as overall:
        overall.show(0.5, "total 1.0")
        overall.count()
    drawn = console.file.getvalue()  # type: ignore[attr-defined]
    assert "1/3 pictures" in drawn
    assert "2/3 pictures" in drawn
    assert "total 1.0" in drawn


@pytest.mark.slow
def test_tracked_pictures_are_one_group(small: list[str]) -> None:
    Path("pairs.csv").write_text("content,style\nphotos/x.png,paintings/z.webp\n")
    words = [word for word in small if not word.startswith("tracking")]
    words += ["tracking.mode=offline", "-o", "my pictures"]
    assert run(["batch", "--pairs", "pairs.csv", *words]) == 0
    records = wandb_records(Path("my pictures", "runs", "x_z"))
    (opened,) = [record["run"] for record in records if record["type"] == "run"]
    assert opened["run_group"] == "my pictures"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as started:
        yield started


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="processes are forked")
def test_a_batch_that_was_killed_goes_on_and_paints_nothing_twice(
    small: list[str], server: Server, tmp_path: Path
) -> None:
    for name in ("p", "q"):
        shutil.copy("paintings/z.webp", f"paintings/{name}.webp")
    steps = ["schedule.steps=12", "checkpoint.every_seconds=0"]
    words = [word for word in small if not word.startswith("schedule.steps")] + steps
    whole = batch(*words).rename("whole")
    log = tmp_path / "log"
    given = [
        *("batch", str(tmp_path / "photos"), str(tmp_path / "paintings")),
        *("-o", str(tmp_path / "out"), *words),
    ]
    number = server.start(given, log=log)
    made: dict[Path, int] = {}
    for wanted in (1, 5, 9):
        deadline = time.monotonic() + 60
        while len(list(Path("out").glob("*.png"))) < wanted and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(number, signal.SIGKILL)
        assert server.wait(number) == -signal.SIGKILL
        done = [path for path in Path("out").glob("runs/*/result.png") if is_over(path.parent)]
        now = {path: path.stat().st_mtime_ns for path in done}
        assert now.items() >= made.items()
        made = now
        with replacing(Path("out", "x_q.png")) as copying:
            left = copying
        left.write_text("as if it had been killed in the middle of writing a picture")
        number = server.start(given, log=log)
    assert server.wait(number) == 0, log.read_text()
    assert "Traceback" not in log.read_text()
    assert {path: path.stat().st_mtime_ns for path in made} == made
    one, two = pictures(Path("out")), pictures(whole)
    assert len(one) == 12
    for name in two:
        np.testing.assert_array_equal(one[name], two[name])


def test_the_help_and_the_documents_name_what_there_is() -> None:
    document = (REPOSITORY / "docs" / "batch.md").read_text(encoding="utf-8")
    for option in ("--content", "--style", "--pairs", "--shard", "--jobs", "--output", "--preview"):
        assert option in BATCH.make_parser().format_help()
        assert option in document or option == "--output"
