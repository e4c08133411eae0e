"""The command before all kinds of terminals, pipes and encodings, and before none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY
from PIL import Image

from overpaint.settings.reading import load_config
from overpaint.settings.schema import Config
from overpaint.settings.writing import to_yaml

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes and signals of POSIX")

MakeConfig = Callable[..., Config]
STARTS = {
    "module": [sys.executable, "-m", "overpaint"],
    "script": [sys.executable, str(REPOSITORY / "scripts" / "stylize.py")],
    "entry point": [sys.executable, "-c", "from overpaint.__main__ import main; main()"],
}

# Opens a terminal as one's own before it becomes the command, as a login shell does.
ON_A_TERMINAL = (
    "import fcntl, os, sys, termios\n"
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)


def shell(
    line: str, words: Sequence[str], *, cwd: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Runs a line of bash in which "$@" is the command; its status is printed last."""
    return subprocess.run(
        ["bash", "-c", line, "bash", *words],
        cwd=cwd,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
@pytest.mark.parametrize("words", [["--print-config"], ["--help"], ["--version"]], ids=" ".join)
@pytest.mark.parametrize(
    "line",
    ['"$@" | true; echo ${PIPESTATUS[0]}', '"$@" >&-; echo $?', '"$@" <&- >&- 2>&-; echo $?'],
    ids=["nobody reads", "closed", "all closed"],
)
def test_an_answer_that_nobody_reads_is_no_fault(
    tmp_path: Path, line: str, words: list[str], start: list[str]
) -> None:
    done = shell(line, [*start, *words], cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("0\n", "")


@pytest.mark.parametrize(
    "line", ['"$@" 2>&1 | true; echo ${PIPESTATUS[0]}', '"$@" 2>&-; echo $?'], ids=["pipe", "none"]
)
def test_a_refusal_that_nobody_reads_keeps_its_status(tmp_path: Path, line: str) -> None:
    done = shell(line, [*STARTS["module"], "seed=-1"], cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("2\n", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a disk that is always full")
def test_settings_that_do_not_fit_on_the_disk_are_a_failure(tmp_path: Path) -> None:
    done = shell('"$@" > /dev/full; echo $?', [*STARTS["module"], "--print-config"], cwd=tmp_path)
    assert done.stdout == "1\n"
    assert "'standard output': cannot be written (No space left" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "variables",
    [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
    ids=["ascii", "C locale"],
)
def test_settings_in_an_encoding_without_their_characters_are_read_back_the_same(
    make_config: MakeConfig, tmp_path: Path, variables: dict[str, str]
) -> None:
    file = tmp_path / "given.yaml"
    config = make_config(tracking__notes="Schöne Grüße: 緑 # 1", tracking__name="1e3")
    file.write_text(to_yaml(config), encoding="utf-8")
    words = [*STARTS["module"], "--config", str(file), "--print-config"]
    done = shell('"$@"', words, cwd=tmp_path, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    printed = tmp_path / "printed.yaml"
    printed.write_text(done.stdout, encoding="ascii")
    assert load_config(printed) == config


def words_of_a_run(config: Config, folder: Path) -> list[str]:
    settings = folder / "settings.yaml"
    settings.write_text(to_yaml(config), encoding="utf-8")
    return ["--config", str(settings)]


def picture_of(config: Config) -> Image.Image:
    """The result of the one run in its folder, which has nothing half written in it."""
    (folder,) = Path(config.output.dir).iterdir()
    assert not [path for path in folder.rglob("*") if path.name.startswith(".")]
    with Image.open(folder / "result.png") as picture:
        picture.load()
        return picture


@pytest.fixture
def make_run(make_config: MakeConfig, slim_file: Path) -> MakeConfig:
    """A run of the smallest network."""
    network = ("encoder.name=vgg19_slim", f"encoder.weights={slim_file}")
    return lambda *overrides: make_config(*network, *overrides)


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    [
        '"$@" 2>&-; echo $?',
        '"$@" <&- >&- 2>&-; echo $?',
        '"$@" 2>&1 | true; echo ${PIPESTATUS[0]}',
        '"$@" 2>&1 | head -1 > /dev/null; echo ${PIPESTATUS[0]}',
        '"$@" 2> /dev/full; echo $?',
    ],
)
@pytest.mark.parametrize("tracking", ["disabled", "offline"])
def test_a_run_that_nobody_listens_to_makes_its_picture(
    make_run: MakeConfig, tmp_path: Path, line: str, tracking: str
) -> None:
    config = make_run(f"tracking.mode={tracking}")
    done = shell(line, [*STARTS["module"], *words_of_a_run(config, tmp_path)], cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("0\n", "")
    assert picture_of(config).size == (32, 24)


@pytest.mark.slow
def test_log_lines_in_an_encoding_without_their_characters(
    make_run: MakeConfig, tmp_path: Path
) -> None:
    config = make_run(f"output.dir={tmp_path / 'été_緑'}")
    words = [*STARTS["module"], *words_of_a_run(config, tmp_path)]
    done = shell('"$@"', words, cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "\\xe9t\\xe9_\\u7dd1" in done.stderr
    assert picture_of(config).size == (32, 24)


def started(words: list[str], **options: Any) -> subprocess.Popen[str]:
    """A run in a process group of its own, as a shell starts it."""
    return subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        **options,
    )


@pytest.mark.slow
def test_ctrl_c_that_ends_tee_as_well_keeps_the_picture(
    make_run: MakeConfig, tmp_path: Path
) -> None:
    config = make_run("schedule.steps=100000")
    words = [*STARTS["module"], *words_of_a_run(config, tmp_path)]
    with started(words, cwd=tmp_path, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert any(line.startswith("step 1/") for line in process.stderr)
        process.stderr.close()  # tee has gone first
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=120) == 130
    assert picture_of(config).size == (32, 24)


@pytest.mark.slow
def test_a_terminal_that_is_closed_costs_neither_picture_nor_status(
    make_run: MakeConfig, tmp_path: Path
) -> None:
    config = make_run("schedule.steps=200")
    words = [sys.executable, "-c", ON_A_TERMINAL, "-m", "overpaint"]
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [*words, *words_of_a_run(config, tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    try:
        os.close(theirs)
        seen = b""
        while b"steps/s" not in seen:  # the bar is being drawn
            seen += os.read(ours, 4096)
        os.close(ours)  # SIGHUP, and EIO from then on
        assert process.wait(timeout=120) == 0
    finally:
        process.kill()
        process.wait()
    assert picture_of(config).size == (32, 24)
