"""What a swept setting may be: W&B's distributions, by name.

A range is a map of [0, 1] to values, W&B's inverse distribution functions; drawing is evenly from
[0, 1], whoever draws.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from overpaint.errors import unknown_name

_ALMOST = 1e-9  # a normal distribution has no ends
LISTED_AT_MOST = 10_000  # whole numbers of a range that a grid goes through


@dataclass(frozen=True)
class Choice:
    """One of some values; a constant is one of one."""

    values: tuple[Any, ...]
    shares: tuple[float, ...]
    """Of each value, above 0; they add up to 1."""

    def at(self, place: float) -> Any:
        """The value at a place from 0 to 1."""
        reached = 0.0
        for value, share in zip(self.values, self.shares, strict=True):
            reached += share
            if place < reached:
                return value
        return self.values[-1]


@dataclass(frozen=True)
class Range:
    """Numbers, from one end to the other."""

    at: Callable[[float], float]
    """The number at a place from 0 to 1."""
    values: tuple[float, ...] | None = None
    """All of them, where a grid can go through them."""


Distribution = Choice | Range


@dataclass(frozen=True)
class _Kind:
    """A distribution of W&B's."""

    make: Callable[[Mapping[str, Any]], Distribution]
    needed: tuple[str, ...] = ("min", "max")
    """Keys that it must have."""
    preset: Mapping[str, float] | None = None
    """Keys that it may have, with W&B's defaults."""


def _even(low: float, high: float, place: float) -> float:
    return low + (high - low) * place


def _rounded(value: float, unit: float) -> float:
    """To a multiple of a unit, without the last bits that a product leaves."""
    whole = round(value / unit)
    return whole * unit if isinstance(unit, int) else float(f"{whole * unit:.12g}")


def _bell(given: Mapping[str, Any], place: float) -> float:
    inside = min(max(place, _ALMOST), 1 - _ALMOST)
    return float(given["mu"]) + float(given["sigma"]) * NormalDist().inv_cdf(inside)


def _uniform(given: Mapping[str, Any]) -> Range:
    return Range(lambda place: _even(given["min"], given["max"], place))


def _int_uniform(given: Mapping[str, Any]) -> Range:
    low, high = int(given["min"]), int(given["max"])
    count = high - low + 1
    return Range(
        lambda place: low + max(0, math.ceil(place * count) - 1),
        tuple(range(low, high + 1)) if count <= LISTED_AT_MOST else None,
    )


def _q_uniform(given: Mapping[str, Any]) -> Range:
    low, high, unit = given["min"], given["max"], given["q"]
    count = math.ceil((high - low) / unit)  # NumPy's arange, by which W&B goes: without the end
    steps = tuple(low + i * unit for i in range(count)) if count <= LISTED_AT_MOST else None
    if steps is not None and not isinstance(unit, int):
        steps = tuple(float(f"{step:.12g}") for step in steps)
    return Range(lambda place: _rounded(_even(low, high, place), unit), steps)


def _log_uniform(given: Mapping[str, Any]) -> Range:
    return Range(lambda place: math.exp(_even(given["min"], given["max"], place)))


def _log_uniform_values(given: Mapping[str, Any]) -> Range:
    low, high = given["min"], given["max"]
    # Between the ends, which the logarithm's last bit may pass.
    return Range(
        lambda place: min(max(math.exp(_even(math.log(low), math.log(high), place)), low), high)
    )


def _inv_log_uniform(given: Mapping[str, Any]) -> Range:
    return Range(lambda place: math.exp(-_even(given["min"], given["max"], 1 - place)))


def _multiples(make: Callable[[Mapping[str, Any]], Range]) -> Callable[[Mapping[str, Any]], Range]:
    """The same distribution in multiples of `q`."""

    def quantised(given: Mapping[str, Any]) -> Range:
        inner = make(given)
        return Range(lambda place: _rounded(inner.at(place), given["q"]))

    return quantised


def _choice(given: Mapping[str, Any]) -> Choice:
    values = given["values"]
    shares = given.get("probabilities") or [1 / len(values)] * len(values)
    had = [(value, share) for value, share in zip(values, shares, strict=True) if share > 0]
    total = sum(share for _, share in had)
    return Choice(tuple(value for value, _ in had), tuple(share / total for _, share in had))


def _normal(given: Mapping[str, Any]) -> Range:
    return Range(lambda place: _bell(given, place))


def _log_normal(given: Mapping[str, Any]) -> Range:
    return Range(lambda place: math.exp(_bell(given, place)))


_BELL = {"mu": 0.0, "sigma": 1.0}
_UNIT = {"q": 1.0}

DISTRIBUTIONS: Mapping[str, _Kind] = {
    "constant": _Kind(lambda given: Choice((given["value"],), (1.0,)), ("value",)),
    "categorical": _Kind(_choice, ("values",)),
    "categorical_w_probabilities": _Kind(_choice, ("values", "probabilities")),
    "int_uniform": _Kind(_int_uniform),
    "uniform": _Kind(_uniform),
    "q_uniform": _Kind(_q_uniform, preset=_UNIT),
    "log_uniform": _Kind(_log_uniform),
    "log_uniform_values": _Kind(_log_uniform_values),
    "q_log_uniform": _Kind(_multiples(_log_uniform), preset=_UNIT),
    "q_log_uniform_values": _Kind(_multiples(_log_uniform_values), preset=_UNIT),
    "inv_log_uniform": _Kind(_inv_log_uniform),
    "inv_log_uniform_values": _Kind(_log_uniform_values),
    "normal": _Kind(_normal, (), _BELL),
    "q_normal": _Kind(_multiples(_normal), (), {**_BELL, **_UNIT}),
    "log_normal": _Kind(_log_normal, (), _BELL),
    "q_log_normal": _Kind(_multiples(_log_normal), (), {**_BELL, **_UNIT}),
}


def read_distribution(key: str, given: Any) -> tuple[Distribution | None, list[str]]:
    """A parameter of a sweep as its file has it.

    Args:
        key: of the setting, for messages.
        given: what stands under it.

    Returns:
        The distribution, None if there are faults, and the faults, one line each.
    """
    if not isinstance(given, Mapping):
        return None, [f"{key}: expected 'values: [...]', 'value: ...' or a range, got {given!r}."]
    rest = {str(name): one for name, one in given.items() if name != "distribution"}
    named = given.get("distribution")
    name = _meant(rest) if named is None else str(named)
    if name is None:
        return None, [f"{key}: neither values, nor value, nor min and max; got {dict(given)!r}."]
    if name not in DISTRIBUTIONS:
        return None, [f"{key}: {unknown_name(name, DISTRIBUTIONS, 'distribution')}"]
    kind = DISTRIBUTIONS[name]
    problems = [f"{key}: {name} needs {one}." for one in kind.needed if one not in rest]
    allowed = {*kind.needed, *(kind.preset or ()), *_ALSO.get(name, ())}
    problems += [
        f"{key}: {unknown_name(one, sorted(allowed), f'key of {name}')}"
        for one in rest
        if one not in allowed
    ]
    filled = {**(kind.preset or {}), **rest}
    problems += [f"{key}: {fault}" for fault in _faults(filled, name)]
    return (None, problems) if problems else (kind.make(filled), [])


_ALSO = {"categorical": ("probabilities",)}


def _meant(given: Mapping[str, Any]) -> str | None:
    """The distribution where none is named, as W&B has it."""
    if "value" in given:
        return "constant"
    if "values" in given:
        return "categorical_w_probabilities" if "probabilities" in given else "categorical"
    if "min" in given or "max" in given:
        whole = all(isinstance(given.get(end), int) for end in ("min", "max"))
        return "int_uniform" if whole else "uniform"
    return None


def _faults(given: Mapping[str, Any], name: str) -> Iterator[str]:
    """What is wrong with the values under the keys of a distribution."""
    for end in ("min", "max", "q", "mu", "sigma"):
        if end in given and not _is_number(given[end]):
            hint = ", with a point and a sign as in 1.0e-4" if isinstance(given[end], str) else ""
            yield f"{end}: expected a number{hint}, got {given[end]!r}."
            return
    low, high = given.get("min"), given.get("max")
    if low is not None and high is not None:
        if not low < high:
            yield f"min {low:g} is not below max {high:g}."
        elif name == "int_uniform" and not (float(low).is_integer() and float(high).is_integer()):
            yield f"int_uniform is of whole numbers, got {low:g} to {high:g}."
        elif name.endswith("uniform_values") and low <= 0:
            yield f"{name} needs min above 0, got {low:g}."
        elif "log_uniform" in name and not name.endswith("values") and max(abs(low), high) > 100:
            yield f"{name} has exponents of e, got {low:g} to {high:g}; meant {name}_values?"
    for key, least in (("q", "above 0"), ("sigma", "0 or more")):
        if key in given and (given[key] < 0 or (given[key] == 0 and key == "q")):
            yield f"{key} must be {least}, got {given[key]:g}."
    if "values" in given:
        yield from _choice_faults(given["values"], given.get("probabilities"))


def _choice_faults(values: Any, shares: Any) -> Iterator[str]:
    if not isinstance(values, Sequence) or isinstance(values, str) or not values:
        yield f"values: expected a list of at least one value, got {values!r}."
        return
    if shares is None:
        return
    if not isinstance(shares, Sequence) or len(shares) != len(values):
        yield f"probabilities: expected {len(values)} numbers, one for each value, got {shares!r}."
    elif not all(_is_number(one) and one >= 0 for one in shares) or sum(shares) <= 0:
        yield f"probabilities: expected numbers from 0 on, one of them above 0, got {shares!r}."


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
