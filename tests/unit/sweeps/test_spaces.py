from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

from overpaint.sweeps.distributions import Distribution, read_distribution
from overpaint.sweeps.spaces import grid, grid_size, probes, random_points


def space(**parameters: dict[str, Any]) -> dict[str, Distribution]:
    found = {}
    for key, given in sorted(parameters.items()):
        one, faults = read_distribution(key, given)
        assert one is not None, faults
        found[key] = one
    return found


def test_a_grid_has_the_order_that_wandb_has() -> None:
    # Of W&B's package `sweeps` (0.3.0): by name, the last one fastest.
    found = list(
        grid(
            space(
                b={"values": [1, 2]},
                a={"values": ["x", "y"]},
                c={"value": 7},
                d={"min": 1, "max": 2},
            )
        )
    )
    assert [tuple(one.values()) for one in found] == [
        *(("x", 1, 7, 1), ("x", 1, 7, 2), ("x", 2, 7, 1), ("x", 2, 7, 2)),
        *(("y", 1, 7, 1), ("y", 1, 7, 2), ("y", 2, 7, 1), ("y", 2, 7, 2)),
    ]
    assert all(list(one) == ["a", "b", "c", "d"] for one in found)


def test_a_value_that_is_there_twice_counts_once() -> None:
    twice = space(a={"values": [3, 3.0, True, 1, "3", [1, 2], [1, 2]]})
    assert [one["a"] for one in grid(twice)] == [3, True, 1, "3", [1, 2]]
    assert grid_size(twice) == 5


def test_what_is_drawn_follows_from_the_seed() -> None:
    wide = space(a={"min": 0.0, "max": 1.0}, b={"values": [1, 2, 3]})

    def drawn(seed: int, count: int) -> list[Any]:
        return list(itertools.islice(random_points(wide, seed), count))

    assert drawn(0, 8) == drawn(0, 8)
    assert drawn(0, 3) == drawn(0, 8)[:3]
    assert drawn(0, 8) != drawn(1, 8)


def test_drawing_covers_a_range_and_keeps_to_probabilities() -> None:
    wide = space(a={"min": 0.0, "max": 1.0}, b={"values": [1, 2], "probabilities": [0.9, 0.1]})
    found = list(itertools.islice(random_points(wide, 5), 1000))
    tenths = Counter(int(one["a"] * 10) for one in found)
    assert sorted(tenths) == list(range(10))
    assert min(tenths.values()) > 60
    assert 50 < sum(one["b"] == 2 for one in found) < 150


def test_choices_are_drawn_until_all_were_had_and_none_twice() -> None:
    few = space(a={"values": [1, 2, 3]}, b={"values": ["x", [4]]})
    found = list(random_points(few, 0))
    assert len(found) == 6
    assert sorted(map(str, found)) == sorted(map(str, grid(few)))
    assert found != list(grid(few))


def test_whole_numbers_are_drawn_until_hardly_one_is_left() -> None:
    found = [one["a"] for one in random_points(space(a={"min": 1, "max": 5}), 0)]
    assert sorted(found) == [1, 2, 3, 4, 5]


def test_a_search_is_probed_at_every_choice_and_both_ends() -> None:
    found = list(probes(space(a={"min": 0.0, "max": 4.0}, b={"values": [1, 2, 3]}, c={"value": 9})))
    assert found == [
        {"a": 2.0, "b": 2, "c": 9},
        {"a": 0.0, "b": 2, "c": 9},
        {"a": 4.0, "b": 2, "c": 9},
        {"a": 2.0, "b": 1, "c": 9},
        {"a": 2.0, "b": 3, "c": 9},
    ]
