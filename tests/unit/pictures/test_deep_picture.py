from __future__ import annotations

import itertools

import numpy as np
import pytest
from conftest import make_picture, quickly
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from overpaint.pictures.deep.picture import DeepPicture, bands, in_8_bits, in_few_bits
from overpaint.pictures.io import resize, size_of


def deep_of(image: Image.Image) -> DeepPicture:
    levels = np.asarray(image).transpose(2, 0, 1).astype(np.uint16) * 257
    return DeepPicture(np.ascontiguousarray(levels))


def test_its_size_is_told_as_pillow_tells_it() -> None:
    picture = DeepPicture(np.zeros((3, 4, 6), np.uint16))
    assert picture.size == (picture.width, picture.height) == (6, 4)
    assert size_of(picture) == (4, 6)


@pytest.mark.parametrize("turn", Image.Transpose)
def test_it_is_turned_as_pillow_turns(turn: Image.Transpose) -> None:
    image = make_picture((7, 5), seed=3)
    turned = deep_of(image).transposed(turn)
    assert turned.levels.flags.c_contiguous
    np.testing.assert_array_equal(turned.levels, deep_of(image.transpose(turn)).levels)


@pytest.mark.parametrize("size", [(20, 27), (60, 81), (5, 3)])
def test_it_is_resampled_as_8_bits_are_but_finer(size: tuple[int, int]) -> None:
    image = make_picture((54, 40), seed=4).point(lambda level: 64 + level // 2)  # none is clipped
    coarse = np.asarray(resize(image, size), float)
    fine = resize(deep_of(image), size)
    assert isinstance(fine, DeepPicture)
    assert size_of(fine) == size
    levels = fine.levels.transpose(1, 2, 0)
    assert np.abs(levels / 257 - coarse).max() <= 1.25  # Pillow rounds 8 bits twice
    assert (levels % 257 != 0).mean() > 0.5


def test_resampling_keeps_more_levels_than_8_bits_have() -> None:
    ramp = np.linspace(20000, 21000, 900).astype(np.uint16)  # four levels of 8 bits
    picture = DeepPicture(np.ascontiguousarray(np.broadcast_to(ramp, (3, 8, 900))))
    smaller = picture.resampled((450, 4)).levels
    assert len(np.unique(smaller[0])) > 400
    np.testing.assert_allclose(smaller[0, 0, 10:-10], ramp.reshape(-1, 2).mean(1)[10:-10], atol=1.5)


def test_a_flat_picture_stays_flat_at_both_ends() -> None:
    for level in (0, 1, 65534, 65535):
        picture = DeepPicture(np.full((3, 9, 11), level, np.uint16))
        assert np.unique(picture.resampled((4, 3)).levels).tolist() == [level]


def test_in_8_bits_each_value_is_the_nearest_level() -> None:
    every = np.arange(65536, dtype=np.uint16).reshape(1, 256, 256).repeat(3, 0)
    shown = np.asarray(in_8_bits(DeepPicture(every)))
    assert np.abs(shown.transpose(2, 0, 1) - every / 257).max() <= 0.5


def test_what_was_of_8_bits_goes_back_to_them_unchanged() -> None:
    image = make_picture((33, 22), seed=5)
    back = in_few_bits(deep_of(image))
    assert isinstance(back, Image.Image)
    assert back.tobytes() == image.tobytes()
    finer = deep_of(image)
    finer.levels[2, -1, -1] ^= 1
    assert in_few_bits(finer) is finer


@quickly
@given(st.integers(1, 3_000_000), st.integers(1, 5000))
def test_bands_are_all_rows_in_order_and_small(width: int, height: int) -> None:
    rows = list(bands(width, height))
    assert rows[0].start == 0
    assert rows[-1].stop == height
    assert all(one.stop == other.start for one, other in itertools.pairwise(rows))
    assert all(
        one.stop - one.start == 1 or (one.stop - one.start) * width <= 1 << 20 for one in rows
    )
