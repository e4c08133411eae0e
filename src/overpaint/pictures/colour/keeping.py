"""Keeping the colours of a photo: a painting is brought to them, or a picture put into them.

Gatys, Bethge, Hertzmann & Shechtman 2016 (arXiv:1606.05897) name both ways. All is reckoned in
Oklab. Arrays are (H, W, 3), float32, sRGB in [0, 1]; large ones are taken a few rows at a time.
`where` says how much each place of the photo counts, `within` each of the picture that is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar, cast

import numpy as np
from PIL import Image

from overpaint.errors import lookup
from overpaint.pictures.colour.matching import (
    FLAT,
    Picture,
    Weights,
    blocks,
    histogram_map,
    moments,
    statistics_map,
)
from overpaint.pictures.colour.oklab import Floats, to_oklab, to_srgb
from overpaint.pictures.deep import picture as deep

_Kind = TypeVar("_Kind", bound=deep.Picture)


def in_luminance(picture: Picture) -> Picture:
    """The greys that are as light as the colours."""
    return _mapped(_without_colour, picture)


def in_luminance_of(
    picture: Picture,
    photo: Picture,
    *,
    where: Weights | None = None,
    within: Weights | None = None,
) -> Picture:
    """Greys like `in_luminance`, whose lightness has the mean and spread of a photo's.

    Gatys et al. 2016, section 5.1.
    """
    mean, covariance = moments(picture, within)
    goal_mean, goal = moments(photo, where)
    factor = np.sqrt(max(goal[0, 0], 0) / max(covariance[0, 0], FLAT**2))

    def grey(lab: Floats) -> Floats:
        return _without_colour((lab[..., :1] - mean[0]) * factor + goal_mean[0])

    return _mapped(grey, picture)


def with_chroma(picture: Picture, photo: Picture) -> Picture:
    """The lightness of a picture with the colour of a photo of the same size.

    Colours that sRGB does not have at the new lightness become greyer.
    """
    return _mapped(
        lambda lab, own: np.concatenate([lab[..., :1], own[..., 1:]], -1), picture, photo
    )


def with_statistics(
    picture: Picture,
    photo: Picture,
    *,
    where: Weights | None = None,
    within: Weights | None = None,
) -> Picture:
    """A picture whose colours have the mean and the covariance of a photo's, of any size.

    Of the linear maps that do so it is the one that moves the colours least (Pitie & Kokaram 2007,
    "The linear Monge-Kantorovitch linear colour mapping for example-based colour transfer").
    """
    return _mapped(statistics_map(picture, photo, where=where, within=within), picture)


def with_histogram(
    picture: Picture,
    photo: Picture,
    *,
    where: Weights | None = None,
    within: Weights | None = None,
) -> Picture:
    """A picture whose colours are distributed as a photo's, of any size.

    Not channel by channel, which would make colours that the photo has not, but, from the mean and
    covariance on, along the axes of one rotation after the other (Pitie, Kokaram & Dahyot 2005,
    "N-dimensional probability density function transfer"). Equal pixels stay equal.
    """
    return _mapped(histogram_map(picture, photo, where=where, within=within), picture)


_WAYS: Mapping[str, Callable[..., Picture]] = {
    "none": lambda painting, photo, **_: painting,
    "luminance": lambda painting, photo, **_: in_luminance(painting),
    "statistics": with_statistics,
    "histogram": with_histogram,
}


def brought_to(
    photo: deep.Picture,
    painting: _Kind,
    keep: str,
    *,
    match_lightness: bool = False,
    where: Image.Image | None = None,
    within: Image.Image | None = None,
) -> _Kind:
    """A painting as a run compares it that keeps the photo's colours.

    Args:
        photo: of 8 or 16 bits.
        painting: likewise, of any size.
        keep: `none` leaves it as it is, `luminance` takes its colours away, `statistics` and
            `histogram` give it the photo's.
        match_lightness: of `luminance`: whether it becomes as light as the photo.
        where: a mask of the photo, of mode L and as large: whose colours are meant; None: all.
        within: likewise of the painting: the part that is to have them. The rest goes along.

    Returns:
        A picture of as many bits as the painting.

    Raises:
        ConfigError: if `keep` is unknown.
    """
    way = lookup(_WAYS, keep, "color.keep")
    if keep == "luminance" and match_lightness:
        way = in_luminance_of
    if keep == "none":
        return painting
    masks = {"where": _weights(where), "within": _weights(within)}
    return _of_a_kind(painting, way(as_array(painting), as_array(photo), **masks))


def recolored_after(result: _Kind, photo: deep.Picture, keep: str) -> _Kind:
    """A finished picture in the colours of a photo; arguments and errors are those of `brought_to`.

    With `luminance` it keeps its own lightness and has the photo's chroma, place by place; the
    photo is then as large.
    """
    ways = {**_WAYS, "luminance": with_chroma}
    way = lookup({name: ways[name] for name in ways if name != "none"}, keep, "--keep")
    return _of_a_kind(result, way(as_array(result), as_array(photo)))


def _of_a_kind(picture: _Kind, values: Picture) -> _Kind:
    """An array as a picture of as many bits as another one."""
    found = as_picture(values) if isinstance(picture, Image.Image) else _as_deep(values)
    return cast(_Kind, found)


def _weights(mask: Image.Image | None) -> Weights | None:
    """A mask as weights; None if nothing of it is left at this size."""
    if mask is None or not mask.getbbox():
        return None
    return np.asarray(mask, np.float32) / np.float32(255)


def as_array(image: deep.Picture) -> Picture:
    """A picture as an array."""
    if isinstance(image, deep.DeepPicture):
        return image.levels.transpose(1, 2, 0).astype(np.float32) / np.float32(65535)
    return np.asarray(image.convert("RGB"), np.float32) / np.float32(255)


def as_picture(values: Picture) -> Image.Image:
    """An array as a picture of mode RGB, rounded to the nearest level."""
    levels = np.empty(values.shape, np.uint8)
    for rows in blocks(values):
        levels[rows] = (values[rows] * 255).round()
    return Image.fromarray(levels)


def _as_deep(values: Picture) -> deep.DeepPicture:
    """An array as a picture of 16 bits, likewise."""
    levels = np.empty((3, *values.shape[:2]), np.uint16)
    for rows in blocks(values):
        levels[:, rows] = (values[rows] * 65535).round().transpose(2, 0, 1)
    return deep.DeepPicture(levels)


def _mapped(change: Callable[..., Floats], *pictures: Picture) -> Picture:
    """Changes colours in Oklab: of the first picture, given those of all, block by block."""
    found = np.empty(pictures[0].shape, np.float32)
    for rows in blocks(found):
        found[rows] = to_srgb(change(*(to_oklab(one[rows].astype(np.float64)) for one in pictures)))
    return found


def _without_colour(lab: Floats) -> Floats:
    """The greys of a lightness, the first or only channel."""
    return np.concatenate([lab[..., :1], np.zeros((*lab.shape[:-1], 2))], -1)
