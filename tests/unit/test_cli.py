from __future__ import annotations

import logging
import math
import platform
import runpy
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

import overpaint.runs.stylize
import overpaint.tuning.series
import overpaint.tuning.tune
from overpaint.cli import keep_freed_memory, main, split_styles, tune_main
from overpaint.errors import (
    ConfigError,
    DivergedError,
    ImageError,
    TrackingError,
    WeightsError,
)
from overpaint.settings.reading import load_config
from overpaint.settings.schema import Config
from overpaint.tuning.search import Outcome
from overpaint.tuning.series import SeriesResult
from overpaint.tuning.tune import TuneResult

REPOSITORY = Path(__file__).resolve().parents[2]
DEFAULT = "configs/default.yaml"


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default settings name pictures relative to it."""
    monkeypatch.chdir(REPOSITORY)


@pytest.fixture
def no_vgg(tmp_path: Path) -> str:
    """A file that looks like weights by its name alone."""
    path = tmp_path / "garbage.safetensors"
    path.write_bytes(b"these are no weights")
    return str(path)


@pytest.fixture
def run_ends(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """Replaces the run by an outcome: an exception or a result."""

    def replace(outcome: BaseException | object) -> list[Any]:
        configs: list[Any] = []

        def stylize(config: Any, **options: object) -> object:
            configs.append(config)
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        monkeypatch.setattr(overpaint.runs.stylize, "stylize", stylize)
        return configs

    return replace


def test_bad_settings_exit_with_2_and_a_line_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(DEFAULT, ["style.wieght=1", "seed=-1"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(
        "error: style.wieght: unknown setting 'wieght'; did you mean 'weight'?"
    )
    assert lines[1].startswith("error: seed: -1 is out of range")


def test_a_missing_file_of_settings_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main("configs/nope.yaml") == 2
    assert "no such file: 'configs/nope.yaml'" in capsys.readouterr().err


@pytest.mark.parametrize("role", ["content.image", "style.images"])
@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\nbroken"])
def test_a_broken_picture_is_named_before_weights_are_read(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, no_vgg: str, role: str, content: bytes
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(content)
    values = {role: str(broken), "encoder.weights": no_vgg, "output.dir": str(tmp_path / "runs")}
    assert main(DEFAULT, ["trainer.accelerator=cpu"], values=values) == 2
    err = capsys.readouterr().err
    assert err.count("error:") == 1
    assert f"error: '{broken}': " in err
    assert "Traceback" not in err
    assert not (tmp_path / "runs").exists()


def test_a_picture_too_small_for_the_layers_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, no_vgg: str
) -> None:
    thin = tmp_path / "thin.png"
    Image.new("RGB", (400, 4)).save(thin)
    values = {"content.image": str(thin), "encoder.weights": no_vgg}
    assert main(DEFAULT, ["image.size=64", "trainer.accelerator=cpu"], values=values) == 2
    err = capsys.readouterr().err
    assert f"error: '{thin}': 400x4 becomes 64x1 pixels" in err
    assert "Traceback" not in err


def test_unreadable_weights_exit_with_2_and_leave_no_folder(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, no_vgg: str
) -> None:
    values = {"encoder.weights": no_vgg, "output.dir": str(tmp_path / "runs")}
    assert main(DEFAULT, ["image.size=32", "trainer.accelerator=cpu"], values=values) == 2
    err = capsys.readouterr().err
    assert f"error: '{no_vgg}' cannot be read as weights" in err
    assert "Traceback" not in err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConfigError("trainer.accelerator: none here"), 2),
        (ImageError("'a.png': none here"), 2),
        (WeightsError("'a.pth': none here"), 2),
        (DivergedError("the loss is nan: none here"), 1),
        (TrackingError("no connection: none here"), 1),
        (OSError(28, "none here"), 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_a_known_failure_is_one_line(
    run_ends: Callable[..., list[Any]],
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    status: int,
) -> None:
    run_ends(error)
    assert main(DEFAULT) == status
    assert capsys.readouterr().err == f"error: {error}\n"


def test_an_unforeseen_failure_shows_its_traceback(
    run_ends: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    run_ends(RuntimeError("a bug"))
    assert main(DEFAULT) == 1
    err = capsys.readouterr().err
    assert "error: this should not have happened" in err
    assert "Traceback" in err
    assert "RuntimeError: a bug" in err


def test_an_early_interrupt_exits_with_130(
    run_ends: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    run_ends(KeyboardInterrupt())
    assert main(DEFAULT) == 130
    err = capsys.readouterr().err
    assert err.startswith("Interrupted")
    assert "Traceback" not in err


def test_sigterm_exits_with_143_and_its_handler_is_given_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(
        overpaint.runs.stylize,
        "stylize",
        lambda *args, **options: signal.raise_signal(signal.SIGTERM),
    )
    assert main(DEFAULT) == 143
    assert capsys.readouterr().err.startswith("Interrupted")
    assert signal.getsignal(signal.SIGTERM) is handler


@pytest.mark.parametrize(("interrupted", "status"), [(False, 0), (True, 130)])
def test_the_status_tells_whether_the_run_was_interrupted(
    run_ends: Callable[..., list[Any]], interrupted: bool, status: int
) -> None:
    configs = run_ends(SimpleNamespace(interrupted=interrupted))
    assert main(DEFAULT, ["seed=5"], values={"image.size": 64}) == status
    assert configs == [load_config(DEFAULT, ["seed=5", "image.size=64"])]


def test_printed_settings_load_back_and_nothing_is_run(
    run_ends: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    configs = run_ends(AssertionError("ran"))
    overrides = ["optimizer.name=lbfgs", "style.layers={conv1_1: 1}"]
    assert main(DEFAULT, overrides, values={"seed": 3}, print_config=True) == 0
    out, err = capsys.readouterr()
    path = tmp_path / "printed.yaml"
    path.write_text(out, encoding="utf-8")
    config = load_config(path)
    assert config == load_config(DEFAULT, [*overrides, "seed=3"])
    assert (config.seed, config.optimizer.lr) == (3, 1.0)
    assert (configs, err) == ([], "")


def test_bad_settings_are_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(DEFAULT, ["seed=-1"], print_config=True) == 2
    assert capsys.readouterr().out == ""


def test_a_message_in_brackets_is_no_markup(
    run_ends: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    run_ends(ImageError("'[red]a[/red].png': no such file"))
    main(DEFAULT)
    assert "'[red]a[/red].png'" in capsys.readouterr().err


def test_a_long_message_stays_on_one_line(
    run_ends: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    run_ends(ImageError("word " * 100))
    main(DEFAULT)
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_running_twice_does_not_log_twice(
    run_ends: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    run_ends(ImageError("once"))
    main(DEFAULT)
    capsys.readouterr()
    main(DEFAULT)
    assert capsys.readouterr().err.count("once") == 1


@pytest.mark.parametrize(("level", "shown"), [("warning", False), ("DEBUG", True)])
def test_the_log_level_comes_from_the_environment(
    run_ends: Callable[..., list[Any]],
    capsys: pytest.CaptureFixture[str],
    level: str,
    shown: bool,
) -> None:
    run_ends(SimpleNamespace(interrupted=False))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEURAL_STYLE_LOG", level)
        assert main(DEFAULT) == 0
    logging.getLogger("overpaint.test").info("a remark")
    assert ("a remark" in capsys.readouterr().err) == shown


def test_an_unknown_log_level_is_no_crash(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEURAL_STYLE_LOG", "loud")
        assert main(DEFAULT, print_config=True) in (0, 2)
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "styles", "overrides"),
    [
        (None, None, []),
        ([], [], []),
        (["a.jpg", "b.png"], ["a.jpg", "b.png"], []),
        (["a.jpg", "seed=1"], ["a.jpg"], ["seed=1"]),
        (["seed=1", "a.jpg", "style.weight=2"], ["a.jpg"], ["seed=1", "style.weight=2"]),
        (["a.jpg", "style.layers.relu1_1=0.5"], ["a.jpg"], ["style.layers.relu1_1=0.5"]),
        (["a.jpg", "optimizer.sgd.momentum="], ["a.jpg"], ["optimizer.sgd.momentum="]),
        (["dir/x=1.jpg", "X=1.jpg"], ["dir/x=1.jpg", "X=1.jpg"], []),
    ],
)
def test_words_after_style_are_parted_into_files_and_settings(
    words: list[str] | None, styles: list[str] | None, overrides: list[str]
) -> None:
    assert split_styles(words) == (styles, overrides)


def test_a_file_whose_name_looks_like_a_setting_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("seed=1").touch()
    assert split_styles(["seed=1", "seed=2"]) == (["seed=1"], ["seed=2"])


def test_errors_of_the_settings_need_not_wait_for_pytorch() -> None:
    code = (
        "import sys; from overpaint.cli import main; "
        "status = main('configs/nope.yaml'); print(status, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "False"]


COUNT_FAULTS = """
import ctypes, resource, sys
from overpaint.cli import keep_freed_memory
if sys.argv[1] == "keep" and not keep_freed_memory():
    sys.exit(3)
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
for round in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = libc.malloc(64 << 20)
    ctypes.memset(block, 1, 64 << 20)
    libc.free(block)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has this setting")
def test_memory_that_is_freed_is_not_cleared_again() -> None:
    faults = []
    for word in ("keep", "return"):
        command = [sys.executable, "-c", COUNT_FAULTS, word]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 3:
            pytest.skip("this glibc refuses the setting")
        faults.append(int(done.stdout))
    kept, returned = faults
    assert kept < 0.1 * returned


def test_a_system_without_the_setting_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda name: SimpleNamespace())
    assert not keep_freed_memory()
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setattr("ctypes.CDLL", lambda name: pytest.fail("there is no C library to load"))
    assert not keep_freed_memory()


def test_an_older_glibc_is_not_left_half_set(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def mallopt(option: int, value: int) -> int:
        asked.append(option)
        return int(option != -3)  # refuses so great an mmap threshold

    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("ctypes.CDLL", lambda name: SimpleNamespace(mallopt=mallopt))
    assert not keep_freed_memory()
    assert asked == [-3]


def test_warnings_and_errors_stand_out_on_a_terminal(
    run_ends: Callable[..., list[Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Warns(WeightsError):
        def __str__(self) -> str:
            logging.getLogger("overpaint.encoder.choosing").info("plain")
            logging.getLogger("overpaint.encoder.choosing").warning("careful")
            return "no weights"

    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    run_ends(Warns())
    assert main(DEFAULT) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["plain", "\x1b[1;33mcareful\x1b[0m", "\x1b[1;31merror: no weights\x1b[0m"]


CALM = Outcome(0.0123, (4.0, 2.0, 1.004, 1.0, 1.0), (3.14159, 1.0, 1.0, 1.0), 0.0123)
LEAST = Outcome(0.05, (4.0, 2.0, 1.0, 1.0, 1.0), (12.75, 1.0, 1.0, 1.0))
WILD = Outcome(0.3, (4.0, 9.0, 0.5, 0.5, 0.5), (76.5, 1.0, 1.0, 1.0), 0.9, saturated=True)
LOST = Outcome(0.9, (4.0, math.inf, math.nan, math.nan, math.nan), (math.nan,) * 4)


@pytest.fixture
def search_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., list[Config]]:
    """Replaces search and study by an exception, or by made-up results."""

    def arrange(error: BaseException | None = None) -> list[Config]:
        configs: list[Config] = []

        def tune(config: Config) -> TuneResult:
            configs.append(config)
            if error is not None:
                raise error
            rounds = ((CALM, LEAST, WILD, LOST), (CALM, LEAST))
            found = replace(config, optimizer=replace(config.optimizer, lr=CALM.rate))
            return TuneResult(found, CALM, rounds, 24, tmp_path / "found", 1.5)

        def compare_rates(config: Config) -> SeriesResult:
            configs.append(config)
            return SeriesResult({"one way": [CALM], "another": [LOST]}, tmp_path / "found", 1.5)

        monkeypatch.setattr(overpaint.tuning.tune, "tune", tune)
        monkeypatch.setattr(overpaint.tuning.series, "compare_rates", compare_rates)
        return configs

    return arrange


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["tune.lowest=0.3", "tune.highest=0.1"],
            "tune.lowest: 0.3 must be below tune.highest, 0.1.",
        ),
        (["tune.candidates=0"], "tune.candidates: 0 is out of range; allowed: 2 or more."),
        (["tune.candidate=3"], "tune.candidate: unknown setting 'candidate'; did you mean"),
        (["tune.size=9"], "tune.size: 9 is too small; layers up to relu5_1 need at least 16"),
        (["content.image=nope.jpg"], "content.image: no such file: 'nope.jpg'"),
    ],
)
def test_bad_settings_of_a_search_are_one_line(
    search_ends: Callable[..., list[Config]],
    capsys: pytest.CaptureFixture[str],
    overrides: list[str],
    message: str,
) -> None:
    configs = search_ends()
    assert tune_main(DEFAULT, overrides) == 2
    out, err = capsys.readouterr()
    assert err.startswith(f"error: {message}")
    assert (err.count("\n"), out, configs) == (1, "", [])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mine.txt", "must end in .yaml or .yml."),
        ("mine", "must end in .yaml or .yml."),
        ("taken.yaml", "exists; name a new file."),
        ("folder.yaml", "exists; name a new file."),
        ("nowhere/mine.yaml", "make it first."),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_before_the_search(
    search_ends: Callable[..., list[Config]],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    name: str,
    message: str,
) -> None:
    (tmp_path / "taken.yaml").write_text("seed: 3")
    (tmp_path / "folder.yaml").mkdir()
    configs = search_ends()
    assert tune_main(DEFAULT, write=str(tmp_path / name)) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: --write: ")
    assert err.endswith(f"{message}\n")
    assert (err.count("\n"), configs) == (1, [])
    assert (tmp_path / "taken.yaml").read_text() == "seed: 3"


def test_a_study_has_no_rate_to_write(
    search_ends: Callable[..., list[Config]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    configs = search_ends()
    path = tmp_path / "mine.yaml"
    assert tune_main(DEFAULT, write=str(path), study=True) == 2
    assert capsys.readouterr().err.startswith("error: --write: ")
    assert configs == []
    assert not path.exists()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConfigError("tune: no rates between 5 and 1"), 2),
        (ImageError("'a.png': none here"), 2),
        (DivergedError("No rate from 1 to 2 gives a picture"), 1),
        (TrackingError("no connection"), 1),
        (OSError(28, "none here"), 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_a_known_failure_of_a_search_is_one_line(
    search_ends: Callable[..., list[Config]],
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    status: int,
) -> None:
    search_ends(error)
    assert tune_main(DEFAULT) == status
    assert capsys.readouterr() == ("", f"error: {error}\n")


def test_an_interrupted_search_exits_with_130_and_writes_nothing(
    search_ends: Callable[..., list[Config]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    search_ends(KeyboardInterrupt())
    path = tmp_path / "mine.yaml"
    assert tune_main(DEFAULT, write=str(path)) == 130
    assert capsys.readouterr() == ("", "Interrupted.\n")
    assert not path.exists()


def test_gradient_descent_needs_no_rate_to_look_for_one(
    search_ends: Callable[..., list[Config]],
) -> None:
    configs = search_ends()
    assert tune_main(DEFAULT, ["optimizer.name=sgd", "seed=5"], values={"image.size": 64}) == 0
    (config,) = configs
    expected = load_config(
        DEFAULT,
        ["optimizer.name=sgd", "seed=5", "image.size=64"],
        values={"optimizer.lr": config.optimizer.lr},
    )
    assert config == expected


def printed_command(out: str) -> list[str]:
    words = shlex.split(out.splitlines()[-1])
    assert words[:2] == ["python", "scripts/stylize.py"]
    return words[1:]


@pytest.mark.parametrize(
    ("overrides", "names"),
    [
        ([], {}),
        (["optimizer.name=sgd", "optimizer.lr=7", "tune.candidates=4", "seed=3"], {}),
        (["style.layers={conv1_1: 1, relu3_1: 0.5}", "tracking.notes='a b: $HOME'"], {}),
        (["style.weight=3"], {"content.image": ["photo.png"]}),
        (["style.weight=3", "seed=1"], {"style.images": ["one.png", "two.png"]}),
        (
            ["seed=1"],
            {
                "content.image": ["my photo, [1] ${x} 'a'.png"],
                "style.images": ["a, b.png", "c=d: #e.png", "null"],
            },
        ),
    ],
    ids=["nothing", "a rate", "layers", "a photo", "paintings", "odd names"],
)
def test_the_last_line_is_a_command_that_gives_the_rate_found(
    search_ends: Callable[..., list[Config]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    overrides: list[str],
    names: dict[str, list[str]],
) -> None:
    values: dict[str, Any] = {}
    for key, files in names.items():
        paths = [str(tmp_path / name) for name in files]
        for path in paths:
            Path(path).touch()
        values[key] = paths if key == "style.images" else paths[0]
    search_ends()
    assert tune_main(DEFAULT, overrides, values=values) == 0
    words = printed_command(capsys.readouterr().out)
    assert not any(word.startswith("tune.") for word in words)
    assert [word for word in words if word.startswith("optimizer.lr")] == ["optimizer.lr=0.0123"]

    monkeypatch.setattr("sys.argv", [*words, "--print-config"])
    with pytest.raises(SystemExit) as left:
        runpy.run_path(words[0], run_name="__main__")
    assert left.value.code == 0
    printed = tmp_path / "printed.yaml"
    printed.write_text(capsys.readouterr().out, encoding="utf-8")
    given = [word for word in overrides if not word.startswith("tune.")]
    assert load_config(printed) == load_config(
        DEFAULT, given, values={**values, "optimizer.lr": CALM.rate}
    )


def test_the_settings_found_are_written_as_a_file_that_loads(
    search_ends: Callable[..., list[Config]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "my settings.yaml"
    search_ends()
    overrides = ["style.layers={conv1_1: 1}", "style.weight=3", "seed=4"]
    assert tune_main("configs/paper.yaml", overrides, write=str(path)) == 0
    assert f"Written: {path}" in capsys.readouterr().err
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert "adam" not in text, "the default is not repeated"
    expected = load_config("configs/paper.yaml", [*overrides, f"optimizer.lr={CALM.rate}"])
    assert load_config(path) == expected


def test_tables_show_what_each_rate_did(
    search_ends: Callable[..., list[Config]], capsys: pytest.CaptureFixture[str]
) -> None:
    search_ends()
    assert tune_main(DEFAULT) == 0
    out, err = capsys.readouterr()
    first, _, last = out.partition("Round 2: 4 steps at 24 px")
    assert first.startswith("Round 1: 4 steps at 24 px")
    rows = {line.split()[0]: line for line in first.splitlines() if line.strip()[:1].isdigit()}
    assert list(rows) == ["0.0123", "0.05", "0.3", "0.9"]
    assert rows["0.0123"].split() == ["0.0123", "3.1", "1.001", "1.2%", "chosen"]
    assert rows["0.05"].split() == ["0.05", "13", "1", "0.0%"]
    assert rows["0.3"].split()[1:] == ["76", "0.5", "90.0%", "saturated,", "least", "loss"]
    assert rows["0.9"].split()[-1] == "diverged"
    assert sum("chosen" in line for line in last.splitlines()) == 1
    assert "found (2 s)" in err


def test_a_study_shows_its_tables_and_chooses_none(
    search_ends: Callable[..., list[Config]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    configs = search_ends()
    assert tune_main(DEFAULT, ["seed=5"], study=True) == 0
    out, err = capsys.readouterr()
    assert configs[0].seed == 5
    assert "one way" in out
    assert "another" in out
    assert "chosen" not in out
    assert "scripts/stylize.py" not in out
    assert str(tmp_path / "found") in err


def test_errors_of_a_search_s_settings_need_not_wait_for_pytorch() -> None:
    code = (
        "import sys; from overpaint.cli import tune_main; "
        "status = tune_main('configs/default.yaml', ['tune.steps=0'], write='a.txt'); "
        "print(status, 'torch' in sys.modules, 'matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "False", "False"]
