from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from conftest import SWEEPS

from overpaint.errors import ConfigError
from overpaint.sweeps.reading import Hyperband, Metric, Sweep, read_sweep

SMALL = "method: grid\nparameters:\n  style.weight: {values: [1, 2]}\n"


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_the_sweeps_that_are_shipped_are_read(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    sweep, given = read_sweep(text, "none"), yaml.safe_load(text)
    assert sweep.name == given["name"]
    assert sweep.method == given["method"]
    assert list(sweep.space) == sorted(given["parameters"])
    assert sweep.run_cap == given.get("run_cap")
    assert sweep.preset == "configs/default.yaml"
    assert sweep.words == tuple(word for word in given["command"] if "=" in word)


def test_the_sweep_of_rates_has_its_metric_and_its_bands() -> None:
    (path,) = [path for path in SWEEPS if path.stem == "learning_rate"]
    sweep = read_sweep(path.read_text(encoding="utf-8"), "")
    assert sweep.metric == Metric("loss/total")
    assert sweep.metric.loss == "total"
    assert sweep.early_terminate == Hyperband(3, 2)
    assert "schedule.steps=120" in sweep.words


def test_a_file_needs_a_method_and_parameters_alone() -> None:
    sweep = read_sweep(SMALL, "file")
    assert (sweep.name, sweep.method, list(sweep.space)) == ("file", "grid", ["style.weight"])
    assert (sweep.words, sweep.preset, sweep.metric, sweep.run_cap) == ((), None, None, None)


def test_parameters_inside_a_parameter_are_those_of_a_section() -> None:
    sweep = read_sweep(
        """
method: random
parameters:
  optimizer:
    parameters:
      lr: {min: 0.1, max: 0.2}
      adam: {parameters: {beta1: {value: 0.8}}}
  seed: {values: [1, 2]}
""",
        "",
    )
    assert list(sweep.space) == ["optimizer.adam.beta1", "optimizer.lr", "seed"]


def test_a_command_gives_its_settings_and_is_not_run() -> None:
    command = "[rm, -rf, '${program}', --config=mine.yaml, a.b=1=2, --lr=3, '${args}', x=]"
    sweep = read_sweep(f"{SMALL}command: {command}\n", "")
    assert sweep.words == ("a.b=1=2", "x=")
    assert sweep.preset == "mine.yaml"


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("{type: hyperband, min_iter: 4}", Hyperband(4, 3)),
        ("{type: hyperband, min_iter: 4, eta: 2, strict: true}", Hyperband(4, 2)),
        ("{type: hyperband, max_iter: 27, s: 2}", Hyperband(3, 3, 27)),
        ("{type: hyperband, max_iter: 5, s: 4, eta: 2}", Hyperband(1, 2, 5)),
    ],
)
def test_a_rule_for_an_early_end_has_either_form_of_wandb(rule: str, expected: Hyperband) -> None:
    sweep = read_sweep(f"{SMALL}metric: {{name: final/total}}\nearly_terminate: {rule}\n", "")
    assert sweep.early_terminate == expected


def refused(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        read_sweep(text, "")
    return caught.value.problems


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds no sweep"),
        ("- 1", "holds no sweep"),
        ("method: [", "no valid YAML"),
        ("method: !!python/object:os.system {}", "no valid YAML"),
        (
            f"{SMALL}paramters: {{}}",
            "unknown key of a sweep 'paramters'; did you mean 'parameters'",
        ),
        (SMALL.replace("grid", "gird"), "method: expected grid, random or bayes, got 'gird'"),
        ("parameters: {seed: {value: 1}}", "method: expected grid, random or bayes, got None"),
        ("method: grid", "parameters: expected settings with values, got None"),
        ("method: grid\nparameters: []", "parameters: expected settings with values, got []"),
        ("method: grid\nparameters: {a: {parameters: 3}}", "a: parameters: expected settings"),
        (
            "method: grid\nparameters: {style.weight: {min: 1.0, max: 2.0}}",
            "style.weight: a grid needs values",
        ),
        (SMALL.replace("grid", "bayes"), "metric: bayes needs one to go by"),
        (f"{SMALL}metric: total", "metric: expected name and goal, got 'total'"),
        (f"{SMALL}metric: {{name: accuracy}}", "metric.name: 'accuracy' is not logged"),
        (f"{SMALL}metric: {{name: loss/style/relu9_1}}", "'loss/style/relu9_1' is not logged"),
        (f"{SMALL}metric: {{name: loss/total, goal: least}}", "metric.goal: expected minimize"),
        (f"{SMALL}run_cap: 0", "run_cap: expected a whole number above 0, got 0"),
        (f"{SMALL}run_cap: 1.5", "run_cap: expected a whole number above 0, got 1.5"),
        (f"{SMALL}command: python x.py", "command: expected a list of words"),
        (f"{SMALL}early_terminate: {{type: hyperband, min_iter: 3}}", "needs a metric"),
        (
            f"{SMALL}metric: {{name: loss/total}}\nearly_terminate: {{type: median}}",
            "early_terminate.type: expected hyperband, got 'median'",
        ),
        (
            f"{SMALL}metric: {{name: loss/total}}\nearly_terminate: {{type: hyperband, s: 2}}",
            "needs min_iter, or max_iter and s",
        ),
        (
            f"{SMALL}metric: {{name: loss/total}}\nearly_terminate: "
            "{type: hyperband, min_iter: 3, eta: 1.5}",
            "early_terminate.eta: expected a whole number from 2 on, got 1.5",
        ),
    ],
    ids=lambda one: one[-40:],
)
def test_what_is_no_sweep_is_named(text: str, told: str) -> None:
    assert any(told in problem for problem in refused(text)), refused(text)


def test_all_faults_of_a_file_are_told_at_once() -> None:
    text = "metod: grid\nparameters: {a: {distribution: beta}, b: {values: []}}\nrun_cap: -1"
    told = " ".join(refused(text))
    for one in ("'metod'", "method: expected", "'beta'", "b: values", "run_cap"):
        assert one in told


def test_endless_and_deep_files_are_refused() -> None:
    assert "no valid YAML" in refused("method: " + 5000 * "[")[0]
    endless = "method: grid\nparameters: &a {style: {parameters: *a}}"
    assert "too deeply nested" in refused(endless)[0]


def test_a_sweep_is_a_plain_value() -> None:
    assert Sweep("a", "grid", {}) == Sweep("a", "grid", {})
