from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from overpaint.sweeps.reading import Metric, read_sweep
from overpaint.sweeps.table import best_of, print_table, save_table
from overpaint.sweeps.trials import Outcome, Status, Trial

SWEEP = read_sweep(
    "name: '[bold] ones'\nmethod: grid\nparameters:\n  style.weight: {values: [1.0, 2.0, [3.0]]}\n"
    "  content.layers: {value: '{relu1_2: 1.0}'}\nmetric: {name: final/style, goal: maximize}\n",
    "",
)


def outcome(number: int, status: Status = "done", style: float | None = 0.5) -> Outcome:
    point = {
        "content.layers": "{relu1_2: 1.0}",
        "style.weight": [3.0] if number == 3 else float(number),
    }
    facts = {
        "losses": {"total": 1.23456789, "content": 0.25, "style": style, "style/relu1_1": 0.125},
        "steps": 12,
        "seconds": 3.5,
    }
    trial = Trial(number, point, Path("sweep") / f"{number:03d}")
    return Outcome(trial, status, facts if status != "failed" else {})


def test_a_row_has_settings_final_losses_and_the_folder(tmp_path: Path) -> None:
    save_table(
        tmp_path / "sweep.csv", [*SWEEP.space], [outcome(1), outcome(2, "failed"), outcome(3)]
    )
    with (tmp_path / "sweep.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {
        "trial": "1",
        "status": "done",
        "content.layers": "{relu1_2: 1.0}",
        "style.weight": "1.0",
        "final/total": "1.23456789",
        "final/content": "0.25",
        "final/style": "0.5",
        "final/style/relu1_1": "0.125",
        "steps": "12",
        "seconds": "3.5",
        "folder": "001",
    }
    assert (rows[1]["status"], rows[1]["final/total"], rows[1]["steps"]) == ("failed", "", "")
    assert rows[2]["style.weight"] == "[3.0]"


def test_the_terminal_shows_what_differs_and_marks_the_best(
    capsys: pytest.CaptureFixture[str],
) -> None:
    trials = [outcome(1), outcome(2, style=0.75), outcome(3, "failed")]
    print_table(SWEEP, trials, best_of(SWEEP, trials))
    out, err = capsys.readouterr()
    assert out.startswith("Sweep [bold] ones")
    assert "content.layers" not in out  # the same in all
    lines = [line.split() for line in out.splitlines() if line.strip()[:1].isdigit()]
    assert lines == [
        ["1", "1", "1.235", "0.25", "0.5", "12", "3.5", "done"],
        ["2", "2", "1.235", "0.25", "0.75", "12", "3.5", "done,", "best"],
        ["3", "[3.0]", "failed"],
    ]
    assert err == ""


def test_the_best_is_by_the_metric_and_among_those_that_are_done() -> None:
    trials = [outcome(1, style=0.5), outcome(2, "interrupted", 0.1), outcome(3, style=0.7)]
    trials += [outcome(4, style=None), outcome(5, "stopped early", 0.9)]
    assert best_of(SWEEP, trials) is trials[2]
    fewer = replace(SWEEP, metric=Metric("loss/style"))
    assert best_of(fewer, trials) is trials[0]
    assert best_of(replace(SWEEP, metric=None), trials) is None
    assert best_of(SWEEP, trials[3:]) is None
