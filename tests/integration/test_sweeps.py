"""The sweeps of configs/sweeps, read and launched by W&B's own code, without its server."""

from __future__ import annotations

import itertools
import math
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import REPOSITORY, SWEEPS, wandb_runs
from PIL import Image
from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

from overpaint.settings.reading import load_config
from overpaint.settings.schema import PROJECT, Config
from overpaint.settings.writing import to_dict

KEYS = {"project", "name", "program", "method", "run_cap", "metric", "parameters"}
KEYS |= {"early_terminate", "command"}

each_sweep = pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where `wandb agent` is started."""
    monkeypatch.chdir(REPOSITORY)


def read(path: Path) -> dict[str, Any]:
    sweep = yaml.safe_load(path.read_text(encoding="utf-8"))  # as `wandb sweep` does
    assert isinstance(sweep, dict)
    return sweep


def tried(parameter: Mapping[str, Any]) -> list[Any]:
    """All values of a list; both ends and the middle of a range."""
    if "values" in parameter:
        return list(parameter["values"])
    low, high = parameter["min"], parameter["max"]
    return [low, math.sqrt(low * high), high]


def trials(sweep: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Each value of each parameter with each of the others."""
    parameters = sweep["parameters"]
    for values in itertools.product(*map(tried, parameters.values())):
        yield dict(zip(parameters, values, strict=True))


def arguments(values: Mapping[str, Any]) -> dict[str, Any]:
    """A trial as the server sends it."""
    return {key: {"value": value} for key, value in values.items()}


def absolute(name: str) -> str:
    """A picture of this repository, as a run writes it down."""
    return str(REPOSITORY / name)


def own_words(sweep: Mapping[str, Any]) -> list[str]:
    """The `key=value` words that the command itself holds."""
    return [word for word in sweep["command"] if "=" in word]


def setting(config: Config, key: str) -> Any:
    found: Any = to_dict(config)
    for name in key.split("."):
        found = found[name]
    return found


def test_the_readme_names_them_and_each_names_itself() -> None:
    assert [path.stem for path in SWEEPS] == ["layers", "learning_rate", "looks", "pictures"]
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    for path in SWEEPS:
        assert f"`{path.name}`" in readme
        assert f"configs/sweeps/{path.name}" in path.read_text(encoding="utf-8")


@each_sweep
def test_it_is_a_sweep_of_this_program(path: Path) -> None:
    sweep = read(path)
    assert sweep.keys() <= KEYS
    assert sweep["program"] == "scripts/stylize.py"
    assert sweep["project"] == PROJECT
    assert sweep["command"][:3] == ["${env}", "${interpreter}", "${program}"]
    assert sweep["command"][3:5] == ["--config", "configs/default.yaml"]
    assert sweep["command"][-1] == "${args_no_hyphens}"


@each_sweep
def test_its_ranges_are_of_numbers_and_its_values_fit_its_method(path: Path) -> None:
    sweep = read(path)
    for key, parameter in sweep["parameters"].items():
        if sweep["method"] == "grid":
            assert parameter.keys() == {"values"}
            assert len(set(parameter["values"])) == len(parameter["values"]), key
        else:
            assert parameter["distribution"] == "log_uniform_values"
            assert isinstance(parameter["min"], float), key  # YAML 1.1 takes 1e-4 for a text
            assert isinstance(parameter["max"], float), key
            assert 0 < parameter["min"] < parameter["max"]


@each_sweep
def test_every_trial_is_a_run_with_the_values_of_the_trial(path: Path) -> None:
    sweep = read(path)
    found = []
    for trial in trials(sweep):
        words = create_sweep_command_args({"args": arguments(trial)})["args_no_hyphens"]
        config = load_config("configs/default.yaml", [*own_words(sweep), *words])
        for key, value in trial.items():
            wanted = yaml.safe_load(value) if isinstance(value, str) else value
            assert setting(config, key) == wanted
        assert config.tracking.mode == "online"
        found.append(config)
    assert all(a != b for a, b in itertools.combinations(found, 2))


def test_the_layers_work_with_either_network_and_share_one_weight() -> None:
    sweep = read(REPOSITORY / "configs" / "sweeps" / "layers.yaml")
    assert "metric" not in sweep  # the losses of other layers are other losses
    assert "early_terminate" not in sweep
    for trial in trials(sweep):
        words = [f"{key}={value}" for key, value in trial.items()]
        config = load_config(overrides=["encoder.name=vgg19_slim", *words])
        assert sum(config.style.layers.values()) == pytest.approx(1, abs=1e-3)
        assert sum(config.content.layers.values()) == 1


def test_runs_are_stopped_after_the_steps_that_the_file_names() -> None:
    sweep = read(REPOSITORY / "configs" / "sweeps" / "learning_rate.yaml")
    assert sweep["metric"]["name"] == "loss/total"
    config = load_config("configs/default.yaml", own_words(sweep))
    steps, every = config.schedule.steps, config.tracking.log_every
    logged = [s for s in range(1, steps + 1) if s in (1, steps) or s % every == 0]
    rule = sweep["early_terminate"]
    bands = [rule["min_iter"] * rule["eta"] ** power for power in range(10)]
    assert [logged[band - 1] for band in bands if band <= len(logged)] == [20, 50, 110]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the commands are made for POSIX here")
def test_an_agent_runs_one_trial_of_each(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    photo: Path,
    painting: Path,
    slim_file: Path,
) -> None:
    from wandb.wandb_agent import Agent

    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep123")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # two processes at once
    for name in ("WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH"):
        monkeypatch.setenv(name, "")  # the agent sets them
    pictures = {"content.image": str(photo), "style.images": f"[{painting}]"}
    small = [
        *("encoder.name=vgg19_slim", f"encoder.weights={slim_file}", "image.size=32"),
        *("schedule.steps=2", "trainer.accelerator=cpu", "tracking.mode=offline"),
    ]
    launched = []
    for path in SWEEPS:
        sweep, trial = read(path), list(trials(read(path)))[-1]
        agent = Agent(None, None, sweep_id="sweep123")
        given = [f"{key}={value}" for key, value in pictures.items() if key not in trial]
        agent._sweep_command = [
            *(*sweep["command"], *small, *given),
            f"output.dir={tmp_path / path.stem}",
        ]
        run = f"run{path.stem.replace('_', '')}"
        agent._command_run({"run_id": run, "program": sweep["program"], "args": arguments(trial)})
        launched.append((path, trial, agent._run_processes[run]))

    for path, trial, process in launched:  # both at once, for they mostly import
        assert process.wait(timeout=120) == 0
        (folder,) = (tmp_path / path.stem).iterdir()
        with Image.open(folder / "result.png") as picture:
            assert max(picture.size) == 32
        written = load_config(folder / "config.yaml")
        for key, value in trial.items():
            wanted = yaml.safe_load(value) if isinstance(value, str) else value
            if key in pictures:
                names = wanted if isinstance(wanted, list) else [wanted]
                made = setting(written, key)
                assert made == ([*map(absolute, names)] if names is wanted else absolute(wanted))
            else:
                assert setting(written, key) == wanted
    # WANDB_DIR has the runs of both, in the order in which they were opened.
    records = next(
        records
        for records in wandb_runs(tmp_path)
        if any(record.get("run", {}).get("run_id") == run for record in records)
    )
    (record,) = (record["run"] for record in records if record["type"] == "run")
    assert (record["run_id"], record["sweep_id"]) == (run, "sweep123")
    assert record["config"]["update"].items() >= trial.items()
    history = [record["history"]["item"] for record in records if record["type"] == "history"]
    assert sum("loss/total" in item for item in history) == 2
