"""Runs told to W&B online, read back from what arrived at a stand-in for it; and its failures."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import make_picture
from PIL import Image
from wandb_arrivals import ArrivedRun
from wandb_stand_in import KEY, StandIn, standing_in

pytestmark = pytest.mark.slow

STEPS, EVERY = 8, 3
SHOWN = [1, 3, 6, 8]
"""Steps with a snapshot: the first, each third, the last."""

WAITED = """
import atexit, sys, time
from overpaint.building import tracking as building
from overpaint.tracking.guarded import GuardedTracker
from overpaint.tracking.wandb import quiet

waited = [0.0]

def counted(act):
    def counting(*args, **options):
        began = time.monotonic()
        try:
            return act(*args, **options)
        finally:
            waited[0] += time.monotonic() - began
    return counting

building.open_wandb = counted(building.open_wandb)
GuardedTracker._attempt = counted(GuardedTracker._attempt)
GuardedTracker.finish = counted(GuardedTracker.finish)
quiet.within = counted(quiet.within)
atexit.register(lambda: open("waited", "w").write(str(waited[0])))
"""
"""Counts the seconds that a command spends in what tells W&B."""

INTERRUPTED = """
import signal
from overpaint.callbacks.snapshots import Snapshots

def interrupting(self, trainer, module, *args):
    before(self, trainer, module, *args)
    if module.completed == {step}:
        signal.raise_signal(signal.{sent})

before, Snapshots.on_train_batch_end = Snapshots.on_train_batch_end, interrupting
"""


class Place:
    """A folder with pictures, and the real command in it, told to a stand-in."""

    def __init__(self, folder: Path, slim_file: Path) -> None:
        self.folder = folder
        (folder / "home").mkdir()
        make_picture((64, 48), seed=1).save(folder / "photo.png")
        make_picture((56, 60), seed=2).save(folder / "painting.png")
        shutil.copy(slim_file, folder / "slim.safetensors")

    def command(
        self, words: list[str], url: str, *, status: int, key: str = KEY, code: str = ""
    ) -> str:
        """Runs the command, its process prepared by `code`; returns what it said."""
        done = self._run(
            ["-c", f"{WAITED}\n{code}\nfrom overpaint.__main__ import main\nmain()", *words],
            url,
            key,
        )
        assert done.returncode == status, done.stderr
        assert not done.stdout
        for never in ("Traceback", "goroutine", "panic", "wandb:", key):
            assert never not in done.stderr, done.stderr
        return done.stderr

    def paint(
        self, url: str, *words: str, mode: str = "online", status: int = 0, **how: str
    ) -> str:
        """Paints the photo; a run that succeeds must have its result."""
        said = self.command(
            [
                *("photo.png", "painting.png", "-o", "out.png", f"schedule.steps={STEPS}"),
                *("encoder.name=vgg19_slim", "encoder.weights=slim.safetensors", "image.size=32"),
                *(f"snapshots.every={EVERY}", "tracking.log_every=1", "trainer.accelerator=cpu"),
                *("tracking.name=mine", "tracking.group=ours", f"tracking.mode={mode}", *words),
            ],
            url,
            status=status,
            **how,
        )
        if not status:
            for path in (self.folder / "out.png", self.run / "result.png"):
                with Image.open(path) as picture:
                    assert picture.size == (32, 24)
            assert len(self.rows) == STEPS
        return said

    def sync(self, url: str, said: str) -> None:
        """The `wandb sync` that a run has named."""
        ((options, folder),) = re.findall(r"wandb (sync (?:--\S+ )*)(\S+)", said)
        (log,) = (self.run / folder).glob("*.wandb")
        deadline = time.monotonic() + 10
        while log.stat().st_size < 1000 and time.monotonic() < deadline:
            time.sleep(0.1)  # wandb-core, left to itself, writes it down after the run has ended
        done = self._run(["-m", "wandb", *options.split(), str(self.run / folder)], url, KEY)
        assert done.returncode == 0, done.stdout + done.stderr

    def _run(self, words: list[str], url: str, key: str) -> subprocess.CompletedProcess[str]:
        strange = ("WANDB_", "SLURM_", "XDG_")
        env = {name: one for name, one in os.environ.items() if not name.startswith(strange)}
        env |= {"HOME": str(self.folder / "home"), "NETRC": str(self.folder / "none")}
        env |= {"WANDB_BASE_URL": url, "WANDB_API_KEY": key}
        env |= {"OMP_NUM_THREADS": "1", "COLUMNS": "1000", "NO_PROXY": "127.0.0.1"}
        return subprocess.run(
            [sys.executable, *words],
            cwd=self.folder,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    @property
    def run(self) -> Path:
        """The folder of the one run."""
        (found,) = (self.folder / "runs").iterdir()
        return found

    @property
    def rows(self) -> list[dict[str, float]]:
        """As metrics.csv has them."""
        with (self.run / "metrics.csv").open(newline="") as file:
            return [
                {name: float(value) for name, value in row.items() if value}
                for row in csv.DictReader(file)
            ]

    @property
    def facts(self) -> dict[str, Any]:
        """As environment.json has them."""
        found: dict[str, Any] = json.loads((self.run / "environment.json").read_text())
        return found

    @property
    def waited(self) -> float:
        """Seconds of the last command that went to W&B."""
        return float((self.folder / "waited").read_text())


@pytest.fixture
def place(tmp_path: Path, slim_file: Path) -> Place:
    return Place(tmp_path, slim_file)


def assert_same_numbers(place: Place, run: ArrivedRun) -> None:
    """Each step that was logged arrived once, with the values of metrics.csv."""
    arrived = [row for row in run.history if "loss/total" in row]
    assert [row["_step"] for row in arrived] == [row["step"] for row in place.rows]
    for row, written in zip(arrived, place.rows, strict=True):
        assert row["trainer/global_step"] == row["_step"]
        for name, value in written.items():
            if name != "step":
                assert row[name] == pytest.approx(value, rel=1e-6), name
    steps = [row["_step"] for row in run.history]
    assert steps == sorted(set(steps))
    assert not run.overwritten


def assert_same_pictures(place: Place, run: ArrivedRun) -> None:
    """The snapshots and inputs arrived, and are those of the run folder."""
    shown = {row["_step"]: row["snapshots"] for row in run.history if "snapshots" in row}
    assert list(shown) == SHOWN
    for step, entry in shown.items():
        with (
            Image.open(io.BytesIO(run.files[entry["path"]])) as arrived,
            Image.open(place.run / "snapshots" / f"step_{step:05d}.png") as kept,
        ):
            assert arrived.format == "PNG"
            assert arrived.convert("RGB").tobytes() == kept.convert("RGB").tobytes()
    (inputs,) = (row for row in run.history if "inputs/content" in row)
    assert inputs["_step"] == 0
    for path in (inputs["inputs/content"]["path"], *inputs["inputs/style"]["filenames"]):
        with Image.open(io.BytesIO(run.files[path])) as picture:
            assert max(picture.size) == 32


def assert_same_result(place: Place, stand_in: StandIn) -> None:
    """The summary and the result's artifact are those of the run folder."""
    run, losses = stand_in.arrivals.run(), place.facts["losses"]
    assert losses
    for name, value in losses.items():
        assert run.summary[f"final/{name}"] == pytest.approx(value)
    assert run.exit_code == 0
    (artifact,) = stand_in.arrivals.artifacts_of("result")
    assert "latest" in artifact.aliases
    assert artifact.given["runName"] == run.name
    content = stand_in.arrivals.content(artifact)
    assert content["result.png"] == (place.run / "result.png").read_bytes()
    assert content["config.yaml"] == (place.run / "config.yaml").read_bytes()


def test_a_whole_run_arrives(place: Place) -> None:
    with standing_in() as stand_in:
        said = place.paint(stand_in.url)
        assert f"W&B: online, {stand_in.url}/someone/overpaint/runs/" in said
        run = stand_in.arrivals.run()
        assert_same_numbers(place, run)
        assert_same_pictures(place, run)
        assert_same_result(place, stand_in)
        assert not stand_in.faults
    assert place.facts["tracking"] == "online"
    assert run.config["schedule"]["steps"] == STEPS
    assert run.config["content"]["image"].endswith("photo.png")
    assert run.config["weights_sha256"] == place.facts["weights"]["sha256"]
    told = [run.told[name] for name in ("displayName", "groupName", "jobType")]
    assert told == ["mine", "ours", "stylize"]
    assert "wandb sync" not in said


def test_an_offline_run_is_delivered_by_wandb_sync(place: Place) -> None:
    said = place.paint("http://127.0.0.1:9", mode="offline")
    with standing_in() as stand_in:
        place.sync(stand_in.url, said)
        assert_same_numbers(place, stand_in.arrivals.run())
        assert_same_pictures(place, stand_in.arrivals.run())
        assert_same_result(place, stand_in)
        assert not stand_in.faults


@pytest.mark.parametrize("sent", ["SIGINT", "SIGKILL"])
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_a_run_that_goes_on_is_the_same_run_with_each_row_once(place: Place, sent: str) -> None:
    status = {"SIGINT": 130, "SIGKILL": -9}[sent]
    code = INTERRUPTED.format(step=5, sent=sent)
    with standing_in() as stand_in:
        place.paint(stand_in.url, "checkpoint.every_seconds=0", code=code, status=status)
        said = place.command(["--resume", str(place.run)], stand_in.url, status=0)
        assert "Going on after step" in said
        assert len(place.rows) == STEPS
        run = stand_in.arrivals.run()
        assert_same_numbers(place, run)
        assert_same_pictures(place, run)
        assert run.summary["final/total"] == pytest.approx(place.facts["losses"]["total"])
        assert run.exit_code == 0
        assert not stand_in.faults


def test_a_wrong_key_is_refused_before_any_step_or_goes_offline(place: Place) -> None:
    with standing_in() as stand_in:
        said = place.paint(stand_in.url, key="1" * 40, status=1)
        assert "error: tracking.mode=online: " in said
        assert "user is not logged in" in said
        assert "step" not in said
        assert not (place.folder / "runs").exists()
        said = place.paint(stand_in.url, key="1" * 40, mode="auto")
        assert "W&B: offline (" in said
        assert place.waited < 15
        assert set(stand_in.asked) == {"Viewer"}
    assert place.facts["tracking"] == "offline"


def test_a_service_that_is_absent_leaves_the_run_offline(place: Place, closed_port: int) -> None:
    url = f"http://127.0.0.1:{closed_port}"
    assert f"W&B: offline ({url} does not answer)" in place.paint(url, mode="auto")
    assert place.waited < 15
    assert place.facts["tracking"] == "offline"


def at_first(operation: str, act: Callable[[], None], stand_in: StandIn) -> None:
    """Lets something happen when an operation is asked for."""
    happened: list[str] = []

    def notice(name: str) -> None:
        if name == operation and not happened:
            happened.append(name)
            act()

    stand_in.notice = notice


@pytest.mark.parametrize("operation", ["UpsertBucket", "file_stream", "CreateArtifact", "upload"])
@pytest.mark.parametrize("how", ["hangs", "dies", "429 for good"])
def test_whenever_the_service_fails_the_run_completes_and_says_how_to_upload(
    place: Place, how: str, operation: str
) -> None:
    stand_in = StandIn()

    def fail() -> None:
        if how == "429 for good":
            stand_in.turned_away = 10**6
        else:
            {"hangs": stand_in.fall_silent, "dies": stand_in.die}[how]()

    at_first(operation, fail, stand_in)
    with stand_in.serving():
        said = place.paint(stand_in.url, mode="auto")
    assert place.waited < 15
    if operation == "UpsertBucket":
        assert "W&B: offline (" in said
    else:
        assert said.splitlines()[-1].startswith("W&B: what it was told is on disk")
    again = StandIn()
    with again.serving():
        place.sync(again.url, said)
        assert_same_numbers(place, again.arrivals.run())
        assert_same_pictures(place, again.arrivals.run())


def test_a_service_that_is_slow_or_turns_some_away_gets_everything(place: Place) -> None:
    stand_in = StandIn()
    stand_in.delay_s = 0.2
    at_first("UpsertBucket", lambda: setattr(stand_in, "turned_away", 1), stand_in)
    with stand_in.serving():
        place.paint(stand_in.url)
        assert stand_in.turned_away == 0
        assert_same_numbers(place, stand_in.arrivals.run())
        assert_same_pictures(place, stand_in.arrivals.run())
        assert_same_result(place, stand_in)
    assert place.waited < 15
