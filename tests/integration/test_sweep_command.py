"""Sweeps run at home: every trial is a run like any other, and a sweep can stop anywhere."""

from __future__ import annotations

import csv
import importlib.util
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import REPOSITORY, SWEEPS, wandb_records
from forked import Server, serving
from PIL import Image
from pytorch_lightning import Callback

import overpaint.building.shelf
import overpaint.runs.stylize
import overpaint.sweeps.trials
from overpaint.cli import run
from overpaint.runs.stylize import stylize
from overpaint.settings.reading import load_config

pytestmark = pytest.mark.usefixtures("untuned", "one_thread")

WEIGHTS = """
name: weights & more
method: grid
parameters:
  style.weight: {values: [1.0, 5.0]}
  content.layers: {values: ["{relu1_2: 1.0}", "{relu2_2: 1.0}"]}
command: [python, nothing.py, schedule.steps=4, tracking.mode=online, "${args_no_hyphens}"]
"""
RATES = """
name: rates
method: bayes
run_cap: 6
metric: {name: loss/total}
parameters:
  optimizer.lr: {distribution: log_uniform_values, min: 0.001, max: 0.3}
  init.mode: {values: [content, recolored]}
"""


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the `overpaint` of an installed package is started."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["/usr/bin/overpaint"])


@pytest.fixture
def small(photo: Path, painting: Path, slim_file: Path) -> list[str]:
    """The words of a run of a moment."""
    return [
        *(f"content.image={photo}", f"style.images=[{painting}]"),
        *("encoder.name=vgg19_slim", f"encoder.weights={slim_file}", "image.size=32"),
        *("schedule.steps=4", "trainer.accelerator=cpu"),
    ]


def swept(text: str, *words: str, status: int = 0) -> Path:
    """Runs a sweep and returns its folder."""
    Path("mine.yaml").write_text(text, encoding="utf-8")
    before = set(Path("runs").glob("*"))
    assert run(["sweep", "mine.yaml", *words]) == status
    (folder,) = set(Path("runs").glob("*")) - before
    return folder


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "sweep.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def results(folder: Path) -> list[Any]:
    pictures = []
    for path in sorted(folder.glob("*/result.png")):
        with Image.open(path) as picture:
            pictures.append(np.asarray(picture))
    return pictures


def assert_same_sweep(folder: Path, other: Path) -> None:
    """The same trials, pictures and numbers, and nothing left over."""
    names = [
        sorted(path.relative_to(one).as_posix() for path in one.rglob("*"))
        for one in (folder, other)
    ]
    assert names[0] == names[1]
    np.testing.assert_array_equal(results(folder), results(other))
    for row, same in zip(rows(folder), rows(other), strict=True):
        assert {**row, "seconds": ""} == {**same, "seconds": ""}


class Once:
    """Does something to the process after a step of a trial, the first time that it is made."""

    def __init__(self, trial: str, step: int, act: Callable[[], object]) -> None:
        self._trial, self._step, self._act = trial, step, act
        self._is_done = False

    def stylize(self, config: Any, *, callbacks: Any = (), folder: Path, **options: Any) -> Any:
        callbacks = list(callbacks)
        if folder.name == self._trial and not self._is_done:
            self._is_done = True
            callbacks.append(_After(self._step, self._act))
        return stylize(config, callbacks=callbacks, folder=folder, **options)


class _After(Callback):
    def __init__(self, step: int, act: Callable[[], object]) -> None:
        self._step, self._act = step, act

    def on_train_batch_end(self, trainer: Any, module: Any, *args: Any) -> None:
        if module.completed == self._step:
            self._act()


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def test_a_trial_is_a_run_like_any_other(
    small: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    folder = swept(WEIGHTS, *small)
    assert folder.name.endswith("-sweep-weights_more")
    trials = ["001", "002", "003", "004"]
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == trials
    wanted = [
        *(("{relu1_2: 1.0}", "1.0"), ("{relu1_2: 1.0}", "5.0")),
        *(("{relu2_2: 1.0}", "1.0"), ("{relu2_2: 1.0}", "5.0")),
    ]
    for name, (layers, weight), row in zip(trials, wanted, rows(folder), strict=True):
        words = [*small, f"content.layers={layers}", f"style.weight={weight}"]
        alone = stylize(load_config(overrides=[*words, "tracking.mode=disabled", "output.dir=one"]))
        kept = folder / name
        assert {path.name for path in kept.iterdir()} == {p.name for p in alone.folder.iterdir()}
        with Image.open(kept / "result.png") as one, Image.open(alone.folder / "result.png") as two:
            np.testing.assert_array_equal(one, two)
        assert (kept / "metrics.csv").read_bytes() == (alone.folder / "metrics.csv").read_bytes()
        assert (row["trial"], row["status"], row["folder"]) == (str(int(name)), "done", name)
        assert (row["content.layers"], row["style.weight"]) == (layers, weight)
        assert float(row["final/total"]) == alone.losses["total"]
        assert row["steps"] == "4"
        again = load_config(kept / "config.yaml")
        assert again.tracking.mode == "disabled"  # the command's `online` is for W&B's agents
        assert again.output.dir == "runs"


def test_the_trials_are_compared_on_a_page(
    small: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given: list[Any] = []
    write = overpaint.sweeps.trials.write_page

    def writing(runs: Any, path: Path, **options: Any) -> Path:
        given.append(options)
        return write(runs, path, **options)

    monkeypatch.setattr(overpaint.sweeps.trials, "write_page", writing)
    folder = swept(WEIGHTS, *small)
    assert "<html" in (folder / "report.html").read_text(encoding="utf-8")
    assert given == [{"grid": ("content.layers", "style.weight")}]

    def failing(*arguments: Any, **options: Any) -> Path:
        raise ValueError("no page today")

    monkeypatch.setattr(overpaint.sweeps.trials, "write_page", failing)
    capsys.readouterr()
    swept(WEIGHTS, *small)  # exit status 0 all the same
    assert "is missing: no page today" in capsys.readouterr().err


def test_the_network_is_built_once_for_trials_that_want_the_same(
    small: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[tuple[str, ...]] = []
    read: list[Any] = []
    build, find = overpaint.building.shelf.build_encoder, overpaint.building.shelf.find_encoder

    def building(config: Any, *arguments: Any) -> Any:
        built.append(tuple(config.content.layers))
        return build(config, *arguments)

    def finding(*arguments: Any) -> Any:
        read.append(arguments[2][-1].conv)
        return find(*arguments)

    monkeypatch.setattr(overpaint.building.shelf, "build_encoder", building)
    monkeypatch.setattr(overpaint.building.shelf, "find_encoder", finding)
    swept(WEIGHTS, *small)
    assert built == [("relu1_2",), ("relu2_2",)]
    assert read == ["conv5_1"]  # the style layers need all of it


@pytest.mark.parametrize("step", [1, 3])
def test_a_sweep_that_was_stopped_goes_on_where_it_was(
    small: list[str],
    step: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    whole = swept(WEIGHTS, *small)
    monkeypatch.setattr(overpaint.sweeps.trials, "stylize", Once("002", step, interrupt).stylize)
    folder = swept(WEIGHTS, *small, status=130)
    assert f"overpaint sweep --resume {folder.absolute()}" in capsys.readouterr().err
    assert [row["status"] for row in rows(folder)] == ["done", "interrupted"]
    first = (folder / "001" / "result.png").stat().st_mtime_ns
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert run(["sweep", "--resume", str(tmp_path / folder)]) == 0
    monkeypatch.chdir(tmp_path)
    assert (folder / "001" / "result.png").stat().st_mtime_ns == first
    assert_same_sweep(folder, whole)
    assert run(["sweep", "--resume", str(folder)]) == 0  # and once more, with nothing to do
    assert_same_sweep(folder, whole)


def test_an_interrupt_while_files_are_written_stops_before_the_next_trial(
    small: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = overpaint.runs.stylize.save_result

    def save(*arguments: Any) -> None:
        interrupt()
        saved(*arguments)

    monkeypatch.setattr(overpaint.runs.stylize, "save_result", save)
    folder = swept(WEIGHTS, *small, status=130)
    assert [row["status"] for row in rows(folder)] == ["done"]
    monkeypatch.setattr(overpaint.runs.stylize, "save_result", saved)
    assert run(["sweep", "--resume", str(folder)]) == 0
    assert [row["status"] for row in rows(folder)] == 4 * ["done"]


def test_what_fails_in_one_trial_does_not_stop_the_others(
    small: list[str], painting: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(painting.read_bytes()[:200])
    text = (
        "method: grid\nparameters:\n  style.images:\n"
        f"    values: ['{broken}', '{painting}', ['{painting}', '{painting}']]\n"
    )
    words = [word for word in small if not word.startswith("style.images")]
    folder = swept(text, *words, status=1)
    assert [row["status"] for row in rows(folder)] == ["failed", "done", "done"]
    assert not (folder / "001").exists()
    told = capsys.readouterr()
    last = [line for line in told.err.splitlines() if line.startswith("error")]
    assert len(last) == 1
    assert last[0].startswith("error: trial 1: ")
    assert "broken.png" in last[0]
    assert "Traceback" not in told.err
    shutil.copy(painting, broken)
    assert run(["sweep", "--resume", str(folder)]) == 0
    assert [row["status"] for row in rows(folder)] == ["done", "done", "done"]


def test_a_trial_that_diverged_is_a_failure_and_is_not_tried_again(small: list[str]) -> None:
    text = (
        "method: grid\nparameters: {style.weight: {values: [1.0e+38, 1.0]}}\n"
        "command: [loss.normalization=paper, content.weight=1e38]\n"
    )
    folder = swept(text, *small, status=1)
    assert rows(folder)[0]["status"] == "diverged"
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*/result.png")}
    assert len(before) == 2
    assert run(["sweep", "--resume", str(folder)]) == 1
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*/result.png")} == before


RANDOM = """
method: random
parameters:
  style.weight: {min: 1.0, max: 5.0}
  image.size: {min: 30, max: 40}
"""


def test_more_may_be_drawn_later(small: list[str]) -> None:
    words = [word for word in small if not word.startswith("image.size")]
    few, many = (swept(RANDOM, *words, "--runs", count, "--seed", "3") for count in ("2", "4"))
    assert len(rows(few)) == 2
    assert run(["sweep", "--resume", str(few), "--runs", "4"]) == 0
    assert_same_picture_and_settings(few, many)
    assert run(["sweep", "--resume", str(few)]) == 0
    assert len(rows(few)) == 4
    other = swept(RANDOM, *words, "--runs", "2", "--seed", "4")
    assert rows(other)[0]["style.weight"] != rows(few)[0]["style.weight"]


def assert_same_picture_and_settings(folder: Path, other: Path) -> None:
    for row, same in zip(rows(folder), rows(other), strict=True):
        assert {**row, "seconds": ""} == {**same, "seconds": ""}


def test_pictures_may_be_named_by_words_and_the_file_by_its_stem(
    small: list[str], photo: Path, painting: Path
) -> None:
    words = [word for word in small if "image" not in word]
    pictures = [str(photo), str(painting), "image.size=32"]
    assert run(["sweep", "layers", *pictures, *words, "--runs", "2"]) == 0
    (folder,) = Path("runs").iterdir()
    assert folder.name.endswith("-sweep-layers")
    assert load_config(folder / "001" / "config.yaml").content.image == str(photo)


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_the_sweeps_that_are_shipped_run_here(
    path: Path, small: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = path.read_text(encoding="utf-8")
    words = [word for word in small if f"  {word.partition('=')[0]}:" not in text]
    folder = swept(text, *words, "--runs", "1")
    assert [row["status"] for row in rows(folder)] == ["done"]


def test_a_search_that_was_stopped_finds_what_it_would_have_found(
    small: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = swept(RATES, *small)
    found = rows(whole)
    assert [row["status"] for row in found] == 6 * ["done"]
    assert len({row["optimizer.lr"] for row in found}) == 6
    assert all(0.001 <= float(row["optimizer.lr"]) <= 0.3 for row in found)
    assert {row["init.mode"] for row in found} == {"content", "recolored"}
    once = Once("003", 2, interrupt)
    monkeypatch.setattr(overpaint.sweeps.trials, "stylize", once.stylize)
    folder = swept(RATES, *small, status=130)
    assert [row["status"] for row in rows(folder)] == ["done", "done", "interrupted"]
    assert run(["sweep", "--resume", str(folder)]) == 0
    assert_same_picture_and_settings(folder, whole)


def test_a_search_goes_where_the_loss_is_less(small: list[str]) -> None:
    text = RATES.replace("run_cap: 6", "run_cap: 20").replace("loss/total", "final/total")
    words = [word for word in small if not word.startswith("schedule.steps")]
    found = rows(swept(text, *words, "schedule.steps=2", "schedule.scales=[1.0]"))
    losses = [float(row["final/total"]) for row in found]
    # Optuna draws ten by chance first.
    assert sum(losses[10:]) / 10 < 0.8 * sum(losses[:10]) / 10


def test_hyperband_stops_what_is_worse_and_says_so(small: list[str]) -> None:
    rule = "early_terminate: {type: hyperband, min_iter: 2, eta: 2}\n"
    text = RATES.replace("run_cap: 6", "run_cap: 12") + rule
    words = ["schedule.steps=16", "tracking.log_every=2", "schedule.scales=[0.5, 1.0]"]
    small = [word for word in small if not word.startswith("schedule.steps")]
    folder = swept(text, *small, *words)
    by_status: dict[str, list[dict[str, str]]] = {"done": [], "stopped early": []}
    for row in rows(folder):
        by_status[row["status"]].append(row)
    assert by_status["done"]
    assert by_status["stopped early"]
    assert {row["steps"] for row in by_status["done"]} == {"16"}
    # The first, second, fourth, eighth report: after steps 1, 2, 6 and 14.
    assert {row["steps"] for row in by_status["stopped early"]} <= {"2", "6", "14"}
    before = rows(folder)
    assert run(["sweep", "--resume", str(folder)]) == 0
    assert rows(folder) == before


def test_without_optuna_a_search_says_what_to_install(
    small: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "optuna" else found(name, *a)
    )
    Path("mine.yaml").write_text(RATES)
    assert run(["sweep", "mine.yaml", *small]) == 1
    told = capsys.readouterr().err.strip()
    assert told == "error: method: bayes needs Optuna: pip install 'overpaint[sweep]'"
    assert not Path("runs").exists()


def test_a_sweep_is_not_run_twice_at_once(
    small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    from overpaint.sweeps.folder import locked

    folder = swept(WEIGHTS, *small)
    with locked(folder.absolute()):
        assert run(["sweep", "--resume", str(folder)]) == 2
    assert "another process is at this sweep" in capsys.readouterr().err


@pytest.mark.slow
def test_tracked_trials_are_one_group(small: list[str]) -> None:
    text = "method: grid\nparameters: {style.weight: {values: [1.0]}}"
    folder = swept(text, *small, "tracking.mode=offline")
    records = wandb_records(folder / "001")
    (opened,) = [record["run"] for record in records if record["type"] == "run"]
    assert opened["run_group"] == folder.name


KILLS = 6


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as started:
        yield started


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="processes are forked")
@pytest.mark.parametrize("text", [WEIGHTS, RATES], ids=["grid", "bayes"])
def test_a_sweep_that_was_killed_goes_on(
    text: str, small: list[str], server: Server, tmp_path: Path
) -> None:
    text = text.replace("schedule.steps=4", "schedule.steps=30")
    words = ["schedule.steps=30", "checkpoint.every_seconds=0", f"output.dir={tmp_path / 'runs'}"]
    words = [word for word in small if not word.startswith("schedule.steps")] + words
    whole = swept(text, *words)
    log = tmp_path / "log"
    before = set((tmp_path / "runs").iterdir())
    chance = random.Random(1)
    number = server.start(["sweep", str(tmp_path / "mine.yaml"), *words], log=log)
    for _ in range(KILLS):
        time.sleep(chance.uniform(0.1, 0.9))
        os.kill(number, signal.SIGKILL)
        server.wait(number)
        made = set((tmp_path / "runs").iterdir()) - before
        if not made or not (next(iter(made)) / "sweep.json").is_file():
            for folder in made:
                shutil.rmtree(folder)
            number = server.start(["sweep", str(tmp_path / "mine.yaml"), *words], log=log)
            continue
        (folder,) = made
        number = server.start(["sweep", "--resume", str(folder)], log=log)
    assert server.wait(number) == 0, log.read_text()
    (folder,) = set((tmp_path / "runs").iterdir()) - before
    assert "Traceback" not in log.read_text()
    assert_same_picture_and_settings(folder, whole)
    np.testing.assert_array_equal(results(folder), results(whole))


def test_the_documents_name_the_command() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert "overpaint sweep" in readme
