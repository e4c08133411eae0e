from __future__ import annotations

import io
import struct
from collections.abc import Mapping

import numpy as np
import pytest
from icc import curve as exponent
from icc import icc_profile, s15_fixed
from numpy.typing import NDArray
from PIL import Image, ImageCms

from overpaint.pictures.decoding import decoded_whole
from overpaint.pictures.deep.picture import DeepPicture
from overpaint.pictures.deep.profiles import matrix_profile, srgb_profile

# Red, green and blue in the XYZ of ICC profiles (white D50), as the makers' profiles have them.
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
SPACES = {
    "Display P3": (
        (0.51512, 0.2412, -0.00105),
        (0.29198, 0.69225, 0.04189),
        (0.1571, 0.06657, 0.78407),
    ),
    "Adobe RGB": (
        (0.60974, 0.31111, 0.01947),
        (0.20528, 0.62567, 0.06087),
        (0.14919, 0.06322, 0.74457),
    ),
    "ProPhoto RGB": ((0.79767, 0.28804, 0.0), (0.13519, 0.71187, 0.0), (0.03134, 0.00009, 0.82491)),
}


def parametric(kind: int, *values: float) -> bytes:
    return b"para\0\0\0\0" + struct.pack(">HH", kind, 0) + s15_fixed(*values)


def table(light: NDArray[np.float64]) -> bytes:
    return (
        b"curv\0\0\0\0"
        + struct.pack(">I", len(light))
        + np.rint(light * 65535).astype(">u2").tobytes()
    )


def profile(
    primaries: tuple[tuple[float, ...], ...] = SRGB,
    curve: bytes = exponent(2.2),
    more: Mapping[bytes, bytes] | None = None,
) -> bytes:
    """An ICC profile of a matrix and a curve."""
    tags = {b"%cTRC" % letter: curve for letter in b"rgb"}
    for letter, primary in zip(b"rgb", primaries, strict=True):
        tags[b"%cXYZ" % letter] = b"XYZ \0\0\0\0" + s15_fixed(*primary)
    return icc_profile(b"mntr", b"RGB ", b"XYZ ", {**tags, **(more or {})})


def encoded(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """IEC 61966-2-1, in float64."""
    light = light.clip(0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def srgb_primaries() -> NDArray[np.float64]:
    """As littlecms reads them; their XYZ are columns."""
    read = ImageCms.ImageCmsProfile(io.BytesIO(srgb_profile())).profile
    primaries = (read.red_colorant, read.green_colorant, read.blue_colorant)
    assert all(primaries)
    return np.array([one[0] for one in primaries if one]).T


def converted(levels: NDArray[np.uint16], space: str, power: float) -> NDArray[np.float64]:
    """By the formula, unrounded 16-bit levels; (3, H, W)."""
    light = (levels / 65535) ** power
    primaries = np.rint(np.array(SPACES[space]) * 65536) / 65536  # as a profile holds them
    xyz = np.einsum("cx,chw->xhw", primaries, light)
    return 65535 * encoded(np.einsum("rx,xhw->rhw", np.linalg.inv(srgb_primaries()), xyz))


@pytest.mark.parametrize("space", SPACES)
def test_wide_colours_are_converted_as_the_formula_says(space: str) -> None:
    levels = np.random.default_rng(0).integers(0, 65536, (3, 60, 70)).astype(np.uint16)
    read = matrix_profile(profile(SPACES[space], exponent(563 / 256)))
    assert read is not None
    assert not read.is_srgb
    exact = converted(levels, space, 563 / 256)
    assert (exact == 0).mean() > 0.02, "colours that sRGB has not"
    difference = np.abs(read.to_srgb(levels) - exact)
    assert difference.mean() < 0.4
    assert difference.max() < 2


@pytest.mark.parametrize("space", SPACES)
def test_white_grey_and_black_stay_what_they_are(space: str) -> None:
    read = matrix_profile(
        profile(SPACES[space], parametric(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))
    )
    assert read is not None
    greys = np.linspace(0, 65535, 50).astype(np.uint16)[None, None].repeat(3, 0)
    assert np.abs(read.to_srgb(greys).astype(int) - greys).max() < 40


def test_a_photo_of_8_bits_gets_more_levels_than_8_bits_have() -> None:
    ramp = np.arange(256, dtype=np.uint8)
    image = Image.fromarray(np.stack([ramp, ramp // 2 + 60, 255 - ramp], -1)[None].repeat(2, 0))
    data = io.BytesIO()
    image.save(data, "PNG", icc_profile=profile(SPACES["Display P3"], exponent(563 / 256)))
    picture = decoded_whole(data.getvalue(), "x")
    assert isinstance(picture, DeepPicture)
    exact = converted(
        np.asarray(image).transpose(2, 0, 1).astype(np.uint16) * 257, "Display P3", 563 / 256
    )
    difference = np.abs(picture.levels - exact)
    assert difference.max() < 2  # rounding to 8 bits would be up to 128
    assert (picture.levels % 257 != 0).mean() > 0.8


def test_colours_that_srgb_has_not_are_clipped_and_the_others_are_not_touched() -> None:
    read = matrix_profile(profile(SPACES["Display P3"]))
    assert read is not None
    red = np.array([65535, 0, 0], np.uint16).reshape(3, 1, 1)
    assert read.to_srgb(red)[:, 0, 0].tolist() == [65535, 0, 0]
    inside = np.array([40000, 30000, 30000], np.uint16).reshape(3, 1, 1)
    assert read.to_srgb(inside)[0, 0, 0] > 40000  # the same colour is a purer red in sRGB


def test_our_own_profile_is_srgb_small_and_always_the_same() -> None:
    ours = srgb_profile()
    srgb_profile.cache_clear()
    assert srgb_profile() == ours
    assert len(ours) < 1000
    read = matrix_profile(ours)
    assert read is not None
    assert read.is_srgb
    levels = np.arange(65536, dtype=np.uint16).reshape(1, 256, 256).repeat(3, 0)
    assert np.abs(read.to_srgb(levels).astype(int) - levels).max() <= 8
    opened = ImageCms.ImageCmsProfile(io.BytesIO(ours))
    assert "sRGB" in ImageCms.getProfileName(opened)


def test_a_rough_table_of_srgb_is_srgb() -> None:
    x = np.linspace(0, 1, 1024)
    light = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    near = ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
    read = matrix_profile(profile(near, table(light)))
    assert read is not None
    assert read.is_srgb
    other = matrix_profile(profile(near, exponent(1.8)))
    assert other is not None
    assert not other.is_srgb


@pytest.mark.parametrize(
    ("curve", "light"),
    [
        (b"curv\0\0\0\0" + bytes(4), lambda x: x),
        (exponent(2.5), lambda x: x**2.5),
        (table(np.array([0, 0.5, 1])), lambda x: x),
        (parametric(0, 1.5), lambda x: x**1.5),
        (parametric(1, 2, 0.8, 0.2), lambda x: (0.8 * x + 0.2) ** 2),
        (parametric(1, 2, 2, -1), lambda x: np.where(x >= 0.5, (2 * x - 1) ** 2, 0)),
        (parametric(2, 2, 1, -0.5, 0.1), lambda x: np.where(x >= 0.5, (x - 0.5) ** 2 + 0.1, 0.1)),
        (parametric(3, 2, 1, 0, 0.25, 0.25), lambda x: np.where(x >= 0.25, x**2, 0.25 * x)),
        (
            parametric(4, 2, 0.9, 0, 0.5, 0.5, 0.1, 0.05),
            lambda x: np.where(x >= 0.5, (0.9 * x) ** 2 + 0.1, 0.5 * x + 0.05),
        ),
    ],
)
def test_every_kind_of_curve_is_evaluated(curve: bytes, light: object) -> None:
    read = matrix_profile(profile(curve=curve))
    assert read is not None
    x = np.linspace(0, 1, 65536)
    assert callable(light)
    np.testing.assert_allclose(read.light[1], light(x), atol=3e-5)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no profile at all" * 20,
        profile()[:200],
        profile()[:128] + b"\xff\xff\xff\xff" + profile()[132:],
        profile(curve=b"curv\0\0\0\0" + struct.pack(">I", 1 << 30)),
        profile(curve=parametric(7, 1)),
        profile(curve=parametric(1, 2, 0, 1)),
        profile(curve=b"text\0\0\0\0"),
        profile(((0, 0, 0),) * 3).replace(b"rXYZ", b"xxxx"),
        profile(more={b"A2B0": b"mft2" + bytes(60)}),  # it means its table
        profile().replace(b"RGB XYZ ", b"RGB Lab "),
        profile().replace(b"mntrRGB ", b"prtrCMYK"),
    ],
)
def test_a_damaged_profile_or_one_of_another_kind_is_none(data: bytes) -> None:
    assert matrix_profile(data) is None
