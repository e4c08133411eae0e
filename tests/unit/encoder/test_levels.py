"""The network whose channels have a mean activation of 1."""

from __future__ import annotations

import pytest
import torch
from conftest import random_tensors
from torch import Tensor

from overpaint.encoder.layers import CONVOLUTIONS
from overpaint.encoder.levels import mean_levels, with_unit_levels
from overpaint.encoder.vgg import Vgg19Features

WEIGHTS = random_tensors()
DEPTH = len(WEIGHTS) // 2
RELUS = tuple(layer.relu for layer in CONVOLUTIONS[:DEPTH])


def picture(seed: int, height: int = 48, width: int = 64) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


PICTURES = [picture(1), picture(2, 32, 32)]


def test_the_levels_are_means_over_the_positions_of_all_pictures() -> None:
    maps = [Vgg19Features(["relu1_1", "relu3_1"], WEIGHTS)(one) for one in PICTURES]
    levels = mean_levels(WEIGHTS, PICTURES)
    for layer in ("1_1", "3_1"):
        flat = torch.cat([one[f"relu{layer}"][0].flatten(1) for one in maps], 1).mean(1)
        least = 0.05 * flat.mean()
        torch.testing.assert_close(levels[f"conv{layer}"], flat.clamp_min(least))


def test_every_channel_of_the_rescaled_network_has_a_mean_of_one_or_is_quiet() -> None:
    before = mean_levels(WEIGHTS, PICTURES)
    encoder = Vgg19Features(RELUS, with_unit_levels(WEIGHTS, PICTURES), whole=True)
    maps = [encoder(one) for one in PICTURES]
    loud = 0
    for relu in RELUS:
        found = torch.cat([one[relu][0].flatten(1) for one in maps], 1).mean(1)
        level = before[relu.replace("relu", "conv")]
        usual = level > level.min()  # those at the floor are quieter than 1
        torch.testing.assert_close(found[usual], torch.ones(int(usual.sum())), atol=1e-3, rtol=0)
        assert (found <= 1 + 1e-3).all()
        loud += int(usual.sum())
    assert loud > DEPTH


@pytest.mark.parametrize("pooling", ["max", "avg"])
def test_the_rescaled_network_sees_the_same_on_another_scale(pooling: str) -> None:
    levels = mean_levels(WEIGHTS, PICTURES)
    layers = ["relu2_1", RELUS[-1]]
    image = picture(9)
    plain = Vgg19Features(layers, WEIGHTS, pooling=pooling)(image)  # type: ignore[arg-type]
    scaled = Vgg19Features(layers, with_unit_levels(WEIGHTS, PICTURES), pooling=pooling)(image)  # type: ignore[arg-type]
    for name in layers:
        level = levels[name.replace("relu", "conv")][:, None, None]
        torch.testing.assert_close(scaled[name] * level, plain[name], atol=1e-4, rtol=1e-3)


def test_a_channel_that_never_answers_stays_finite_and_the_weights_are_left_alone() -> None:
    silent = {name: value.clone() for name, value in WEIGHTS.items()}
    silent["conv1_2.weight"][3] = 0
    silent["conv1_2.bias"][3] = -1
    before = {name: value.clone() for name, value in silent.items()}
    scaled = with_unit_levels(silent, PICTURES)
    assert all(value.isfinite().all() for value in scaled.values())
    assert all(torch.equal(silent[name], value) for name, value in before.items())
