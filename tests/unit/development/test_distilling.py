from __future__ import annotations

import logging

import pytest
import torch
from conftest import SLIM_WIDTHS, doubled, random_tensors
from distilling import Distillation, distil
from torch import Tensor

from overpaint.encoder.layers import SLIM_CONVOLUTIONS
from overpaint.encoder.vgg import Vgg19Features

pytestmark = pytest.mark.usefixtures("one_thread")

QUICK = Distillation(steps=20, rounds=2, examples=1)
LEARNT = ("relu2_1", "relu3_1", "relu4_1", "relu4_2", "relu5_1")

Networks = tuple[dict[str, Tensor], dict[str, Tensor], dict[str, list[int]]]


def piece(generator: torch.Generator) -> Tensor:
    coarse = torch.rand(1, 3, 8, 8, generator=generator)
    return torch.nn.functional.interpolate(coarse, 32, mode="bilinear")[0]


@pytest.fixture(scope="module")
def start() -> Networks:
    """A network, one of half its channels that is nearly it, and the channels kept."""
    slim = random_tensors()
    teacher = doubled(slim)
    channels = {
        layer.conv: list(range(0, 2 * width, 2))
        for layer, width in zip(SLIM_CONVOLUTIONS, SLIM_WIDTHS, strict=True)
    }
    generator = torch.Generator().manual_seed(1)
    for name, value in slim.items():
        if name[4] != "1":
            noise = torch.randn(value.shape, generator=generator)
            slim[name] = value + 0.2 * value.square().mean().sqrt() * noise
    return teacher, slim, channels


def distilled(start: Networks, settings: Distillation = QUICK, seed: int = 0) -> dict[str, Tensor]:
    teacher, slim, channels = start
    generator = torch.Generator().manual_seed(2)
    return distil(
        teacher,
        slim,
        channels,
        iter(lambda: (piece(generator), piece(generator)), None),
        settings=settings,
        device=torch.device("cpu"),
        seed=seed,
    )


@pytest.mark.slow
def test_distilling_brings_new_pictures_maps_closer(start: Networks) -> None:
    teacher, slim, channels = start
    generator = torch.Generator().manual_seed(3)
    images = torch.stack([piece(generator) for _ in range(8)])

    def error(tensors: dict[str, Tensor]) -> float:
        with torch.no_grad():
            true, seen = (Vgg19Features(LEARNT, t)(images) for t in (teacher, tensors))
        total = 0.0
        for layer in SLIM_CONVOLUTIONS:
            if layer.relu in LEARNT:
                kept = true[layer.relu][:, channels[layer.conv]]
                total += float((seen[layer.relu] - kept).square().sum() / kept.square().sum())
        return total

    before = error(slim)
    after = error(distilled(start, Distillation(steps=200, rounds=2, examples=3)))
    assert after < 0.5 * before


def test_the_first_block_stays_and_the_arguments_too(start: Networks) -> None:
    slim = {name: value.clone() for name, value in start[1].items()}
    found = distilled(start)
    for name, value in found.items():
        assert torch.equal(start[1][name], slim[name]), name
        assert not value.requires_grad
        assert torch.equal(value, slim[name]) == (name[4] == "1"), name
        assert value.shape == slim[name].shape


@pytest.mark.slow
def test_a_seed_gives_one_network(start: Networks) -> None:
    first, again, other = (distilled(start, seed=seed) for seed in (5, 5, 6))
    for name, value in first.items():
        torch.testing.assert_close(value, again[name], rtol=1e-4, atol=1e-6)
    assert not torch.allclose(first["conv5_1.weight"], other["conv5_1.weight"], rtol=1e-3)


def test_progress_is_told_twenty_times(start: Networks, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "distilling"):
        distilled(start, Distillation(steps=40, rounds=1, examples=1))
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 20
    assert lines[-1].startswith("Distilled 40 steps of 40: loss ")
