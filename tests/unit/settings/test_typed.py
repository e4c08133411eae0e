"""Each setting's type and range; they are read as words so that YAML's types count."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
from faults import problems, the_problem

from overpaint.settings.schema import Config
from overpaint.settings.typed import to_config


def test_plain_defaults_are_the_default_settings() -> None:
    assert to_config(dataclasses.asdict(Config())) == (Config(), [])
    assert to_config({}) == (Config(), [])


def test_values_become_what_the_schema_says(tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "content": {"image": tmp_path, "layers": {1: 2}, "weight": "1e-3"},
        "snapshots": {"steps": [1, "5"]},
        "tracking": {"name": 123, "tags": [True, 0.5]},
        "optimizer": {"sgd": {"nesterov": "yes"}},
        "seed": "7",
    }
    config, found = to_config(given)
    assert found == []
    assert config.content == dataclasses.replace(
        Config().content, image=str(tmp_path), layers={"1": 2.0}, weight=0.001
    )
    assert (config.snapshots.steps, config.seed) == ((1, 5), 7)
    assert (config.tracking.name, config.tracking.tags) == ("123", ("True", "0.5"))
    assert config.optimizer.sgd.nesterov is True


def test_a_value_of_another_type_is_told_with_what_is_expected() -> None:
    messages = {
        "seed=abc": "seed: expected a whole number, got 'abc'.",
        "schedule.steps=1.5": "schedule.steps: expected a whole number, got 1.5.",
        "image.size=512.0": "image.size: expected a whole number, got 512.0.",
        "tracking.log_every=true": "tracking.log_every: expected a whole number, got True.",
        "style.weight=much": "style.weight: expected a number, got 'much'.",
        "content.weight=true": "content.weight: expected a number, got True.",
        "style.scale=null": "style.scale: expected a number, got None.",
        "loss.tv_weight={}": "loss.tv_weight: expected one value, got {}.",
        "style.layers.relu1_1=y": "style.layers.relu1_1: expected a number, got 'y'.",
        "style.layers.relu2_1={x: 1}": "style.layers.relu2_1: expected one value, got {'x': 1}.",
        "optimizer.sgd.nesterov=perhaps": (
            "optimizer.sgd.nesterov: expected true or false, got 'perhaps'."
        ),
        "optimizer.name=adm": (
            "optimizer.name: expected one of 'adam', 'lbfgs' or 'sgd', got 'adm'."
        ),
        "trainer.precision=16": (
            "trainer.precision: expected one of 'auto', '32-true' or 'bf16-mixed', got '16'."
        ),
        "content.image=": "content.image: expected a text, got None.",
        "trainer.compile=": (
            "trainer.compile: expected one of 'auto', 'always' or 'never', got None."
        ),
        "tracking={name: [a]}": "tracking.name: expected a text, got ['a'].",
        "snapshots.steps=[1, soon]": "snapshots.steps[1]: expected a whole number, got 'soon'.",
    }
    assert sorted(problems(*messages)) == sorted(messages.values())


def test_a_long_value_is_shortened() -> None:
    assert the_problem("style.weight=1" + "0" * 400) == (
        "style.weight: expected a number, got 1" + 96 * "0" + "...."
    )


def test_values_that_no_file_can_hold_are_told_too() -> None:
    config, found = to_config({"style": {"images": 3, "layers": 4}, "image": 5, "seed": 6})
    assert found == [
        "style.images: expected a list, got 3.",
        "style.layers: expected 'key: value' pairs, got 4.",
        "image: expected 'key: value' pairs, got 5.",
    ]
    assert config == dataclasses.replace(Config(), seed=6)


@pytest.mark.parametrize("word", ["abc", "g" * 64, "a" * 63, "a" * 65, "12"])
def test_a_hash_of_weights_has_64_hexadecimal_digits(word: str) -> None:
    _, (problem,) = to_config({"encoder": {"sha256": word}})
    assert problem == f"encoder.sha256: '{word}' is no SHA-256, which has 64 hexadecimal digits."


def test_a_hash_of_weights_may_be_in_capitals() -> None:
    config, found = to_config({"encoder": {"sha256": "0A" * 32}})
    assert (config.encoder.sha256, found) == ("0a" * 32, [])


def test_a_value_below_its_range_is_told_with_what_is_allowed() -> None:
    messages = {
        "content.weight=-1": "content.weight: -1.0 is out of range; allowed: 0 or more.",
        "content.layers.relu4_1=-1": (
            "content.layers.relu4_1: -1.0 is out of range; allowed: 0 or more."
        ),
        "style.weight=-0.5": "style.weight: -0.5 is out of range; allowed: 0 or more.",
        "style.layers.conv1_1=-2": (
            "style.layers.conv1_1: -2.0 is out of range; allowed: 0 or more."
        ),
        "style.image_weights=[-1]": (
            "style.image_weights[0]: -1.0 is out of range; allowed: 0 or more."
        ),
        "style.scale=0": "style.scale: 0.0 is out of range; allowed: above 0.",
        "init.noise_ratio=-0.1": "init.noise_ratio: -0.1 is out of range; allowed: 0 to 1.",
        "loss.tv_weight=-1": "loss.tv_weight: -1.0 is out of range; allowed: 0 or more.",
        "optimizer.lr=0": "optimizer.lr: 0.0 is out of range; allowed: above 0.",
        "optimizer.adam.beta1=-0.1": (
            "optimizer.adam.beta1: -0.1 is out of range; allowed: 0 to below 1."
        ),
        "optimizer.adam.beta2=-0.1": (
            "optimizer.adam.beta2: -0.1 is out of range; allowed: 0 to below 1."
        ),
        "optimizer.adam.eps=-1e-8": (
            "optimizer.adam.eps: -1e-08 is out of range; allowed: 0 or more."
        ),
        "optimizer.lbfgs.history_size=0": (
            "optimizer.lbfgs.history_size: 0 is out of range; allowed: 1 or more."
        ),
        "optimizer.lbfgs.max_evaluations=1": (
            "optimizer.lbfgs.max_evaluations: 1 is out of range; allowed: 2 or more."
        ),
        "optimizer.sgd.momentum=-0.1": (
            "optimizer.sgd.momentum: -0.1 is out of range; allowed: 0 to below 1."
        ),
        "schedule.steps=0": "schedule.steps: 0 is out of range; allowed: 1 or more.",
        "schedule.scales=[0, 1]": "schedule.scales[0]: 0.0 is out of range; allowed: above 0 to 1.",
        "schedule.shares=[1, 0]": "schedule.shares[1]: 0.0 is out of range; allowed: above 0.",
        "schedule.lr_final=-0.1": "schedule.lr_final: -0.1 is out of range; allowed: 0 to 1.",
        "snapshots.steps=[5, 0]": "snapshots.steps[1]: 0 is out of range; allowed: 1 or more.",
        "snapshots.every=-1": "snapshots.every: -1 is out of range; allowed: 0 (off) or more.",
        "tracking.log_every=0": "tracking.log_every: 0 is out of range; allowed: 1 or more.",
        "tune.lowest=0": "tune.lowest: 0.0 is out of range; allowed: above 0.",
        "tune.highest=0.0": "tune.highest: 0.0 is out of range; allowed: above 0.",
        "tune.candidates=1": "tune.candidates: 1 is out of range; allowed: 2 or more.",
        "tune.rounds=0": "tune.rounds: 0 is out of range; allowed: 1 or more.",
        "tune.steps=3": "tune.steps: 3 is out of range; allowed: 4 or more.",
        "seed=-1": "seed: -1 is out of range; allowed: 0 to 2**63 - 1.",
    }
    found = problems(*messages, task="tune")
    clash = "tune.lowest: 0.0 must be below tune.highest, 0.0."  # a rule sees values out of range
    assert sorted(found) == sorted([*messages.values(), clash])


def test_a_value_above_its_range_or_infinite_is_refused() -> None:
    overrides = {
        "init.noise_ratio": "1.1",
        "optimizer.adam.beta1": "1",
        "optimizer.adam.beta2": "1",
        "optimizer.sgd.momentum": "1",
        "schedule.lr_final": "1.1",
        "schedule.scales": "[1.1, 1]",
        "seed": str(2**63),
        "content.weight": ".inf",
        "style.weight": ".nan",
        "style.layers.relu1_1": ".nan",
        "optimizer.lr": "inf",
    }
    found = problems(*(f"{key}={value}" for key, value in overrides.items()))
    found = tuple(text for text in found if "is out of range" in text)
    keys = {text.partition(":")[0] for text in found}
    assert keys == {*overrides, "schedule.scales[0]"} - {"schedule.scales"}
    assert len(found) == len(overrides)


@pytest.mark.parametrize("end", ["lower", "upper"])
def test_the_ends_of_a_range_are_allowed(end: str) -> None:
    ends: dict[str, dict[str, Any]] = {
        "lower": {
            "content": {"weight": 0, "layers": {"relu1_1": 0}},
            "style": {"weight": 0, "image_weights": [0], "scale": 1e-9},
            "init": {"noise_ratio": 0},
            "loss": {"tv_weight": 0},
            "optimizer": {
                "lr": 1e-30,
                "adam": {"beta1": 0, "beta2": 0, "eps": 0},
                "lbfgs": {"history_size": 1, "max_evaluations": 2},
                "sgd": {"momentum": 0},
            },
            "schedule": {"steps": 1, "scales": [1e-9], "shares": [1e-9], "lr_final": 0},
            "snapshots": {"steps": [1], "every": 0},
            "tracking": {"log_every": 1},
            "tune": {"lowest": 1e-30, "highest": None, "candidates": 2, "rounds": 1, "steps": 4},
            "seed": 0,
        },
        "upper": {
            "init": {"noise_ratio": 1},
            "schedule": {"scales": [1], "lr_final": 1},
            "optimizer": {"adam": {"beta1": math.nextafter(1, 0)}},
            "seed": 2**63 - 1,
        },
    }
    config, found = to_config(ends[end], task="tune")
    assert found == []
    assert config.seed == ends[end]["seed"]


def test_a_value_out_of_range_stays_for_the_rules_and_one_of_another_type_does_not() -> None:
    config, found = to_config({"seed": -5, "schedule": {"steps": 0, "scales": ["x"]}})
    assert len(found) == 3
    assert (config.seed, config.schedule.steps, config.schedule.scales) == (
        -5,
        0,
        Config().schedule.scales,
    )


def test_several_faults_in_one_mapping_are_all_told() -> None:
    config, found = to_config({"style": {"layers": {"relu1_1": "x", "relu2_1": None}}})
    assert found == [
        "style.layers.relu1_1: expected a number, got 'x'.",
        "style.layers.relu2_1: expected a number, got None.",
    ]
    assert config == Config()


def test_a_run_does_not_mind_ranges_of_the_search() -> None:
    config, found = to_config({"tune": {"rounds": 0, "steps": "x"}, "seed": -1}, task="run")
    assert found == [
        "tune.steps: expected a whole number, got 'x'.",
        "seed: -1 is out of range; allowed: 0 to 2**63 - 1.",
    ]
    assert config.tune.rounds == 0


def test_a_whole_number_of_any_length_is_judged_by_its_range() -> None:
    _, problems = to_config({"seed": 10**400})
    (problem,) = problems
    assert problem.startswith("seed: 1000")
    assert problem.endswith("is out of range; allowed: 0 to 2**63 - 1.")
