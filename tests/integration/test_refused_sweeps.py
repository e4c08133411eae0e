"""Sweeps that the real command refuses: in words, and before anything is made."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from refusals import refused

WEIGHTS = "method: grid\nparameters:\n  style.weight: {values: [1.0, 2.0]}\n"
BAYES = "method: bayes\nrun_cap: 3\nmetric: {name: final/total}\nparameters:\n"

# The text of a sweep's file, what is typed behind it, and what is said.
REFUSED = [
    ("", [], "holds no sweep"),
    ("method: [", [], "no valid YAML"),
    ("just words", [], "holds no sweep"),
    (WEIGHTS.replace("grid", "gird"), [], "method: expected grid, random or bayes, got 'gird'"),
    (f"{WEIGHTS}paramters: 3", [], "did you mean 'parameters'"),
    ("method: grid\nparameters: {}", [], "parameters: expected settings with values"),
    ("method: grid\nparameters: {style.wieght: {value: 1}}", [], "did you mean 'weight'"),
    ("method: grid\nparameters: {style.weight: {values: [1, -1]}}", [], "style.weight: -1"),
    ("method: grid\nparameters: {style.weight: {values: [abc]}}", [], "style.weight: expected a n"),
    ("method: grid\nparameters: {style.images: {values: [no.jpg]}}", [], "no such file: 'no.jpg'"),
    ("method: grid\nparameters: {style.layers: {values: ['{relu9_1: 1}']}}", [], "'relu9_1'"),
    ("method: grid\nparameters: {style.weight: {min: 1.0, max: 2.0}}", [], "a grid needs values"),
    ("method: random\nparameters: {style.weight: {value: 1}}", [], "give --runs N, or run_cap"),
    (
        "method: random\nparameters: {style.weight: {distribution: beta, a: 1}}",
        ["--runs", "2"],
        "unknown distribution 'beta'",
    ),
    (
        "method: random\nparameters: {optimizer.lr: {min: 1e-4, max: 1e-1}}",
        ["--runs", "2"],
        "with a point and a sign as in 1.0e-4",
    ),
    (
        "method: random\nparameters: {style.weight: {distribution: normal}}",
        ["--runs", "20"],
        "style.weight: and 5 more like these, in other trials",
    ),
    (f"{BAYES}  optimizer.lr: {{min: -1.0, max: 1.0}}", [], "optimizer.lr: -1.0 is out of range"),
    (f"{BAYES}  optimizer.name: {{values: [adam, lion]}}", [], "got 'lion'"),
    (
        BAYES.replace("final/total", "accuracy") + "  seed: {value: 1}",
        [],
        "'accuracy' is not logged",
    ),
    (WEIGHTS, ["style.weight=3"], "style.weight: the sweep gives it its values"),
    (WEIGHTS, ["output.copy=a.png"], "output.copy: each trial would overwrite it"),
    (WEIGHTS, ["trainer.devices=2"], "trainer.devices: a trial has one process"),
    (WEIGHTS, ["content.image=no.jpg"], "no such file: 'no.jpg'"),
    (WEIGHTS, ["no.jpg"], "no such file: 'no.jpg'"),
    (WEIGHTS, ["image.size"], "is a setting, which needs a value"),
    (WEIGHTS, ["--runs", "0"], "--runs: expected a whole number from 1 on, got '0'"),
    (WEIGHTS, ["--runs", "many"], "got 'many'"),
    (WEIGHTS, ["--seed", "-1"], "--seed"),
    (WEIGHTS, ["--config", "nope"], "--config: no such file: 'nope'"),
    (f"{WEIGHTS}command: [--config, nope.yaml]", [], "--config: no such file: 'nope.yaml'"),
    (f"{WEIGHTS}command: [imge.size=64]", [], "did you mean 'image'"),
    (
        "method: grid\nparameters:\n  seed: {min: 1, max: 300}\n  image.size: {min: 100, max: 399}",
        [],
        "the grid has 90000 trials; --runs N takes the first N",
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(("text", "words", "told"), REFUSED, ids=lambda one: ascii(one)[-40:])
def test_a_sweep_that_cannot_be_run_says_why(
    tmp_path: Path, text: str, words: list[str], told: str
) -> None:
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    assert told in refused(["sweep", "mine.yaml", *words], cwd=tmp_path)


FILES: list[tuple[list[str], str]] = [
    ([], "name a sweep's file, such as configs/sweeps/layers.yaml"),
    (["layer"], "did you mean 'layers'"),
    (["nowhere/mine.yaml"], "no such file of a sweep: 'nowhere/mine.yaml'"),
    (["."], "'.': cannot be read"),
    (["--resume", "nothing"], "'nothing' is no folder of a sweep"),
    (["--resume", ".", "style.weight=3"], "add --runs N alone"),
    (["--resume", ".", "--seed", "3"], "add --runs N alone"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("words", "told"), FILES, ids=lambda one: ascii(one)[-40:])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, words: list[str], told: str) -> None:
    assert told in refused(["sweep", *words], cwd=tmp_path).replace(f"{tmp_path}/", "")


def gone(folder: Path) -> None:
    facts = json.loads((folder / "sweep.json").read_text())
    facts["directory"] = str(folder / "gone")
    (folder / "sweep.json").write_text(json.dumps(facts))


DAMAGED: list[tuple[str, Callable[[Path], object], str]] = [
    ("no file", lambda folder: (folder / "sweep.yaml").unlink(), "no folder of a sweep"),
    ("no origin", lambda folder: (folder / "sweep.json").unlink(), "no folder of a sweep"),
    ("half an origin", lambda folder: (folder / "sweep.json").write_text("{"), "no folder of a sw"),
    ("another origin", lambda folder: (folder / "sweep.json").write_text("{}"), "no folder of a"),
    ("no directory", gone, "which is not there any more"),
    ("fewer runs", lambda folder: None, "--runs: 2 is less than 3; a sweep that goes on may"),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "told"), [row[1:] for row in DAMAGED], ids=[row[0] for row in DAMAGED]
)
def test_a_sweep_that_cannot_go_on_says_why(
    tmp_path: Path, spoil: Callable[[Path], object], told: str
) -> None:
    folder = tmp_path / "sweep"
    folder.mkdir()
    (folder / "sweep.yaml").write_text(WEIGHTS)
    origin = {"name": "a", "directory": str(tmp_path), "words": [], "pictures": {}}
    origin |= {"runs": 3, "seed": 0, "has_preset": False}
    (folder / "sweep.json").write_text(json.dumps(origin))
    spoil(folder)
    words = ["--runs", "2"] if told.startswith("--runs") else []
    assert told in refused(["sweep", "--resume", "sweep", *words], cwd=tmp_path)
