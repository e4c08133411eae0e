from __future__ import annotations

import dataclasses

import pytest

from overpaint.errors import ConfigError
from overpaint.settings.schema import Config, OptimizerConfig


def test_the_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError, match="seed"):
        Config().seed = 1  # type: ignore[misc]


def test_no_two_settings_share_a_mapping_of_layers() -> None:
    Config().style.layers.clear()
    assert Config().style.layers == {
        "relu1_1": 0.35,
        "relu2_1": 0.2,
        "relu3_1": 0.17,
        "relu4_1": 0.18,
        "relu5_1": 0.1,
    }
    assert Config().content.layers == {"relu4_2": 1.0}


def test_the_rate_is_the_given_one_or_the_optimizers() -> None:
    assert OptimizerConfig("adam").rate == 0.03
    assert OptimizerConfig("lbfgs").rate == 1.0
    assert OptimizerConfig("lbfgs", lr=0.5).rate == 0.5
    assert OptimizerConfig("sgd", lr=20.0).rate == 20.0


def test_gradient_descent_has_no_rate_of_its_own() -> None:
    with pytest.raises(ConfigError, match=r"optimizer\.lr: sgd has no default rate.* start at 10"):
        _ = OptimizerConfig("sgd").rate
