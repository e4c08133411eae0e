"""Paintings in a photo's colours."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from conftest import make_picture, quickly, seeds
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from overpaint.errors import ConfigError
from overpaint.pictures.colour import matching
from overpaint.pictures.colour.keeping import (
    as_array,
    as_picture,
    brought_to,
    in_luminance,
    in_luminance_of,
    recolored_after,
    with_chroma,
    with_histogram,
    with_statistics,
)
from overpaint.pictures.colour.matching import Picture, Weights, least_transport
from overpaint.pictures.colour.oklab import to_oklab, to_srgb
from overpaint.pictures.deep.picture import DeepPicture, in_8_bits

Way = Callable[..., Picture]
WAYS: list[Way] = [with_statistics, with_histogram]
both = pytest.mark.parametrize("way", WAYS, ids=["statistics", "histogram"])
# Of histograms, rounding is carried on from each rotation to the next.
everyway = pytest.mark.parametrize(
    ("way", "most"),
    [(with_statistics, 1e-6), (with_histogram, 4e-3), (in_luminance_of, 1e-6)],
    ids=["statistics", "histogram", "lightness"],
)


def muted(
    seed: int, centre: tuple[float, float, float], size: tuple[int, int] = (40, 50)
) -> Picture:
    """Colours around one in Oklab, a and b mixed, all of them within sRGB."""
    rng = np.random.default_rng(seed)
    mixing = np.diag([0.05, 0.012, 0.012]) + rng.normal(0, 0.002, (3, 3))
    lab = rng.normal(size=(*size, 3)).clip(-2, 2) @ mixing + centre
    return to_srgb(lab).astype(np.float32)


PHOTO = muted(1, (0.6, 0.02, 0.03))
PAINTING = muted(2, (0.5, -0.02, -0.02), (30, 64))


def colours(picture: Picture) -> NDArray[np.float64]:
    return to_oklab(picture.astype(np.float64)).reshape(-1, 3)


def moments(picture: Picture) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return colours(picture).mean(0), np.cov(colours(picture).T, bias=True)


def test_statistics_are_matched() -> None:
    mean, covariance = moments(with_statistics(PAINTING, PHOTO))
    wanted_mean, wanted = moments(PHOTO)
    np.testing.assert_allclose(mean, wanted_mean, atol=1e-6)
    np.testing.assert_allclose(covariance, wanted, atol=1e-7)


@quickly
@given(seeds)
def test_the_transport_meets_any_covariance_and_turns_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, goal = (x @ x.T + 0.02 * np.eye(3) for x in rng.normal(0, 0.3, (2, 3, 3)))
    found = least_transport(first, goal)
    np.testing.assert_allclose(found @ first @ found.T, goal, atol=1e-9)
    np.testing.assert_allclose(found, found.T, atol=1e-9)
    assert np.linalg.eigvalsh(found).min() > 0


def test_histograms_become_equal_along_every_axis() -> None:
    rng = np.random.default_rng(5)
    two_heaps = np.concatenate([muted(3, (0.7, 0.03, 0.0)), muted(4, (0.4, -0.03, 0.02))])
    found, wanted = colours(with_histogram(PAINTING, two_heaps)), colours(two_heaps)
    at = np.linspace(0.01, 0.99, 60)
    for axis in (*np.eye(3), *rng.normal(size=(5, 3))):
        axis = axis / np.linalg.norm(axis)
        gaps = np.abs(np.quantile(found @ axis, at) - np.quantile(wanted @ axis, at))
        assert gaps.mean() < 0.004, "a fifth of a visible difference"
    linear = colours(with_statistics(PAINTING, two_heaps))
    assert np.abs(np.quantile(linear[:, 0], at) - np.quantile(wanted[:, 0], at)).mean() > 0.02


def test_a_histogram_makes_no_colour_that_the_photo_has_not() -> None:
    red_and_blue = np.empty((20, 20, 3), np.float32)
    red_and_blue[:10], red_and_blue[10:] = (0.8, 0.2, 0.2), (0.2, 0.2, 0.8)
    found = with_histogram(PAINTING, red_and_blue)
    nearest = np.minimum(*(np.abs(found - red_and_blue[at, 0]).max(-1) for at in (0, -1)))
    assert (nearest < 0.05).mean() > 0.95


@both
def test_a_picture_with_the_colours_already_stays_as_it_is(way: Way) -> None:
    np.testing.assert_allclose(way(PHOTO, PHOTO), PHOTO, atol=4e-3)


@both
def test_equal_pixels_stay_equal(way: Way) -> None:
    flat = np.repeat(np.repeat(PAINTING[:6, :6], 5, 0), 5, 1)
    found = way(flat, PHOTO)
    for block in (found[:5, :5], found[10:15, 20:25]):
        assert np.ptp(block, axis=(0, 1)).max() == 0


@both
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_a_painting_of_one_colour_stays_one(way: Way, level: float) -> None:
    found = way(np.full((9, 8, 3), level, np.float32), PHOTO)
    assert np.ptp(found, axis=(0, 1)).max() == 0
    assert np.abs(colours(found)[0] - moments(PHOTO)[0]).max() < 0.05


@both
def test_a_grey_photo_makes_greys(way: Way) -> None:
    grey = in_luminance(PHOTO)
    found = colours(way(PAINTING, grey))
    assert np.abs(found[:, 1:]).max() < 2e-3
    assert found[:, 0].std() == pytest.approx(colours(grey)[:, 0].std(), rel=0.05)


@both
@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
def test_a_photo_of_one_colour_makes_that(way: Way, level: float) -> None:
    found = way(PAINTING, np.full((4, 4, 3), level, np.float32))
    np.testing.assert_allclose(found, level, atol=2e-3)


def test_the_noise_of_a_grey_painting_is_not_stretched_to_the_photos_range() -> None:
    lab = colours(in_luminance(PAINTING)).reshape(*PAINTING.shape)
    lab[..., 1:] += np.random.default_rng(3).normal(0, 0.001, (*PAINTING.shape[:2], 2))
    noisy = to_srgb(lab).astype(np.float32)
    loud = colours(with_statistics(noisy, PHOTO)) - colours(
        with_statistics(in_luminance(noisy), PHOTO)
    )
    assert loud[:, 1:].std() < 0.005
    assert loud[:, 1:].std() < 0.5 * colours(PHOTO)[:, 1:].std()


@both
@given(size=st.tuples(st.integers(1, 4), st.integers(1, 4)), seed=seeds)
@quickly
def test_any_two_pictures_make_one_in_range(way: Way, size: tuple[int, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    painting = rng.random((*size, 3), dtype=np.float32)
    photo = rng.random((*size[::-1], 3), dtype=np.float32)
    before = painting.copy(), photo.copy()
    found = way(painting, photo)
    assert found.dtype == np.float32
    assert found.shape == painting.shape
    assert np.isfinite(found).all()
    assert found.min() >= 0
    assert found.max() <= 1 + 1e-6
    np.testing.assert_array_equal(painting, before[0])
    np.testing.assert_array_equal(photo, before[1])


def weighted(*parts: tuple[Picture, float]) -> tuple[Picture, Weights]:
    """Pictures of one height beside each other, and how much each counts."""
    weights = [np.full(one.shape[:2], weight, np.float32) for one, weight in parts]
    return np.concatenate([one for one, _ in parts], 1), np.concatenate(weights, 1)


@everyway
def test_weights_of_one_change_nothing(way: Way, most: float) -> None:
    where, within = (np.ones(one.shape[:2], np.float32) for one in (PHOTO, PAINTING))
    found = way(PAINTING, PHOTO, where=where, within=within)
    np.testing.assert_allclose(found, way(PAINTING, PHOTO), atol=1e-6)


@everyway
def test_what_weighs_nothing_might_as_well_be_cut_off(way: Way, most: float) -> None:
    photo, where = weighted((PHOTO, 1.0), (muted(7, (0.8, 0.03, -0.03)), 0.0))
    painting, within = weighted((muted(8, (0.3, 0.0, 0.04), (30, 20)), 0.0), (PAINTING, 1.0))
    found = way(painting, photo, where=where, within=within)
    assert np.abs(found[:, 20:] - way(PAINTING, PHOTO)).mean() < most
    assert np.abs(found - way(painting, photo)).mean() > 0.02


@everyway
def test_what_weighs_half_counts_as_if_the_rest_were_there_twice(way: Way, most: float) -> None:
    parts = (PHOTO, muted(7, (0.8, 0.03, -0.03))), (PAINTING, muted(8, (0.3, 0.0, 0.04), (30, 20)))
    (photo, where), (painting, within) = (
        weighted((one, 1.0), (other, 0.5)) for one, other in parts
    )
    found = way(painting, photo, where=where, within=within)
    thrice, again = (np.concatenate([one, one, other], 1) for one, other in parts)
    wanted = way(again, thrice)[:, PAINTING.shape[1] :]
    assert np.abs(found - wanted).mean() < most
    assert np.abs(found - way(painting, photo)).mean() > 0.01


def test_luminance_is_as_light_without_colour() -> None:
    found = colours(in_luminance(PAINTING))
    np.testing.assert_allclose(found[:, 0], colours(PAINTING)[:, 0], atol=1e-6)
    assert np.abs(found[:, 1:]).max() < 1e-6


def test_matched_luminance_has_the_photos_mean_and_spread_of_lightness() -> None:
    found, wanted = colours(in_luminance_of(PAINTING, PHOTO)), colours(PHOTO)
    assert found[:, 0].mean() == pytest.approx(wanted[:, 0].mean(), abs=1e-6)
    assert found[:, 0].std() == pytest.approx(wanted[:, 0].std(), rel=1e-5)
    assert np.abs(found[:, 1:]).max() < 1e-6


def test_a_picture_takes_the_chroma_of_a_photo_and_keeps_its_lightness() -> None:
    picture = muted(7, (0.5, 0.0, 0.0))
    found = colours(with_chroma(picture, PHOTO))
    np.testing.assert_allclose(found[:, 0], colours(picture)[:, 0], atol=1e-5)
    np.testing.assert_allclose(found[:, 1:], colours(PHOTO)[:, 1:], atol=1e-5)


def test_where_srgb_has_no_such_colour_lightness_wins() -> None:
    dark = np.full((2, 2, 3), 0.05, np.float32)
    found = colours(with_chroma(dark, np.full((2, 2, 3), (0.0, 0.0, 1.0), np.float32)))
    np.testing.assert_allclose(found[:, 0], colours(dark)[:, 0], atol=1e-3)
    assert found[0, 2] < -0.02, "still blue"


def test_blocks_of_rows_make_the_same_picture_as_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = [way(PAINTING, PHOTO) for way in WAYS] + [with_chroma(PHOTO, PHOTO[::-1])]
    monkeypatch.setattr(matching, "_BLOCK", 3 * PAINTING.shape[1])
    apart = [way(PAINTING, PHOTO) for way in WAYS] + [with_chroma(PHOTO, PHOTO[::-1])]
    for one, other in zip(whole, apart, strict=True):
        np.testing.assert_allclose(one, other, atol=0.5 / 255)
    np.testing.assert_array_equal(np.asarray(as_picture(PAINTING)), (PAINTING * 255).round())


def test_levels_of_a_picture_come_back() -> None:
    picture = make_picture((30, 20), seed=3)
    assert as_picture(as_array(picture)).tobytes() == picture.tobytes()


def test_what_is_kept_decides_what_becomes_of_a_painting() -> None:
    photo, painting = (make_picture((20, 16), seed=one) for one in (1, 2))
    assert brought_to(photo, painting, "none") is painting
    found = {
        "luminance": in_luminance(as_array(painting)),
        "statistics": with_statistics(as_array(painting), as_array(photo)),
        "histogram": with_histogram(as_array(painting), as_array(photo)),
    }
    for keep, wanted in found.items():
        assert brought_to(photo, painting, keep).tobytes() == as_picture(wanted).tobytes()
    lighter = brought_to(photo, painting, "luminance", match_lightness=True)
    wanted = in_luminance_of(as_array(painting), as_array(photo))
    assert lighter.tobytes() == as_picture(wanted).tobytes()
    with pytest.raises(ConfigError, match=r"unknown color.keep 'luma'; did you mean 'luminance'"):
        brought_to(photo, painting, "luma")


@pytest.mark.parametrize("keep", ["luminance", "statistics", "histogram"])
def test_masks_say_whose_colours_a_part_of_a_painting_is_brought_to(keep: str) -> None:
    photo, painting = (make_picture((20, 16), seed=one) for one in (1, 2))
    mask = Image.new("L", (20, 16))
    mask.paste(255, (10, 0, 20, 16))
    match_lightness = keep == "luminance"
    found = brought_to(
        *(photo, painting, keep), match_lightness=match_lightness, where=mask, within=mask
    )
    halves = (one.crop((10, 0, 20, 16)) for one in (photo, painting))
    wanted = brought_to(*halves, keep, match_lightness=match_lightness)
    gap = np.asarray(found.crop((10, 0, 20, 16)), int) - np.asarray(wanted, int)
    assert np.abs(gap).max() <= 1
    assert found.size == painting.size


def test_a_mask_of_which_nothing_is_left_is_none() -> None:
    photo, painting = (make_picture((20, 16), seed=one) for one in (1, 2))
    nothing = Image.new("L", (20, 16))
    found = brought_to(photo, painting, "histogram", where=nothing, within=nothing)
    assert found.tobytes() == brought_to(photo, painting, "histogram").tobytes()


def test_a_finished_picture_takes_the_chroma_itself() -> None:
    photo, result = (make_picture((20, 16), seed=one) for one in (1, 2))
    found = recolored_after(result, photo, "luminance")
    wanted = as_picture(with_chroma(as_array(result), as_array(photo)))
    assert found.tobytes() == wanted.tobytes()
    with pytest.raises(ConfigError, match="unknown --keep 'none'"):
        recolored_after(result, photo, "none")


def test_pictures_of_other_modes_are_taken_as_rgb() -> None:
    assert as_array(Image.new("L", (2, 1), 51)).tolist() == [[[pytest.approx(0.2)] * 3] * 2]


@pytest.mark.parametrize("keep", ["luminance", "statistics", "histogram"])
def test_a_painting_of_16_bits_stays_one(keep: str) -> None:
    shades = np.linspace(0, 65535, 3 * 64 * 64).astype(np.uint16).reshape(3, 64, 64)
    painting = DeepPicture(np.ascontiguousarray(shades))
    photo = DeepPicture(np.ascontiguousarray(shades[::-1, ::-1]))
    found = brought_to(photo, painting, keep)
    assert isinstance(found, DeepPicture)
    assert len(np.unique(found.levels[0])) > 1000
    coarse = brought_to(in_8_bits(photo), in_8_bits(painting), keep)
    levels = np.asarray(coarse).transpose(2, 0, 1).astype(float)
    assert np.abs(found.levels / 257 - levels).mean() < 1
