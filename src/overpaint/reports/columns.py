"""What runs are compared by: settings, losses and speed, a column each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from overpaint.files import readable
from overpaint.records.reading import RunRecord
from overpaint.settings.schema import REPLACED

Group = Literal["setting", "loss", "speed", "fact"]

MISSING = "\N{EN DASH}"

# They say where and how a run was recorded, and nothing about its picture.
_RECORDING = ("output.", "tracking.", "checkpoint.", "snapshots.", "tune.", "encoder.sha256")
# Losses of different kinds do not compare.
_KINDS = (
    "loss.normalization",
    "style.statistics",
    "content.layers",
    "style.layers",
    "encoder.name",
    "encoder.levels",
    "encoder.pooling",
    "color.keep",
    "color.match_lightness",
    "style.image_layers",
    "regions",
    "style.weight_map",
    "content.weight_map",
)
_WEIGHTS = ("content.weight", "style.weight", "loss.tv_weight")
_MB = 1e6


@dataclass(frozen=True)
class Column:
    """One thing about each run."""

    key: str
    """Dotted name of a setting, or what is measured."""
    title: str
    group: Group
    differs: bool
    """Whether the runs differ in it, and their pictures may for that reason."""
    always: bool
    """Whether it is shown without being asked for."""
    values: Sequence[float | str | None]
    """To sort by, one for each run; None where a run has none."""
    texts: Sequence[str]
    """To read."""


def columns_of(runs: Sequence[RunRecord]) -> list[Column]:
    """The columns of some runs: state, settings that differ, losses, speed, other settings."""
    settings = _settings(runs)
    return [
        _named("state", "state", [run.state for run in runs]),
        *(one for one in settings if one.differs),
        *_losses(runs),
        *_speed(runs),
        *(one for one in settings if not one.differs),
    ]


def differing(columns: Sequence[Column]) -> list[Column]:
    """The settings in which runs differ."""
    return [one for one in columns if one.differs]


def remarks_on(columns: Sequence[Column]) -> list[str]:
    """What one has to know before one compares the losses of these runs."""
    names = [one.key for one in differing(columns)]
    kinds = [name for name in names if name in _KINDS]
    weights = [name for name in names if name in _WEIGHTS]
    remarks = []
    if kinds:
        remarks.append(
            f"The runs differ in {_listed(kinds)}: losses of different kinds do not compare, only "
            "their courses and their pictures do."
        )
    elif weights:
        remarks.append(
            f"The runs differ in {_listed(weights)}: their total losses do not compare; "
            "content and style, which are before the weights, do."
        )
    return remarks


def told(value: Any) -> str:
    """A value of a setting as one reads it."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        if list(value.values()) == [1.0]:  # one layer, which counts wholly
            return readable(str(next(iter(value))))
        return " · ".join(f"{readable(str(key))} {told(one)}" for key, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(told, value))
    return readable(str(value))


def flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key and value of each setting; layers with their weights count as one."""
    for name, value in settings.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping) and key not in REPLACED:
            yield from flat(value, f"{key}.")
        else:
            yield readable(key), value


def _settings(runs: Sequence[RunRecord]) -> list[Column]:
    found = [dict(flat(run.settings)) for run in runs]
    known = [settings for settings in found if settings]  # of a damaged file nothing is known
    columns = []
    for key in dict.fromkeys(key for settings in known for key in settings):
        texts = [told(settings[key]) if key in settings else MISSING for settings in found]
        given = {told(settings[key]) if key in settings else MISSING for settings in known}
        differs = len(given) > 1 and not key.startswith(_RECORDING)
        values = [_sortable(settings.get(key)) for settings in found]
        columns.append(Column(key, key, "setting", differs, differs, values, texts))
    return columns


def _sortable(value: Any) -> float | str | None:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return None if value is None or not abs(value) < float("inf") else float(value)
    return told(value)


def _losses(runs: Sequence[RunRecord]) -> list[Column]:
    names = list(dict.fromkeys(name for run in runs for name in run.outcome.losses))
    return [
        _measured(
            f"final/{readable(name)}",
            f"{readable(name)} loss",
            "loss",
            [run.outcome.losses.get(name) for run in runs],
            "{:.4g}".format,
            always="/" not in name,
        )
        for name in names
    ]


def _speed(runs: Sequence[RunRecord]) -> list[Column]:
    outcomes = [run.outcome for run in runs]
    rates = [
        one.steps / one.step_seconds if one.steps and one.step_seconds else None for one in outcomes
    ]
    memory = [one.peak_memory_bytes and one.peak_memory_bytes / _MB for one in outcomes]
    return [
        _measured("steps", "steps", "speed", [_steps(run) for run in runs], "{:.0f}".format),
        _measured("speed", "steps/s", "speed", rates, "{:.3g}".format),
        _measured("seconds", "seconds", "speed", [one.seconds for one in outcomes], _seconds),
        _measured("memory", "memory, MB", "speed", memory, "{:.0f}".format),
        _measured(
            "warnings", "warnings", "fact", [float(len(one.warnings)) for one in outcomes], _count
        ),
        _named("device", "device", [one.device for one in outcomes]),
        _named("precision", "precision", [one.precision for one in outcomes]),
        _named("weights", "weights", [_weights(one.weights) for one in outcomes]),
    ]


def _steps(run: RunRecord) -> float | None:
    """Steps done; of an unfinished run those that left something."""
    logged = [step for step in run.metrics.get("step", ()) if step is not None]
    seen = [*logged, *run.snapshots]
    steps = run.outcome.steps if run.outcome.steps is not None else max(seen, default=None)
    return None if steps is None else float(steps)


def _weights(facts: Mapping[str, str]) -> str | None:
    if "sha256" not in facts:
        return None
    return readable(f"{facts.get('name', '')} {facts['sha256'][:12]}".strip())


def _measured(
    key: str,
    title: str,
    group: Group,
    values: Sequence[float | None],
    tell: Callable[[float], str],
    *,
    always: bool = True,
) -> Column:
    texts = [MISSING if value is None else tell(value) for value in values]
    return Column(key, title, group, False, always, values, texts)


def _named(key: str, title: str, values: Sequence[str | None]) -> Column:
    texts = [MISSING if value is None else readable(value) for value in values]
    known = [None if value is None else readable(value) for value in values]
    return Column(key, title, "fact", False, True, known, texts)


def _seconds(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _count(value: float) -> str:
    return f"{value:.0f}" if value else ""


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
