"""What docs/control.md measures, and the pictures that it shows."""

from __future__ import annotations

import re

import control_pictures
import measure_colours
import numpy as np
import pytest
from conftest import REPOSITORY, make_picture
from measure_colours import SPACES, grain, maps, moved, with_scaled_light, with_ycbcr

from overpaint.pictures.colour.keeping import as_array

PHOTO, PAINTING = (as_array(make_picture((40, 30), seed)).astype(float) for seed in (1, 2))


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("way", ["least", "by_cholesky", "by_roots"])
def test_each_map_meets_mean_and_covariance_in_its_space(space: str, way: str) -> None:
    there, _ = SPACES[space]
    pale = [0.4 + 0.2 * one for one in (PHOTO, PAINTING)]
    found = there(moved(pale[1], pale[0], SPACES[space], getattr(measure_colours, way)))
    for one, other in zip(moments(found), moments(there(pale[0])), strict=True):
        np.testing.assert_allclose(one, other, atol=5e-4)


def moments(colours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    flat = colours.reshape(-1, 3)
    return flat.mean(0), np.cov(flat.T)


@pytest.mark.parametrize("space", SPACES)
def test_a_space_and_back_is_the_same_colour(space: str) -> None:
    there, back = SPACES[space]
    np.testing.assert_allclose(back(there(PHOTO)), PHOTO, atol=1e-6)


def test_all_maps_leave_a_picture_that_has_the_colours_as_it_is() -> None:
    assert len(dict(maps())) == 8
    for name, change in maps():
        np.testing.assert_allclose(change(PHOTO, PHOTO), PHOTO, atol=0.05, err_msg=name)


def test_grain_is_what_lies_between_neighbours() -> None:
    rng = np.random.default_rng(0)
    assert grain(rng.random((40, 40, 3))) > 5 * grain(PHOTO)


def test_colours_are_put_in_by_the_ways_that_are_compared() -> None:
    photo, picture = (0.3 + 0.3 * one.astype(np.float32) for one in (PHOTO, PAINTING))
    luma = np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(with_ycbcr(picture, photo) @ luma, picture @ luma, atol=1e-4)
    scaled = measure_colours.light(with_scaled_light(picture, photo))
    own = measure_colours.light(photo)
    for one, other in ((0, 1), (1, 2)):
        ratio = scaled[..., one] * own[..., other] - scaled[..., other] * own[..., one]
        assert np.abs(ratio).max() < 1e-3


def test_every_picture_of_the_page_is_made_by_the_script() -> None:
    text = (REPOSITORY / "docs" / "control.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"\(control/(\w+)\.jpg\)", text))
    assert shown == set(control_pictures.PICTURES)
