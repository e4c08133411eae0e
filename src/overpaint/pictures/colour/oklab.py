"""Oklab, a space in which distances are as large as they look: L is lightness, a and b are colour.

Björn Ottosson 2020, https://bottosson.github.io/posts/oklab/. Arrays are (..., 3), float32 or
float64, and stay so; sRGB is in [0, 1], L in [0, 1], a and b about in [-0.4, 0.4], 0 for grey.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

# Light in sRGB's primaries to that in three cones, and the roots of these to L, a, b.
CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
_LIGHT, _ROOTS = np.linalg.inv(CONES), np.linalg.inv(LAB)
_HALVINGS = 14  # of the search for the border of what sRGB can show: finer than 16 bits of chroma
_ROUNDING = 1e-5  # of light beyond [0, 1] that is none


def to_oklab(srgb: Floats) -> Floats:
    """SRGB to L, a, b."""
    bright = ((srgb.clip(0, 1) + 0.055) / 1.055) ** 2.4
    return oklab_of_light(np.where(srgb <= 0.04045, srgb.clip(0, 1) / 12.92, bright))


def to_srgb(lab: Floats) -> Floats:
    """L, a, b to sRGB; a colour that sRGB has not becomes the greyer one of its lightness and hue.

    Cutting the channels off instead would change the lightness.
    """
    light = light_of_oklab(within_srgb(lab)).clip(0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def within_srgb(lab: Floats) -> Floats:
    """The same colours with a and b scaled down as far as sRGB needs it, and L in [0, 1]."""
    lab = lab.copy()
    lab[..., 0] = lab[..., 0].clip(0, 1)
    outside = ~_is_shown(lab)
    colours = lab[outside]
    share, step = np.zeros_like(colours[:, :1]), 1.0
    for _ in range(_HALVINGS):
        step /= 2
        trial = share + step
        fits = _is_shown(np.concatenate([colours[:, :1], colours[:, 1:] * trial], -1))
        share = np.where(fits[:, None], trial, share)
    lab[outside, 1:] = colours[:, 1:] * share
    return lab


def oklab_of_light(light: Floats) -> Floats:
    """Linear light in sRGB's primaries to L, a, b; any light, also what no screen can show."""
    return _each(LAB, np.cbrt(_each(CONES, light)))


def light_of_oklab(lab: Floats) -> Floats:
    """L, a, b to linear light, which leaves [0, 1] where sRGB has no such colour."""
    return _each(_LIGHT, _each(_ROOTS, lab) ** 3)


def _is_shown(lab: Floats) -> NDArray[np.bool_]:
    light = light_of_oklab(lab)
    return np.asarray(((light >= -_ROUNDING) & (light <= 1 + _ROUNDING)).all(-1))


def _each(matrix: Floats, colours: Floats) -> Floats:
    """Each colour times a (3, 3) matrix, in the colours' precision."""
    found: Floats = colours @ matrix.T.astype(colours.dtype)
    return found
