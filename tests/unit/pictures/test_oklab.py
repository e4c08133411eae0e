"""Oklab, against the numbers that its author published."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import quickly, seeds
from hypothesis import given
from hypothesis import strategies as st

from overpaint.pictures.colour.oklab import (
    light_of_oklab,
    oklab_of_light,
    to_oklab,
    to_srgb,
    within_srgb,
)

# From CIE XYZ (D65) to linear light in sRGB's primaries, IEC 61966-2-1.
SRGB_OF_XYZ = np.array(
    [
        [3.2404542, -1.5371385, -0.4985314],
        [-0.9692660, 1.8760108, 0.0415560],
        [0.0556434, -0.2040259, 1.0572252],
    ]
)


@pytest.mark.parametrize(
    ("xyz", "lab"),
    [
        ((0.950, 1.000, 1.089), (1.000, 0.000, 0.000)),
        ((1.000, 0.000, 0.000), (0.450, 1.236, -0.019)),
        ((0.000, 1.000, 0.000), (0.922, -0.671, 0.263)),
        ((0.000, 0.000, 1.000), (0.153, -1.415, -0.449)),
    ],
)
def test_the_published_table_comes_out(xyz: tuple[float, ...], lab: tuple[float, ...]) -> None:
    np.testing.assert_allclose(oklab_of_light(SRGB_OF_XYZ @ xyz), lab, atol=7e-4)


@pytest.mark.parametrize(
    ("srgb", "lab"),
    [
        ((0, 0, 0), (0, 0, 0)),
        ((1, 1, 1), (1, 0, 0)),
        ((1, 0, 0), (0.627955, 0.224863, 0.125846)),
        ((0, 1, 0), (0.866440, -0.233888, 0.179498)),
        ((0, 0, 1), (0.452014, -0.032457, -0.311528)),
    ],
)
def test_the_corners_of_srgb_are_where_they_are_known_to_be(
    srgb: tuple[float, ...], lab: tuple[float, ...]
) -> None:
    np.testing.assert_allclose(to_oklab(np.array(srgb, float)), lab, atol=1e-5)


@quickly
@given(seeds)
def test_colours_come_back(seed: int) -> None:
    colours = np.random.default_rng(seed).random((5, 7, 3))
    np.testing.assert_allclose(to_srgb(to_oklab(colours)), colours, atol=1e-6, rtol=0)
    single = to_srgb(to_oklab(colours.astype(np.float32)))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, colours, atol=1e-4, rtol=0)


@quickly
@given(seeds)
def test_any_light_comes_back_even_what_no_screen_shows(seed: int) -> None:
    light = np.random.default_rng(seed).normal(size=(20, 3))
    np.testing.assert_allclose(light_of_oklab(oklab_of_light(light)), light, atol=1e-9)


@given(st.floats(0, 1))
def test_greys_have_no_colour_and_rise_with_the_light(level: float) -> None:
    lab = to_oklab(np.array([level, level, level]))
    assert abs(lab[1:]).max() < 1e-6
    assert lab[0] == pytest.approx(np.cbrt(to_light(level)), abs=1e-6)


def to_light(level: float) -> float:
    return float(level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4)


@quickly
@given(seeds)
def test_what_srgb_cannot_show_becomes_greyer_and_keeps_its_lightness_and_hue(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lab = np.concatenate([rng.random((200, 1)), rng.uniform(-0.4, 0.4, (200, 2))], 1)
    found = within_srgb(lab)
    np.testing.assert_array_equal(found[:, 0], lab[:, 0])
    share = np.linalg.norm(found[:, 1:], axis=1) / np.linalg.norm(lab[:, 1:], axis=1)
    assert ((share >= 0) & (share <= 1 + 1e-12)).all()
    np.testing.assert_allclose(found[:, 1:], lab[:, 1:] * share[:, None], atol=1e-12)
    light = light_of_oklab(found)
    assert light.min() > -1e-4
    assert light.max() < 1 + 1e-4
    is_cut = share < 1
    assert is_cut.any()
    farther = light_of_oklab(np.concatenate([lab[:, :1], lab[:, 1:] * (share[:, None] + 0.005)], 1))
    beyond = ((farther < 0) | (farther > 1)).any(1)
    assert beyond[is_cut].mean() > 0.95, "it could be less grey"


def test_what_srgb_can_show_stays_as_it_is() -> None:
    lab = to_oklab(np.random.default_rng(0).random((50, 3)))
    np.testing.assert_array_equal(within_srgb(lab), lab)


def test_lightness_beyond_black_and_white_ends_there() -> None:
    found = to_srgb(np.array([[-0.2, 0.1, 0.0], [1.3, 0.0, 0.1]]))
    np.testing.assert_allclose(found, [[0] * 3, [1] * 3], atol=1e-3)
