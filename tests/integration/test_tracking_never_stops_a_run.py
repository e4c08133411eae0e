"""`tracking.mode=auto`: whatever W&B does or finds, the run paints, says so in a line, exits 0."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from conftest import make_picture, wandb_history, wandb_records
from PIL import Image
from wandb_server import answering

import overpaint

KEY = "0" * 40
NOBODY = 54321
"""A user id without an entry, as `docker run --user` gives one."""

pytestmark = pytest.mark.slow


class Place:
    """A folder with inputs, and the real command in it."""

    def __init__(self, folder: Path, slim_file: Path) -> None:
        self.folder = folder
        self._env = {
            **{
                key: value
                for key, value in os.environ.items()
                if not key.startswith(("WANDB_", "SLURM_", "XDG_"))
            },
            **{"HOME": str(folder / "home"), "NETRC": str(folder / "none")},
            **{"WANDB_BASE_URL": "http://127.0.0.1:9", "OMP_NUM_THREADS": "1", "COLUMNS": "1000"},
        }
        (folder / "home").mkdir()
        make_picture((64, 48), seed=1).save(folder / "photo.png")
        make_picture((56, 60), seed=2).save(folder / "painting.png")
        shutil.copy(slim_file, folder / "slim.safetensors")

    def paint(
        self,
        variables: Mapping[str, str | None],
        *words: str,
        user: int | None = None,
        python: str = sys.executable,
        code: str = "",
        lines: int = 1,
    ) -> str:
        """Runs the command, which must succeed; returns what it said.

        Args:
            variables: None for those that are not set.
            words: further ones.
            user: whose process it is.
            python: the interpreter.
            code: runs before the command in its process.
            lines: those about W&B.
        """
        env = {**self._env, **variables}
        start = ["-m", "overpaint"]
        if code:
            start = ["-c", f"{code}\nfrom overpaint.cli import main\nmain()"]
        identity = {} if user is None else {"user": user, "group": user, "extra_groups": []}
        done = subprocess.run(
            [
                *(python, *start, "photo.png", "painting.png", "-o", "out.png"),
                *("encoder.name=vgg19_slim", "encoder.weights=slim.safetensors", "image.size=32"),
                *("schedule.steps=2", "trainer.accelerator=cpu", *words),
            ],
            cwd=self.folder,
            env={key: value for key, value in env.items() if value is not None},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
            **identity,  # type: ignore[call-overload]
        )
        said = done.stderr
        assert done.returncode == 0, said
        assert not done.stdout
        for never in ("Traceback", "goroutine", "panic", "wandb:"):
            assert never not in said
        for name in ("out.png", self.run / "result.png"):
            with Image.open(self.folder / name) as picture:
                assert picture.size == (32, 24)
        assert sum("W&B" in line for line in said.splitlines()) == lines, said
        return said

    @property
    def run(self) -> Path:
        """The folder of the one run."""
        (found,) = (self.folder / "runs").iterdir()
        return found

    @property
    def mode(self) -> str:
        """As the run wrote it down."""
        written = json.loads((self.run / "environment.json").read_text())["tracking"]
        assert isinstance(written, str)
        return written


@pytest.fixture
def place(tmp_path: Path, slim_file: Path) -> Place:
    return Place(tmp_path, slim_file)


@pytest.mark.parametrize("how", ["an error", "null", "silence"])
def test_a_server_that_is_not_wandb_costs_a_line(place: Place, how: str) -> None:
    with answering(how) as url:
        said = place.paint({"WANDB_BASE_URL": url, "WANDB_API_KEY": KEY})
    assert f"W&B: offline ({url} does not answer as W&B does: " in said
    assert place.mode == "offline"
    assert any("loss/total" in row for row in wandb_history(wandb_records(place.run)))


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"WANDB_MODE": "off"}, "W&B: offline (W&B refuses WANDB_MODE='off'"),
        ({"WANDB_API_KEY": f"{KEY}\n"}, "W&B: offline (W&B refuses WANDB_API_KEY: API key"),
        ({"WANDB_SERVICE": "3-1-unix-/nowhere"}, "W&B: offline (W&B refuses WANDB_SERVICE="),
        ({"WANDB_TAGS": "t" * 65}, "is 65 characters"),
        (
            {"WANDB_SILENT": "perhaps", "WANDB_CONSOLE": "loud", "WANDB_RESUME": "?"},
            "WANDB_RESUME='?'",
        ),
        ({"WANDB_DISABLED": "true"}, "W&B: disabled (WANDB_DISABLED=true)."),
    ],
)
def test_nonsense_in_the_environment_costs_a_line(
    place: Place, variables: Mapping[str, str], told: str
) -> None:
    said = place.paint(variables)
    assert told in said
    assert KEY not in said
    assert place.mode == ("disabled" if "WANDB_DISABLED" in variables else "offline")


@pytest.mark.parametrize("name", ["SLURM_PROCID", "LOCAL_RANK"])
def test_an_array_task_or_a_worker_of_a_job_logs_like_any_run(place: Place, name: str) -> None:
    place.paint({name: "1", "OMPI_COMM_WORLD_RANK": "1"})
    history = wandb_history(wandb_records(place.run))
    assert [row["trainer/global_step"] for row in history if "loss/total" in row] == [1, 2]


def test_a_home_that_takes_no_files_is_no_fault_of_the_run(place: Place) -> None:
    (place.folder / "file").touch()
    place.paint({"HOME": str(place.folder / "file")})
    assert place.mode == "offline"
    records = wandb_records(place.run)
    assert "artifact" in {record["type"] for record in records}
    assert (place.run / "wandb" / "home" / "data").is_dir()


DIES = """
import os, signal
from wandb.sdk import wandb_setup
from overpaint.tracking.wandb.run import WandbTracker

def log_inputs(self, *pictures):
    service = wandb_setup.singleton()._connection._proc._process
    os.kill(service.pid, signal.SIGKILL)
    service.wait()
    before(self, *pictures)

before, WandbTracker.log_inputs = WandbTracker.log_inputs, log_inputs
"""


def test_a_service_that_dies_during_the_run_costs_a_line(place: Place) -> None:
    said = place.paint({}, code=DIES, lines=2)
    assert "W&B failed (" in said or "W&B was not closed well (" in said
    assert len((place.run / "metrics.csv").read_text().splitlines()) == 3


FAILS = """
import pathlib
from overpaint.tracking.wandb.run import WandbTracker

def fail(self, *told):
    assert pathlib.Path("out.png").is_file()
    raise PermissionError("no room for staging")

WandbTracker.{method} = fail
"""


@pytest.mark.parametrize(
    ("method", "told"),
    [
        ("log_result", "W&B failed (no room for staging); the run goes on without it."),
        ("finish", "W&B was not closed well (no room for staging)."),
    ],
)
def test_the_result_and_its_copy_are_there_and_said_before_wandb_is_told(
    place: Place, method: str, told: str
) -> None:
    said = place.paint({}, code=FAILS.format(method=method), lines=2)
    lines = said.splitlines()
    assert lines[-1] == told
    assert lines[-2].startswith("Result: ")


@pytest.fixture
def open_place(slim_file: Path) -> Iterator[Place]:
    """A place that every user of the machine can write."""
    with tempfile.TemporaryDirectory() as name:
        place = Place(Path(name), slim_file)
        for path in (Path(name), *Path(name).rglob("*")):
            path.chmod(0o777 if path.is_dir() else 0o644)
        yield place


LIBRARIES = os.pathsep.join(
    [sysconfig.get_path("purelib"), str(Path(overpaint.__file__).parents[1])]
)


def interpreter_for(user: int) -> str | None:
    """One that another user reaches, with our libraries and this package: ours, or the system's."""
    system = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, system):
        try:
            done = subprocess.run(
                [python, "-c", "import torch, wandb, overpaint"],
                user=user,
                group=user,
                extra_groups=[],
                env={**os.environ, "PYTHONPATH": LIBRARIES},
                capture_output=True,
                check=False,
            )
        except OSError:
            continue
        if done.returncode == 0:
            return python
    return None


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user"
)
@pytest.mark.parametrize("home", [None, "read-only"])
def test_a_user_without_a_home_or_with_a_read_only_one_paints(
    open_place: Place, home: str | None
) -> None:
    # The checkout is root's, so it is read-only too.
    python = interpreter_for(NOBODY)
    if python is None:
        pytest.skip("another user reaches no interpreter, for example with ours in /root")
    (open_place.folder / "home").chmod(0o555)
    variables = {"HOME": home and str(open_place.folder / "home"), "PYTHONPATH": LIBRARIES}
    said = open_place.paint(variables, user=NOBODY, python=python)
    assert "W&B: offline (no API key" in said
    assert open_place.mode == "offline"
    assert not [*(open_place.folder / "home").iterdir()]
    assert not (open_place.folder / "~").exists()
