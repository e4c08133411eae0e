from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from conftest import quickly, seeds
from hypothesis import given, settings
from hypothesis import strategies as st
from textures import (
    Picture,
    brush_strokes,
    dead_leaves,
    power_law_noise,
    random_piece,
)

Make = Callable[[np.random.Generator], Picture]

MAKERS: dict[str, Make] = {
    "brush_strokes": lambda rng: brush_strokes(rng, gradient(48, 40)),
    "dead_leaves": lambda rng: dead_leaves(rng, (48, 40)),
    "power_law_noise": lambda rng: power_law_noise(rng, (48, 40), 1.0),
    "random_piece": lambda rng: random_piece(rng, gradient(60, 50), 32),
}


def gradient(height: int, width: int) -> Picture:
    """Red rises downwards, green to the right, blue is a checkerboard."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    blue = (rows + columns) % 2
    return np.stack([rows / height, columns / width, blue], -1)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@given(seed=seeds)
@settings(quickly, max_examples=8)
def test_pictures_are_finite_colours_of_the_right_size(make: Make, seed: int) -> None:
    picture = make(np.random.default_rng(seed))
    assert picture.dtype == np.float32
    assert picture.shape in ((48, 40, 3), (32, 32, 3))
    assert picture.min() >= 0
    assert picture.max() <= 1


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_seed_gives_one_picture(make: Make) -> None:
    first, again, other = (make(np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("exponent", [0.0, 0.7, 1.5])
def test_noise_falls_with_frequency_as_asked(exponent: float) -> None:
    found = []
    for seed in range(60):
        noise = power_law_noise(np.random.default_rng(seed), (128, 128), exponent)
        if ((noise == 0) | (noise == 1)).mean() > 0.01:
            continue  # clipping adds frequencies
        spectrum = abs(np.fft.rfft2(noise.mean(-1)))
        frequency = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.rfftfreq(128)[None])
        inside = (frequency > 0.03) & (frequency < 0.4)
        found.append(np.polyfit(np.log(frequency[inside]), np.log(spectrum[inside]), 1)[0])
    assert len(found) >= 5
    assert np.mean(found) == pytest.approx(-exponent, abs=0.1)


def test_leaves_have_edges_that_noise_has_not() -> None:
    def flat_share(picture: Picture) -> float:
        return float((abs(np.diff(picture.mean(-1), axis=1)) < 1e-4).mean())

    leaves = [dead_leaves(np.random.default_rng(seed), (96, 96)) for seed in range(4)]
    noise = [power_law_noise(np.random.default_rng(seed), (96, 96), 1.0) for seed in range(4)]
    assert np.mean([flat_share(one) for one in leaves]) > 0.05
    assert np.mean([flat_share(one) for one in noise]) < 0.02


@given(seeds, st.integers(8, 90), st.integers(8, 90), st.integers(4, 64))
@quickly
def test_a_piece_is_square_whatever_it_is_cut_from(
    seed: int, height: int, width: int, edge: int
) -> None:
    piece = random_piece(np.random.default_rng(seed), gradient(height, width), edge)
    assert piece.shape == (edge, edge, 3)
    assert piece.flags["C_CONTIGUOUS"]


def test_pieces_come_from_everywhere_and_are_seldom_the_same() -> None:
    rng = np.random.default_rng(0)
    means = np.array([random_piece(rng, gradient(200, 150), 16).mean((0, 1)) for _ in range(60)])
    assert len(np.unique(means.round(6), axis=0)) == 60
    assert means[:, 0].min() < 0.3
    assert means[:, 0].max() > 0.7


def test_strokes_keep_the_colours_of_a_picture_and_lose_its_detail() -> None:
    picture = gradient(96, 80)
    painted = brush_strokes(np.random.default_rng(0), picture)
    assert painted.shape == picture.shape
    coarse = [one.reshape(6, 16, 5, 16, 3).mean((1, 3)) for one in (picture, painted)]
    assert abs(coarse[0] - coarse[1])[..., :2].max() < 0.25
    checks = abs(np.diff(painted[..., 2], axis=1)).mean()
    assert checks < 0.6  # 1 in the checkerboard
