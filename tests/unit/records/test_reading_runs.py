from __future__ import annotations

import csv
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from run_folders import WEIGHTS, make_run, unfinished

from overpaint.errors import ConfigError
from overpaint.records.reading import Outcome, find_runs, read_run
from overpaint.runs.stylize import stylize
from overpaint.settings.schema import Config
from overpaint.settings.writing import to_dict

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path, photo: Path, painting: Path) -> Make:
    def build(name: str = "runs/one", *settings: str, **options: Any) -> Path:
        return make_run(tmp_path / name, *settings, photo=photo, painting=painting, **options)

    return build


def test_a_run_is_read_as_it_was_written(make: Make, photo: Path) -> None:
    run = read_run(make("runs/one", "style.weight=7", steps=20, every=8))
    assert (run.state, run.problems, run.can_go_on) == ("done", (), False)
    assert run.settings["style"]["weight"] == 7
    assert run.settings["content"]["image"] == str(photo)
    assert run.outcome.losses == {"total": 3.0, "content": 1.0, "style": 1.0, "tv": 0.01}
    assert run.outcome.peak_memory_bytes == 500_000_001
    assert run.outcome.weights == WEIGHTS
    assert run.metrics["step"] == list(range(1, 21))
    assert run.metrics["loss/total"][:3] == [9.0, 4.5, 3.0]
    assert list(run.snapshots) == [1, 8, 16, 20]
    assert run.snapshots[8] == run.folder / "snapshots" / "step_00008.png"
    assert run.result == run.folder / "result.png"


def test_what_a_real_run_leaves_is_understood(make_config: Callable[..., Config]) -> None:
    config = make_config()
    result = stylize(config)
    run = read_run(result.folder)
    assert (run.state, run.problems) == ("done", ())
    assert run.outcome.losses == pytest.approx(dict(result.losses))
    assert (run.outcome.steps, run.outcome.seconds) == (4, pytest.approx(result.seconds, abs=1e-3))
    assert run.outcome.weights["sha256"]
    assert set(run.outcome.inputs) == {"content.image", "style.images[0]"}
    assert run.settings["schedule"] == {**to_dict(config)["schedule"]}
    with (result.folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert run.metrics["loss/total"] == [float(row["loss/total"]) for row in rows]


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        ({}, "done"),
        ({"interrupted": True}, "interrupted"),
        ({"diverged": "The loss became infinite at step 3."}, "diverged"),
        ({"losses": {"total": float("nan")}}, "done"),
    ],
)
def test_a_run_is_in_the_state_that_it_ended_in(
    make: Make, facts: dict[str, Any], state: str
) -> None:
    assert read_run(make(facts=facts)).state == state


def test_a_run_without_an_end_is_unfinished_and_can_go_on(make: Make) -> None:
    run = read_run(unfinished(make(steps=20, every=10)))
    assert (run.state, run.problems, run.can_go_on) == ("unfinished", (), True)
    assert list(run.snapshots) == [1, 10, 20]
    assert run.outcome == Outcome()


def test_a_folder_of_a_run_that_has_hardly_begun_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "new" / "snapshots").mkdir(parents=True)
    run = read_run(tmp_path / "new")
    assert (run.state, run.problems) == ("damaged", ("config.yaml is missing.",))
    assert (run.metrics, run.snapshots, run.result) == ({}, {}, None)


def _bomb() -> str:
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    return "\n".join(lines)


DAMAGES = [
    ("config.yaml", b"", "config.yaml cannot be read (no settings in it)."),
    ("config.yaml", b"style: {weight: 1", "config.yaml cannot be read ("),
    ("config.yaml", b"- 1\n- 2\n", "no settings in it"),
    ("config.yaml", bytes(range(256)), "config.yaml cannot be read ("),
    ("config.yaml", _bomb().encode(), "it has an alias"),
    ("config.yaml", b"a: " + 5000 * b"[", "config.yaml cannot be read ("),
    ("config.yaml", b"a: " + 5000 * b"9", "config.yaml cannot be read ("),
    ("config.yaml", b"!!python/object/apply:os.system [echo]", "config.yaml cannot be read ("),
    ("environment.json", b"", "environment.json cannot be read ("),
    ("environment.json", b'{"losses": {"total": 1', "environment.json cannot be read ("),
    ("environment.json", b"[1, 2]", "environment.json cannot be read ("),
    ("environment.json", b'{"losses": [1]}', "environment.json cannot be read (losses: "),
    ("environment.json", b'{"steps": "many"}', "environment.json cannot be read (steps: "),
    ("environment.json", 3000 * b"[", "environment.json cannot be read ("),
    ("result.png", b"", "result.png cannot be read."),
    ("result.png", b"\x89PNG\r\n\x1a\n half", "result.png cannot be read."),
]


@pytest.mark.parametrize(("name", "content", "problem"), DAMAGES)
def test_what_is_damaged_is_told_and_the_rest_is_read(
    make: Make, name: str, content: bytes, problem: str
) -> None:
    folder = make()
    (folder / name).write_bytes(content)
    run = read_run(folder)
    assert run.state == "damaged"
    assert [one for one in run.problems if problem in one], run.problems
    assert all("\n" not in one for one in run.problems)
    assert len(run.snapshots) == 3
    assert bool(run.settings) == (name != "config.yaml")
    assert (run.result is None) == (name == "result.png")


def test_a_result_that_is_missing_is_told(make: Make) -> None:
    folder = make()
    (folder / "result.png").unlink()
    assert read_run(folder).problems == ("result.png is missing.",)


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("", {}),
        ("step,loss/total", {}),
        ("step,loss/total\n1,2.5\n2,1", {"step": [1.0, 2.0], "loss/total": [2.5, 1.0]}),
        ("step,loss/total\n1,nan\n2", {"step": [1.0, 2.0], "loss/total": [None, None]}),
        ("step,loss/total\n1,inf\nhalf", {"step": [1.0], "loss/total": [None]}),
        ("step,loss/total\n1,2,3,4\n\0", {"step": [1.0], "loss/total": [2.0]}),
        ("loss/total\n1\n", {}),
    ],
)
def test_of_half_a_table_the_whole_rows_are_read(
    make: Make, text: str, columns: dict[str, list[float | None]]
) -> None:
    folder = make()
    (folder / "metrics.csv").write_text(text)
    run = read_run(folder)
    assert (run.state, run.metrics) == ("done", columns)


def test_settings_are_told_as_they_were_typed(make: Make) -> None:
    names = {"tracking.name": "run #2: ${seed} \\${x} </script> 絵 🎨"}
    assert read_run(make(values=names)).settings["tracking"]["name"] == names["tracking.name"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have names in UTF-8 alone")
def test_a_file_name_that_is_not_utf8_is_read(make: Make, photo: Path, tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"caf\xe9.png")
    photo.rename(odd)
    folder = make_run(tmp_path / "odd", photo=odd, painting=tmp_path / "painting.png")
    assert read_run(folder).settings["content"]["image"] == str(odd)


def test_only_pictures_named_as_snapshots_are(make: Make) -> None:
    folder = make()
    for name in ("step_1.jpg", ".step_00003.png-abcdefgh", "step_x.png", "notes.txt"):
        (folder / "snapshots" / name).touch()
    assert list(read_run(folder).snapshots) == [1, 10, 20]


def test_runs_are_found_in_folders_and_each_once(make: Make, tmp_path: Path) -> None:
    second, first = make("runs/b"), make("runs/a")
    deep = make("runs/sweep/trials/c")
    make("runs/.hidden/d")
    other = tmp_path / "runs" / "wandb" / "run-1" / "files"
    other.mkdir(parents=True)
    for name in ("config.yaml", "result.png"):
        (other / name).touch()
    assert find_runs([tmp_path / "runs"]) == [first, second, deep]
    assert find_runs([second, tmp_path / "runs", first]) == [second, first, deep]


def test_a_search_for_a_rate_is_no_run(make: Make, tmp_path: Path) -> None:
    run = make("runs/a")
    search = tmp_path / "runs" / "search"
    search.mkdir()
    for name in ("config.yaml", "lr.json", "lr.png"):
        (search / name).touch()
    assert find_runs([tmp_path / "runs"]) == [run]


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no links here")
def test_links_that_lead_back_end(make: Make, tmp_path: Path) -> None:
    run = make("runs/a")
    (tmp_path / "runs" / "loop").symlink_to(tmp_path / "runs")
    assert find_runs([tmp_path / "runs"]) == [run]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    return tmp_path


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("nope", "'nope': no such folder; name run folders, or a folder of them."),
        ("photo.png", "'photo.png': no such folder"),
        ("empty", "'empty': there is no run in this folder."),
        ("a" * 300, "no such folder"),
        ("a\0b", "no such folder"),
    ],
)
def test_a_place_without_runs_is_refused(photo: Path, place: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        find_runs([Path(place)])


def test_all_places_without_runs_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        find_runs([tmp_path / "x", tmp_path / "y"])
    assert len(caught.value.problems) == 2


def test_facts_that_a_later_version_adds_are_left_alone(make: Make) -> None:
    folder = make()
    path = folder / "environment.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "new": {"a": [1]}}))
    assert read_run(folder).state == "done"
