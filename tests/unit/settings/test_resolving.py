from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from overpaint.errors import ConfigError
from overpaint.settings.reading import load_config
from overpaint.settings.resolving import resolved
from overpaint.settings.schema import (
    Config,
    InitConfig,
    OptimizerConfig,
    StyleConfig,
    TrackingConfig,
    TuneConfig,
)

REPOSITORY = Path(__file__).resolve().parents[3]
SGD = Config(optimizer=OptimizerConfig("sgd"))


def problems(config: Config, **options: Any) -> list[str]:
    with pytest.raises(ConfigError, match=":") as caught:
        resolved(config, **options)
    return list(caught.value.problems)


def test_from_the_repository_only_the_rate_and_the_statistics_are_filled_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(REPOSITORY)
    config = Config()
    assert resolved(config) == dataclasses.replace(
        config,
        style=dataclasses.replace(config.style, statistics="covariance"),
        optimizer=OptimizerConfig(lr=0.03),
    )


def test_from_elsewhere_the_sample_pictures_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sample = "assets/style/flow_field.jpg"
    config = Config(style=StyleConfig((sample, sample)), init=InitConfig("file", file=sample))
    found = resolved(config)
    assert found.content.image == str(REPOSITORY / "assets/content/rocket.jpg")
    assert found.style.images == (str(REPOSITORY / sample), str(REPOSITORY / sample))
    assert found.init.file == str(REPOSITORY / sample)


@pytest.mark.parametrize("folder", [REPOSITORY, REPOSITORY / "tests"])
@pytest.mark.parametrize("task", ["run", "tune"])
def test_resolved_settings_come_back_equal(
    folder: Path, task: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    config = resolved(Config(seed=3), task=task)
    assert resolved(config, task=task) == config == load_config(overrides=["seed=3"], task=task)


def test_what_is_resolved_is_what_is_written_and_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    odd = Config(tracking=TrackingConfig(notes="${seed}", tags=["a"]))  # type: ignore[arg-type]
    assert resolved(odd).tracking == TrackingConfig(notes="${seed}", tags=("a",))


def test_all_faults_are_told_at_once() -> None:
    config = Config(
        seed="x",  # type: ignore[arg-type]
        style=StyleConfig(images=("nope.jpg",), weight=-1.0),
        optimizer=OptimizerConfig("sgd"),
    )
    assert [text.partition(":")[0] for text in problems(config)] == [
        "style.weight",
        "seed",
        "style.images[0]",
        "optimizer.lr",
    ]


def test_a_run_needs_a_rate_and_a_search_does_not() -> None:
    (problem,) = problems(SGD)
    assert problem.startswith("optimizer.lr: sgd has no default rate")
    assert resolved(SGD, task="tune").optimizer.lr is None
    assert resolved(Config(), task="tune").optimizer.lr == 0.03


def test_only_a_search_minds_its_settings() -> None:
    config = Config(tune=TuneConfig(lowest=0.3, highest=0.1, rounds=0, size=15))
    assert resolved(config).tune == config.tune
    assert problems(config, task="tune") == [
        "tune.rounds: 0 is out of range; allowed: 1 or more.",
        "tune.size: 15 is too small; layers up to relu5_1 need at least 16 pixels.",
        "tune.lowest: 0.3 must be below tune.highest, 0.1.",
    ]
