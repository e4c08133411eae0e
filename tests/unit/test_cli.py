from __future__ import annotations

import shlex
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
from overpaint.cli import run
from overpaint.errors import DivergedError
from overpaint.settings.reading import load_config
from overpaint.settings.schema import Config
from overpaint.tuning.search import Trial
from overpaint.tuning.series import SeriesResult
from overpaint.tuning.tune import TuneResult
from overpaint.version import __version__

Ends = Callable[..., list[Config]]
Capture = pytest.CaptureFixture[str]

FOUND = Trial(0.0123, (4.0, 2.0, 1.0), (3.1, 1.0))


pytestmark = pytest.mark.usefixtures("untuned")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the `overpaint` of an installed package is started."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["/usr/bin/overpaint"])


@pytest.fixture
def run_ends(monkeypatch: pytest.MonkeyPatch) -> Ends:
    """Replaces the run by an outcome: an exception or a result."""

    def arrange(outcome: object = None) -> list[Config]:
        configs: list[Config] = []

        def stylize(config: Config, **options: object) -> object:
            configs.append(config)
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome or SimpleNamespace(interrupted=False)

        monkeypatch.setattr(overpaint.runs.stylize, "stylize", stylize)
        return configs

    return arrange


@pytest.fixture
def search_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ends:
    """Replaces search and study by an exception, or by made-up results."""

    def arrange(error: BaseException | None = None) -> list[Config]:
        configs: list[Config] = []

        def tune(config: Config) -> TuneResult:
            configs.append(config)
            if error is not None:
                raise error
            found = replace(config, optimizer=replace(config.optimizer, lr=FOUND.rate))
            return TuneResult(found, FOUND, ((FOUND,), (FOUND,)), 24, tmp_path / "found", 1.5)

        def compare_rates(config: Config) -> SeriesResult:
            configs.append(config)
            return SeriesResult({"one way": [FOUND]}, tmp_path / "found", 1.5)

        monkeypatch.setattr(overpaint.tuning.tune, "tune", tune)
        monkeypatch.setattr(overpaint.tuning.series, "compare_rates", compare_rates)
        return configs

    return arrange


def test_without_a_word_the_samples_are_painted_with_the_defaults(run_ends: Ends) -> None:
    configs = run_ends()
    assert run([]) == 0
    assert configs == [load_config()]
    assert Path(configs[0].content.image).is_file()


@pytest.mark.parametrize(
    "words",
    [
        "p.png a.png -o r.png seed=5",
        "-o r.png seed=5 p.png a.png",
        "p.png -o r.png a.png seed=5",
        "p.png seed=5 a.png --output r.png",
        "stylize p.png a.png -o r.png seed=5",
        "--content p.png --style a.png --output r.png seed=5",
        "--style a.png seed=5 --content p.png --output=r.png",
        "content.image=p.png style.images=[a.png] output.copy=r.png seed=5",
    ],
)
def test_one_thing_can_be_said_in_several_ways(run_ends: Ends, words: str) -> None:
    for name in ("p.png", "a.png"):
        Path(name).touch()
    configs = run_ends()
    assert run(words.split()) == 0
    defaults = load_config()
    expected = replace(
        defaults,
        seed=5,
        content=replace(defaults.content, image="p.png"),
        style=replace(defaults.style, images=("a.png",)),
        output=replace(defaults.output, copy="r.png"),
    )
    assert configs == [expected]


@pytest.mark.parametrize(
    "words", ["p.png a.png b.png", "--style a.png --style b.png", "p.png --style a.png b.png"]
)
def test_there_may_be_several_paintings(run_ends: Ends, words: str) -> None:
    for name in ("p.png", "a.png", "b.png"):
        Path(name).touch()
    configs = run_ends()
    assert run(words.split()) == 0
    assert configs[0].style.images == ("a.png", "b.png")


@pytest.mark.parametrize("words", [["tune-lr", "seed=5"], ["seed=5"]])
def test_the_first_word_or_the_script_names_what_to_do(
    run_ends: Ends, search_ends: Ends, words: list[str]
) -> None:
    runs, searches = run_ends(), search_ends()
    assert run(words, task=None if "tune-lr" in words else "tune-lr") == 0
    assert (len(runs), [config.seed for config in searches]) == (0, [5])


def test_a_photo_called_like_a_command_needs_its_folder(run_ends: Ends, search_ends: Ends) -> None:
    Path("tune-lr").touch()
    runs, searches = run_ends(), search_ends()
    assert run(["./tune-lr"]) == 0
    assert [config.content.image for config in runs] == ["./tune-lr"]
    assert searches == []


@pytest.mark.parametrize(("interrupted", "status"), [(False, 0), (True, 130)])
def test_the_status_tells_whether_the_run_was_interrupted(
    run_ends: Ends, interrupted: bool, status: int
) -> None:
    run_ends(SimpleNamespace(interrupted=interrupted))
    assert run([]) == status


@pytest.mark.parametrize("task", ["stylize", "tune-lr"])
def test_bad_settings_exit_with_2_and_a_line_for_each(
    run_ends: Ends, search_ends: Ends, capsys: Capture, task: str
) -> None:
    configs, more = run_ends(), search_ends()
    assert run([task, "style.wieght=1", "seed=-1", "--content", "nope.jpg"]) == 2
    out, err = capsys.readouterr()
    assert (out, configs, more) == ("", [], [])
    starts = [
        "error: style.wieght: unknown setting 'wieght'; did you mean 'weight'?",
        "error: seed: -1 is out of range",
        "error: content.image: no such file: 'nope.jpg'",
    ]
    for line, start in zip(err.splitlines(), starts, strict=True):
        assert line.startswith(start)


@pytest.mark.parametrize("words", [["tunelr"], ["p.png", "style.weight", "3"], ["nope.jpg"]])
def test_a_word_that_is_nothing_exits_with_2_and_one_line(
    capsys: Capture, words: list[str]
) -> None:
    Path("p.png").touch()
    assert run(words) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("error: ")
    assert any(f"'{word}'" in err for word in words)


def test_an_unknown_option_exits_with_2_and_says_how_to_use_the_command(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as left:
        run(["--ouput", "r.png"])
    assert left.value.code == 2
    usage, message = capsys.readouterr().err.splitlines()
    assert usage.startswith("usage: overpaint [PHOTO [PAINTING ...]] ")
    assert message == "overpaint: error: unknown option --ouput; did you mean --output?"


@pytest.mark.parametrize("role", ["--content", "--style"])
def test_a_broken_picture_is_named_before_weights_are_read(capsys: Capture, role: str) -> None:
    Path("broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    Path("weights.safetensors").write_bytes(b"these are no weights")
    words = [role, "broken.png", "encoder.weights=weights.safetensors", "trainer.accelerator=cpu"]
    assert run(words) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: 'broken.png': ")
    assert err.count("\n") == 1
    assert not Path("runs").exists()


def test_unreadable_weights_exit_with_2_and_leave_no_folder(capsys: Capture) -> None:
    Path("weights.safetensors").write_bytes(b"these are no weights")
    words = ["image.size=32", "encoder.weights=weights.safetensors", "trainer.accelerator=cpu"]
    assert run(words) == 2
    err = capsys.readouterr().err
    assert err.splitlines()[-1].startswith("error: 'weights.safetensors' cannot be read as weights")
    assert "Traceback" not in err
    assert not Path("runs").exists()


def test_a_picture_too_small_for_the_layers_is_named(capsys: Capture) -> None:
    Image.new("RGB", (400, 4)).save("thin.png")
    assert run(["thin.png", "image.size=64", "trainer.accelerator=cpu"]) == 2
    assert "error: 'thin.png': 400x4 becomes 64x1 pixels" in capsys.readouterr().err


def test_printed_settings_load_back_and_nothing_is_run(run_ends: Ends, capsys: Capture) -> None:
    configs = run_ends()
    words = ["optimizer.name=lbfgs", "style.layers={conv1_1: 1}", "seed=3"]
    assert run(["--config", "paper", *words, "--print-config"]) == 0
    out, err = capsys.readouterr()
    Path("printed.yaml").write_text(out, encoding="utf-8")
    config = load_config("printed.yaml")
    assert config == load_config("paper", words)
    assert (config.seed, config.style.layers) == (3, {"conv1_1": 1.0})
    assert (configs, err) == ([], "")


@pytest.mark.parametrize("task", ["stylize", "tune-lr"])
def test_help_names_the_command_as_it_was_started(capsys: Capture, task: str) -> None:
    with pytest.raises(SystemExit) as left:
        run([task, "--help"])
    assert left.value.code == 0
    out = capsys.readouterr().out
    start = "overpaint" if task == "stylize" else "overpaint tune-lr"
    assert out.startswith(f"usage: {start} [PHOTO [PAINTING ...]] ")
    assert f"\n  {start} me.jpg painting.jpg" in out
    assert "python" not in out
    assert max(map(len, out.splitlines())) <= 100


def test_the_version_is_the_package_s(capsys: Capture) -> None:
    with pytest.raises(SystemExit):
        run(["--version"])
    assert capsys.readouterr().out == f"overpaint {__version__}\n"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mine.txt", "must end in .yaml or .yml."),
        ("taken.yaml", "exists; name a new file."),
        ("nowhere/mine.yaml", "make it first."),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_before_the_search(
    search_ends: Ends, capsys: Capture, name: str, message: str
) -> None:
    Path("taken.yaml").write_text("seed: 3")
    configs = search_ends()
    assert run(["tune-lr", "--write", name]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: --write: ")
    assert err.endswith(f"{message}\n")
    assert (err.count("\n"), configs) == (1, [])
    assert Path("taken.yaml").read_text() == "seed: 3"


def test_a_study_has_no_rate_to_write(search_ends: Ends, capsys: Capture) -> None:
    configs = search_ends()
    with pytest.raises(SystemExit) as left:
        run(["tune-lr", "--write", "mine.yaml", "--study"])
    assert (left.value.code, configs) == (2, [])
    assert "--study: not allowed with argument --write" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (DivergedError("No rate"), 1, "error: No rate\n"),
        (KeyboardInterrupt(), 130, "Interrupted.\n"),
    ],
    ids=["diverged", "interrupted"],
)
def test_a_search_that_ends_early_writes_nothing(
    search_ends: Ends, capsys: Capture, error: BaseException, status: int, message: str
) -> None:
    search_ends(error)
    assert run(["tune-lr", "--write", "mine.yaml"]) == status
    assert capsys.readouterr() == ("", message)
    assert not Path("mine.yaml").exists()


def test_gradient_descent_needs_no_rate_to_look_for_one(search_ends: Ends) -> None:
    configs = search_ends()
    assert run(["tune-lr", "optimizer.name=sgd", "seed=5"]) == 0
    assert [(config.optimizer.name, config.seed) for config in configs] == [("sgd", 5)]


ODD = ["my photo, [1] ${x} 'a'.png", "a, b.png", "c=d: #e.png", "null"]


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ([], {}),
        (["optimizer.name=sgd", "optimizer.lr=7", "tune.candidates=4", "--config", "paper"], {}),
        (["style.layers={conv1_1: 1, relu3_1: 0.5}", "tracking.notes='a b: $HOME'"], {}),
        (ODD, {"content.image": ODD[0], "style.images": ODD[1:]}),
    ],
    ids=["nothing", "a rate", "layers", "odd names"],
)
def test_the_last_line_is_a_command_that_gives_the_rate_found(
    search_ends: Ends, run_ends: Ends, capsys: Capture, words: list[str], given: dict[str, Any]
) -> None:
    for name in ODD:
        Path(name).touch()
    search_ends()
    configs = run_ends()
    assert run(["tune-lr", *words]) == 0
    program, *printed = shlex.split(capsys.readouterr().out.splitlines()[-1])
    assert program == "overpaint"
    assert not any(word.startswith("tune.") for word in printed)
    assert [word for word in printed if word.startswith("optimizer.lr")] == ["optimizer.lr=0.0123"]
    assert run(printed) == 0
    settings = [word for word in words if "." in word.partition("=")[0] and word not in ODD]
    preset = "paper" if "paper" in words else None
    kept = [word for word in settings if not word.startswith("tune.")]
    assert configs == [load_config(preset, kept, values={**given, "optimizer.lr": FOUND.rate})]


def test_the_settings_found_are_written_as_a_file_that_loads(
    search_ends: Ends, capsys: Capture
) -> None:
    search_ends()
    words = ["style.layers={conv1_1: 1}", "style.weight=3", "seed=4"]
    assert run(["tune-lr", "--config", "paper", *words, "--write", "my settings.yaml"]) == 0
    assert "Written: my settings.yaml" in capsys.readouterr().err
    text = Path("my settings.yaml").read_text(encoding="utf-8")
    assert "\n# Launch:  overpaint --config 'my settings.yaml'\n" in text
    assert "adam" not in text, "the default is not repeated"
    expected = load_config("paper", [*words, f"optimizer.lr={FOUND.rate}"])
    assert load_config("my settings.yaml") == expected


def test_a_search_shows_its_rounds_and_where_more_is(search_ends: Ends, capsys: Capture) -> None:
    search_ends()
    assert run(["tune-lr"]) == 0
    out, err = capsys.readouterr()
    assert out.index("Round 1: 2 steps at 24 px") < out.index("Round 2: 2 steps at 24 px")
    assert out.count("0.0123") == 3  # two rounds and the command
    assert "found (2 s)" in err


def test_a_study_shows_its_tables_and_no_command(search_ends: Ends, capsys: Capture) -> None:
    configs = search_ends()
    assert run(["tune-lr", "--study", "seed=5"]) == 0
    out, err = capsys.readouterr()
    assert configs[0].seed == 5
    assert "one way" in out
    assert "overpaint" not in out
    assert str(Path("found").absolute()) in err


FAULTS = """
import sys
from overpaint.cli import run
status = [run(["--config", "nope.yaml"]), run(["tune-lr", "--write", "a.txt"])]
print(status, [name for name in ("torch", "matplotlib") if name in sys.modules])
"""


def test_errors_of_the_settings_need_not_wait_for_pytorch() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[2, 2] []\n"
