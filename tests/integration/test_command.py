"""The command as people start it."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY, wandb_history, wandb_records, wandb_summary
from PIL import Image

import overpaint.commands.sweep
import overpaint.reports.compare
import overpaint.runs.film
import overpaint.runs.like
import overpaint.runs.recolor
import overpaint.runs.resume
import overpaint.runs.stylize
import overpaint.sweeps.batch
import overpaint.sweeps.sweep
import overpaint.tracking.wandb.dashboard
import overpaint.tuning.series
import overpaint.tuning.tune
from overpaint.cli import run
from overpaint.console import Task
from overpaint.runs.stylize import stylize
from overpaint.settings.schema import Config
from overpaint.settings.writing import to_yaml

MakeConfig = Callable[..., Config]

INSTALLED = str(Path(sys.executable).with_name("overpaint"))


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def test_a_process_makes_the_same_picture_as_a_program_and_reports_in_lines(
    make_config: MakeConfig, tmp_path: Path, photo: Path, painting: Path
) -> None:
    config = make_config("init.mode=blend")
    settings, copy = tmp_path / "settings.yaml", tmp_path / "a.png"
    settings.write_text(to_yaml(config), encoding="utf-8")
    words = ["scripts/stylize.py", "--config", str(settings), str(photo), str(painting)]
    done = command(sys.executable, *words, "-o", str(copy))
    assert done.returncode == 0, done.stderr
    with Image.open(copy) as picture:
        np.testing.assert_array_equal(np.asarray(picture), np.asarray(stylize(config).image))

    assert re.search(r"step 4/4  total \S+  content \S+  style \S+  \S+ steps/s", done.stderr)
    result = re.search(r"Result: (\S+result\.png)", done.stderr)
    assert result
    assert Path(result.group(1)).read_bytes() == copy.read_bytes()
    assert done.stdout == ""
    assert "\x1b" not in done.stderr  # no bar, no colours


@pytest.mark.parametrize(
    ("started", "name"),
    [
        ([sys.executable, "scripts/stylize.py"], "python scripts/stylize.py"),
        ([sys.executable, "scripts/tune_lr.py"], "python scripts/tune_lr.py"),
        ([sys.executable, "-m", "overpaint"], "python -m overpaint"),
        ([INSTALLED, "tune-lr"], "overpaint tune-lr"),
    ],
    ids=["stylize.py", "tune_lr.py", "module", "entry point"],
)
def test_each_way_to_start_names_itself_and_passes_on_the_status(
    started: list[str], name: str
) -> None:
    if started[0] == INSTALLED and not Path(INSTALLED).exists():
        pytest.skip("the package is on the path, but was not installed")
    done = command(*started, "--nothing")
    assert done.returncode == 2
    assert done.stderr.startswith(f"usage: {name} [PHOTO")
    assert done.stderr.endswith(f"\n{name}: error: unknown option --nothing\n")
    bad = command(*started, "seed=-1")
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr.startswith("error: seed: -1 is out of range")


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
    (record,) = (record["run"] for record in parsed if record["type"] == "run")
    assert record["project"] == "test"
    assert record["config"]["update"]["optimizer"]["lr"] == 0.03
    history = wandb_history(parsed)
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
    summary = wandb_summary(parsed)
    assert summary["loss/total"] == losses[4]["loss/total"]  # a number, as sweeps need it
    assert summary["final/total"] == pytest.approx(result.losses["total"])
    artifacts = [record["artifact"] for record in parsed if record["type"] == "artifact"]
    (kept,) = (artifact for artifact in artifacts if artifact["type"] == "result")
    names = {entry["path"] for entry in kept["manifest"]["contents"]}
    assert names == {"result.png", "config.yaml"}
    assert set(kept["aliases"]) == {"latest", "best"}  # it is the only one of its artifact


def test_readme_opens_with_the_two_lines() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    install = "python3 -m venv .venv && . .venv/bin/activate && pip install -e"
    assert f"{install} . && python scripts/stylize.py --config configs/default.yaml" in text
    assert f"{install} '.[dev]' && pytest" in text


CALL = re.compile(
    r" {4,}(?:.* && )?(?:python (scripts/(?:stylize|tune_lr|compare|dashboard|sweep|batch|film|"
    r"recolor)\.py)|overpaint)(?: (.*))?$"
)


def documented() -> list[tuple[str | None, str]]:
    """The commands in README and docs: a script or nothing, and the words after it."""
    pages = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
    lines = [line for page in pages for line in page.read_text(encoding="utf-8").splitlines()]
    found = filter(None, map(CALL.match, lines))
    return list(dict.fromkeys((one[1], (one[2] or "").partition(" #")[0].strip()) for one in found))


def test_the_documents_show_commands() -> None:
    assert len(documented()) >= 10


def pictures_of_a_batch(folder: Path, photo: Path) -> dict[str, str]:
    """Folders, files and a table, by the names that the documents have for them."""
    for name in ("photos", "holiday", "paintings"):
        (folder / name).mkdir()
        shutil.copy(photo, folder / name / f"{name}.png")
    for name in ("a", "b"):
        shutil.copy(photo, folder / f"{name}.png")
    (folder / "pairs.csv").write_text(f"content,style\n{photo},{photo}\n", encoding="utf-8")
    return {
        **{name: str(folder / name.strip("/")) for name in ("photos", "holiday/", "paintings")},
        **{f"{name}.jpg": str(folder / f"{name}.png") for name in ("a", "b")},
        "pairs.csv": str(folder / "pairs.csv"),
    }


@pytest.mark.usefixtures("untuned")
@pytest.mark.parametrize(("script", "words"), documented())
def test_a_command_in_the_documents_is_valid(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    photo: Path,
    capsys: pytest.CaptureFixture[str],
    script: str | None,
    words: str,
) -> None:
    started: list[object] = []

    def begin(*given: object, **options: object) -> None:
        started.append((given, options))
        raise KeyboardInterrupt

    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setattr(overpaint.reports.compare, "write_page", begin)
    monkeypatch.setattr(overpaint.runs.stylize, "stylize", begin)
    monkeypatch.setattr(overpaint.runs.like, "config_like", begin)
    monkeypatch.setattr(overpaint.runs.film, "film", begin)
    monkeypatch.setattr(overpaint.runs.recolor, "recolor", begin)
    monkeypatch.setattr(overpaint.runs.resume, "resume", begin)
    monkeypatch.setattr(overpaint.sweeps.batch, "run_batch", begin)
    monkeypatch.setattr(overpaint.sweeps.sweep, "begin_sweep", begin)
    monkeypatch.setattr(overpaint.commands.sweep, "read_plan", begin)
    monkeypatch.setattr(overpaint.tuning.tune, "tune", begin)
    monkeypatch.setattr(overpaint.tuning.series, "compare_rates", begin)
    monkeypatch.setattr(overpaint.tracking.wandb.dashboard, "save_dashboard", begin)
    stood_for = {
        **dict.fromkeys(("PHOTO", "PAINTING", "me.jpg", "painting.jpg"), str(photo)),
        "RESULT.png": str(tmp_path / "result.png"),
        "mine.yaml": str(tmp_path / "mine.yaml"),
        **pictures_of_a_batch(tmp_path, photo),
    }
    tasks: dict[str | None, Task] = {
        "scripts/stylize.py": "stylize",
        "scripts/tune_lr.py": "tune-lr",
        "scripts/compare.py": "compare",
        "scripts/dashboard.py": "dashboard",
        "scripts/sweep.py": "sweep",
        "scripts/batch.py": "batch",
        "scripts/film.py": "film",
        "scripts/recolor.py": "recolor",
    }
    given = [stood_for.get(word, word) for word in shlex.split(words)]
    status = run(given, task=tasks.get(script))
    if "--print-config" in given:
        assert (status, started) == (0, [])
    else:
        assert (status, len(started)) == (130, 1), capsys.readouterr().err
