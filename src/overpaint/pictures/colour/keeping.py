"""Keeping the colours of a photo: a painting is brought to them, or a picture put into them.

Gatys, Bethge, Hertzmann & Shechtman 2016 (arXiv:1606.05897) name both ways. All is reckoned in
Oklab. Arrays are (H, W, 3), float32, sRGB in [0, 1]; large ones are taken a few rows at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from overpaint.errors import lookup
from overpaint.pictures.colour.oklab import Floats, to_oklab, to_srgb
from overpaint.pictures.deep import picture as deep

Picture = NDArray[np.float32]
_Kind = TypeVar("_Kind", bound=deep.Picture)

_BLOCK = 1 << 18  # pixels that are reckoned with at once, in float64
# Standard deviation, in Oklab, below which colours count as flat along a direction: stretching them
# would raise noise. Half a level of 8 bits is about 0.001, a just visible difference 0.02.
_FLAT = 0.004
_ROUNDS = 30  # of rotations; histograms are then a tenth of a visible difference apart, or less
_SAMPLE = 1 << 15  # colours of a picture that stand for all in a histogram
_PLACES = 1 << 10  # at which a map along an axis is known, as many as a processor's cache holds


def in_luminance(picture: Picture) -> Picture:
    """The greys that are as light as the colours."""
    return _mapped(_without_colour, picture)


def in_luminance_of(picture: Picture, photo: Picture) -> Picture:
    """Greys like `in_luminance`, whose lightness has the mean and spread of a photo's.

    Gatys et al. 2016, section 5.1.
    """
    mean, covariance = _moments(picture)
    goal_mean, goal = _moments(photo)
    factor = np.sqrt(goal[0, 0] / max(covariance[0, 0], _FLAT**2))

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


def with_statistics(picture: Picture, photo: Picture) -> Picture:
    """A picture whose colours have the mean and the covariance of a photo's, of any size.

    Of the linear maps that do so it is the one that moves the colours least (Pitie & Kokaram 2007,
    "The linear Monge-Kantorovitch linear colour mapping for example-based colour transfer").
    """
    return _mapped(_moved(picture, photo), picture)


def with_histogram(picture: Picture, photo: Picture) -> Picture:
    """A picture whose colours are distributed as a photo's, of any size.

    Not channel by channel, which would make colours that the photo has not, but, from the mean and
    covariance on, along the axes of one rotation after the other (Pitie, Kokaram & Dahyot 2005,
    "N-dimensional probability density function transfer"). Equal pixels stay equal.
    """
    first = _moved(picture, photo)
    colours, goal = first(_sample(picture)), _sample(photo)
    draws = np.random.RandomState(0)  # the old generator, whose numbers are promised for ever
    tables: list[tuple[Floats, list[tuple[Floats, Floats]]]] = []
    for number in range(_ROUNDS):
        rotation = np.eye(3) if number == 0 else np.linalg.qr(draws.normal(size=(3, 3)))[0]
        axes = [
            _monotone(own, wanted)
            for own, wanted in zip((colours @ rotation).T, (goal @ rotation).T, strict=True)
        ]
        tables.append((rotation, axes))
        colours = _along(colours, rotation, axes)

    def through_all(lab: Floats) -> Floats:
        lab = first(lab)
        for rotation, axes in tables:
            lab = _along(lab, rotation, axes)
        return lab

    return _mapped(through_all, picture)


def least_transport(covariance: Floats, goal: Floats) -> Floats:
    """The symmetric (3, 3) matrix that turns one covariance into another.

    Where the first is flat it is not stretched further than if it had a standard deviation of
    0.004, so that noise stays noise; then the goal is not quite met.
    """
    values, vectors = np.linalg.eigh(covariance)
    spread = np.sqrt(values.clip(_FLAT**2))
    root, inverse = ((vectors * one) @ vectors.T for one in (spread, 1 / spread))
    values, vectors = np.linalg.eigh(root @ goal @ root)
    between = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    found: Floats = inverse @ between @ inverse
    return found


_WAYS: Mapping[str, Callable[[Picture, Picture], Picture]] = {
    "none": lambda painting, photo: painting,
    "luminance": lambda painting, photo: in_luminance(painting),
    "statistics": with_statistics,
    "histogram": with_histogram,
}


def brought_to(
    photo: deep.Picture, painting: _Kind, keep: str, *, match_lightness: bool = False
) -> _Kind:
    """A painting as a run compares it that keeps the photo's colours.

    Args:
        photo: of 8 or 16 bits.
        painting: likewise, of any size.
        keep: `none` leaves it as it is, `luminance` takes its colours away, `statistics` and
            `histogram` give it the photo's.
        match_lightness: of `luminance`: whether it becomes as light as the photo.

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
    return _of_a_kind(painting, way(as_array(painting), as_array(photo)))


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


def as_array(image: deep.Picture) -> Picture:
    """A picture as an array."""
    if isinstance(image, deep.DeepPicture):
        return image.levels.transpose(1, 2, 0).astype(np.float32) / np.float32(65535)
    return np.asarray(image.convert("RGB"), np.float32) / np.float32(255)


def as_picture(values: Picture) -> Image.Image:
    """An array as a picture of mode RGB, rounded to the nearest level."""
    levels = np.empty(values.shape, np.uint8)
    for rows in _blocks(values):
        levels[rows] = (values[rows] * 255).round()
    return Image.fromarray(levels)


def _as_deep(values: Picture) -> deep.DeepPicture:
    """An array as a picture of 16 bits, likewise."""
    levels = np.empty((3, *values.shape[:2]), np.uint16)
    for rows in _blocks(values):
        levels[:, rows] = (values[rows] * 65535).round().transpose(2, 0, 1)
    return deep.DeepPicture(levels)


def _mapped(change: Callable[..., Floats], *pictures: Picture) -> Picture:
    """Changes colours in Oklab: of the first picture, given those of all, block by block."""
    found = np.empty(pictures[0].shape, np.float32)
    for rows in _blocks(found):
        found[rows] = to_srgb(change(*(to_oklab(one[rows].astype(np.float64)) for one in pictures)))
    return found


def _without_colour(lab: Floats) -> Floats:
    """The greys of a lightness, the first or only channel."""
    return np.concatenate([lab[..., :1], np.zeros((*lab.shape[:-1], 2))], -1)


def _blocks(picture: Picture | NDArray[np.uint8]) -> Iterator[slice]:
    height, width = picture.shape[:2]
    return deep.bands(width, height, _BLOCK)


def _moved(picture: Picture, photo: Picture) -> Callable[[Floats], Floats]:
    """The map of colours in Oklab that gives a picture the mean and covariance of a photo."""
    mean, covariance = _moments(picture)
    goal_mean, goal = _moments(photo)
    transport = least_transport(covariance, goal)
    return lambda lab: (lab - mean) @ transport + goal_mean


def _moments(picture: Picture) -> tuple[Floats, Floats]:
    """Mean, (3,), and covariance, (3, 3), of a picture's colours in Oklab."""
    total, products, count = np.zeros(3), np.zeros((3, 3)), 0
    for rows in _blocks(picture):
        lab = to_oklab(picture[rows].astype(np.float64)).reshape(-1, 3)
        total += lab.sum(0)
        products += lab.T @ lab
        count += len(lab)
    mean = total / count
    return mean, products / count - np.outer(mean, mean)


def _sample(picture: Picture) -> Floats:
    """Colours of a picture in Oklab, (N, 3), evenly from all of it."""
    colours = picture.reshape(-1, 3)
    every = -(-len(colours) // _SAMPLE)
    return to_oklab(colours[::every].astype(np.float64))


def _monotone(own: Floats, wanted: Floats) -> tuple[Floats, Floats]:
    """The rising map that gives values the distribution of others, as places and values there.

    Equal values share the middle of their ranks, and so stay equal.
    """
    values, counts = np.unique(own, return_counts=True)
    ranks = (np.cumsum(counts) - counts / 2) / len(own)
    known = np.linspace(0, len(values) - 1, min(len(values), _PLACES)).round().astype(int)
    values, ranks = values[known], ranks[known]
    return values, np.interp(ranks, (np.arange(len(wanted)) + 0.5) / len(wanted), np.sort(wanted))


def _along(lab: Floats, rotation: Floats, axes: list[tuple[Floats, Floats]]) -> Floats:
    """Colours moved along each axis of a rotation by its map."""
    turned = lab @ rotation
    moved = [np.interp(turned[..., i], *axis) for i, axis in enumerate(axes)]
    found: Floats = np.stack(moved, -1) @ rotation.T
    return found
