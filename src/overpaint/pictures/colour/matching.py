"""Maps of colours in Oklab that give one picture the distribution of another's colours.

Pictures are (H, W, 3), float32, sRGB in [0, 1], and need not be of one size. Weights say how much
each place counts, (H, W), float32 in [0, 1]: `within` those of the picture that a map is for,
`where` those of the photo that it is brought to; None is all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overpaint.pictures.colour.oklab import Floats, to_oklab
from overpaint.pictures.deep.picture import bands

Picture = NDArray[np.float32]
Weights = NDArray[np.float32]
ColourMap = Callable[[Floats], Floats]

_BLOCK = 1 << 18  # pixels that are reckoned with at once, in float64
# Standard deviation, in Oklab, below which colours count as flat along a direction: stretching them
# would raise noise. Half a level of 8 bits is about 0.001, a just visible difference 0.02.
FLAT = 0.004
_ROUNDS = 30  # of rotations; histograms are then a tenth of a visible difference apart, or less
_SAMPLE = 1 << 15  # colours of a picture that stand for all in a histogram
_PLACES = 1 << 10  # at which a map along an axis is known, as many as a processor's cache holds


def statistics_map(
    picture: Picture,
    photo: Picture,
    *,
    where: Weights | None = None,
    within: Weights | None = None,
) -> ColourMap:
    """The map that gives a picture the mean and the covariance of a photo."""
    mean, covariance = moments(picture, within)
    goal_mean, goal = moments(photo, where)
    transport = least_transport(covariance, goal)
    return lambda lab: (lab - mean) @ transport + goal_mean


def histogram_map(
    picture: Picture,
    photo: Picture,
    *,
    where: Weights | None = None,
    within: Weights | None = None,
) -> ColourMap:
    """The map that gives the colours of a picture the distribution of a photo's."""
    first = statistics_map(picture, photo, where=where, within=within)
    (colours, counts), (goal, goal_counts) = _sample(picture, within), _sample(photo, where)
    colours = first(colours)
    draws = np.random.RandomState(0)  # the old generator, whose numbers are promised for ever
    tables: list[tuple[Floats, list[tuple[Floats, Floats]]]] = []
    for number in range(_ROUNDS):
        rotation = np.eye(3) if number == 0 else np.linalg.qr(draws.normal(size=(3, 3)))[0]
        axes = [
            _monotone(own, wanted, counts, goal_counts)
            for own, wanted in zip((colours @ rotation).T, (goal @ rotation).T, strict=True)
        ]
        tables.append((rotation, axes))
        colours = _along(colours, rotation, axes)

    def through_all(lab: Floats) -> Floats:
        lab = first(lab)
        for rotation, axes in tables:
            lab = _along(lab, rotation, axes)
        return lab

    return through_all


def least_transport(covariance: Floats, goal: Floats) -> Floats:
    """The symmetric (3, 3) matrix that turns one covariance into another.

    Where the first is flat it is not stretched further than if it had a standard deviation of
    0.004, so that noise stays noise; then the goal is not quite met.
    """
    values, vectors = np.linalg.eigh(covariance)
    spread = np.sqrt(values.clip(FLAT**2))
    root, inverse = ((vectors * one) @ vectors.T for one in (spread, 1 / spread))
    values, vectors = np.linalg.eigh(root @ goal @ root)
    between = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    found: Floats = inverse @ between @ inverse
    return found


def moments(picture: Picture, weights: Weights | None = None) -> tuple[Floats, Floats]:
    """Mean, (3,), and covariance, (3, 3), of a picture's colours in Oklab."""
    total, products, count = np.zeros(3), np.zeros((3, 3)), 0.0
    for rows in blocks(picture):
        lab = to_oklab(picture[rows].astype(np.float64)).reshape(-1, 3)
        if weights is None:
            total += lab.sum(0)
            count += len(lab)
        else:
            counts = weights[rows].reshape(-1, 1).astype(np.float64)
            total += (lab * counts).sum(0)
            count += counts.sum()
            lab *= np.sqrt(counts)
        products += lab.T @ lab
    mean = total / count
    return mean, products / count - np.outer(mean, mean)


def blocks(picture: Picture | NDArray[np.uint8]) -> Iterator[slice]:
    """Rows of a large picture to be taken at once."""
    height, width = picture.shape[:2]
    return bands(width, height, _BLOCK)


def _sample(picture: Picture, weights: Weights | None = None) -> tuple[Floats, Floats | None]:
    """Colours of a picture in Oklab, (N, 3), evenly from all that counts; and how much, (N,)."""
    colours = picture.reshape(-1, 3)
    if weights is None:
        every = -(-len(colours) // _SAMPLE)
        return to_oklab(colours[::every].astype(np.float64)), None
    places = np.flatnonzero(weights)
    places = places[:: -(-len(places) // _SAMPLE)]
    counts = weights.reshape(-1)[places].astype(np.float64)
    return to_oklab(colours[places].astype(np.float64)), counts


def _monotone(
    own: Floats,
    wanted: Floats,
    counts: Floats | None = None,
    wanted_counts: Floats | None = None,
) -> tuple[Floats, Floats]:
    """The rising map that gives values the distribution of others, as places and values there.

    Equal values share the middle of their ranks, and so stay equal. Counts say how much each value
    is of all; by default they are alike.
    """
    if counts is None:
        values, summed = np.unique(own, return_counts=True)
    else:
        values, inverse = np.unique(own, return_inverse=True)
        summed = np.bincount(inverse, counts)
    ranks = _middles(summed)
    known = np.linspace(0, len(values) - 1, min(len(values), _PLACES)).round().astype(int)
    values, ranks = values[known], ranks[known]
    if wanted_counts is None:
        return values, np.interp(ranks, _middles(np.ones(len(wanted))), np.sort(wanted))
    order = np.argsort(wanted)
    return values, np.interp(ranks, _middles(wanted_counts[order]), wanted[order])


def _middles(counts: NDArray[Any]) -> Floats:
    """The rank of each of some values in rising order, in [0, 1]: the middle of what it counts."""
    found: Floats = (np.cumsum(counts) - counts / 2) / counts.sum()
    return found


def _along(lab: Floats, rotation: Floats, axes: list[tuple[Floats, Floats]]) -> Floats:
    """Colours moved along each axis of a rotation by its map."""
    turned = lab @ rotation
    moved = [np.interp(turned[..., i], *axis) for i, axis in enumerate(axes)]
    found: Floats = np.stack(moved, -1) @ rotation.T
    return found
