"""The points of a sweep: which values its trials have."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Mapping
from typing import Any

from overpaint.sweeps.distributions import Choice, Distribution

Point = Mapping[str, Any]
"""A value for each swept setting."""

Space = Mapping[str, Distribution]
"""A distribution for each swept setting, in alphabetical order, as W&B has them."""

_REPEATS_AT_MOST = 10_000  # draws in a row that were had before: what is left is too rare


def grid(space: Space) -> Iterator[Point]:
    """Each value with each of the others, once; the last setting changes fastest.

    Args:
        space: whose distributions all have `values`.
    """
    listed = [_unrepeated(one.values or ()) for one in space.values()]
    for values in itertools.product(*listed):
        yield dict(zip(space, values, strict=True))


def grid_size(space: Space) -> int:
    """The number of points in a grid."""
    return math.prod(len(_unrepeated(one.values or ())) for one in space.values())


def random_points(space: Space, seed: int) -> Iterator[Point]:
    """Points drawn by chance, the same ones for a seed; ends where all there are have been drawn.

    W&B may draw a point again. Here the same settings make the same picture, so it is left out.
    """
    drawing = random.Random(seed)
    seen: set[str] = set()
    all_points = _number_of_choices(space)
    repeats = 0
    while repeats < _REPEATS_AT_MOST and (all_points is None or len(seen) < all_points):
        point = {key: one.at(drawing.random()) for key, one in space.items()}
        spelt = repr(point)
        if spelt in seen:
            repeats += 1
            continue
        repeats = 0
        seen.add(spelt)
        yield point


def probes(space: Space) -> Iterator[Point]:
    """Points by which the values of a search can be checked before it makes its own.

    The middle, and from there each value of each choice and both ends of each range.
    """
    middle = {key: one.at(0.5) for key, one in space.items()}
    yield middle
    for key, one in space.items():
        values = one.values if isinstance(one, Choice) else (one.at(0.0), one.at(1.0))
        for value in values:
            if value != middle[key]:
                yield {**middle, key: value}


def _unrepeated(values: tuple[Any, ...]) -> list[Any]:
    """The values without those that were there before; 3 and 3.0 are one, as for W&B."""
    found: dict[str, Any] = {}
    for value in values:
        is_whole = isinstance(value, float) and value.is_integer()
        found.setdefault(repr(int(value) if is_whole else value), value)
    return [*found.values()]


def _number_of_choices(space: Space) -> int | None:
    """How many points there are, if all are choices."""
    if all(isinstance(one, Choice) for one in space.values()):
        return grid_size(space)
    return None
