"""What a page shows of each run, its pictures among it, in plain values."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from overpaint.console import command
from overpaint.errors import ImageError, brief
from overpaint.files import file_sha256, readable
from overpaint.records.reading import RunRecord, State
from overpaint.reports import thumbnails
from overpaint.reports.columns import Column, differing
from overpaint.reports.thumbnails import INPUT, RESULT, SNAPSHOT, Kind, Thumbnail, thumbnail

_FEWEST = 3  # snapshots of a run, however many runs there are
_MOST = 24
_TITLES = ("Photo", "Painting", "Mask")
_PHOTO = _TITLES[0]


@dataclass(frozen=True)
class Run:
    """A run on the page."""

    number: int
    """Counted from 1."""
    name: str
    traits: Sequence[tuple[str, str]]
    """The settings in which it differs from others, by their short names."""
    state: State
    problems: Sequence[str]
    warnings: Sequence[str]
    commands: Sequence[tuple[str, str]]
    """What one does it for, and a command."""
    facts: Sequence[tuple[str, str]]
    frames: Sequence[tuple[int, str]]
    """Step to the key of its picture, in order; the last one of a finished run is the result."""
    size: tuple[int, int]
    """(height, width) of its picture."""
    photo: str | None
    """Key of its picture."""


@dataclass(frozen=True)
class Source:
    """A photo, painting or mask on the page."""

    title: str
    name: str
    numbers: Sequence[int]
    """Of the runs that it is of."""
    picture: str | None
    """Key; None if there is none to show."""
    size: tuple[int, int]
    remark: str
    """Why there is none."""


@dataclass
class Album:
    """The pictures of a page, each once."""

    room: float
    """Bytes for a share of 1."""
    pictures: dict[str, Thumbnail] = field(default_factory=dict)

    def add(self, path: Path, kind: Kind) -> str:
        """Adds a picture and returns its key.

        Raises:
            ImageError: if it cannot be read.
        """
        key = f"{kind.long_edge}:{path}"
        if key not in self._keys:
            made = thumbnail(path, kind, self.room)
            self._keys[key] = f"p{len(self._keys)}"
            self.pictures[self._keys[key]] = made
        return self._keys[key]

    _keys: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Exhibits:
    """All that is hung."""

    runs: Sequence[Run]
    sources: Sequence[Source]
    pictures: Mapping[str, Thumbnail]


def exhibits_of(records: Sequence[RunRecord], columns: Sequence[Column]) -> Exhibits:
    """Reads the pictures of some runs and words what else is told of them."""
    chosen = [_chosen_snapshots(record, _most_snapshots(records)) for record in records]
    named = {path for record in records for _, path, _ in _named_sources(record)}
    kinds = [*[RESULT] * len(records), *[INPUT] * len(named)]
    kinds += [SNAPSHOT for snapshots in chosen for _ in snapshots]
    album = Album(thumbnails.room_for_one(kinds))
    sources, photos = _sources(records, album)
    traits = _traits(columns, len(records))
    runs = [
        _run(number, record, chosen[number - 1], album, traits[number - 1], photos.get(number))
        for number, record in enumerate(records, start=1)
    ]
    return Exhibits(runs, sources, album.pictures)


def _most_snapshots(records: Sequence[RunRecord]) -> int:
    shares = thumbnails.ROOM / thumbnails.SHARPEST - len(records) * RESULT.share
    return min(_MOST, max(_FEWEST, int(shares / max(1, len(records)))))


def _chosen_snapshots(record: RunRecord, most: int) -> list[tuple[int, Path]]:
    done = record.outcome.steps if record.result else None
    apart = [(step, path) for step, path in record.snapshots.items() if step != done]
    return thumbnails.thinned(apart, most)


def _run(
    number: int,
    record: RunRecord,
    snapshots: Sequence[tuple[int, Path]],
    album: Album,
    traits: Sequence[tuple[str, str]],
    photo: str | None,
) -> Run:
    problems, frames = list(record.problems), []
    for step, path in snapshots:
        try:
            frames.append((step, album.add(path, SNAPSHOT)))
        except ImageError:
            problems.append(f"snapshots/{path.name} cannot be read.")
    if record.result is not None:
        last = max([1, *record.snapshots])
        frames.append((record.outcome.steps or last, album.add(record.result, RESULT)))
    frames.sort(key=lambda frame: frame[0])
    warned = [str(one.get("message", "")) for one in record.outcome.warnings]
    told = [record.outcome.diverged, *warned]
    return Run(
        number=number,
        name=_name(record),
        traits=traits,
        state=record.state,
        problems=[readable(one) for one in problems],
        warnings=[readable(one) for one in told if one],
        commands=[(what, readable(line)) for what, line in _commands(record)],
        facts=[(what, readable(fact)) for what, fact in _facts(record)],
        frames=frames,
        size=album.pictures[frames[-1][1]].size if frames else (3, 4),
        photo=photo,
    )


def _name(record: RunRecord) -> str:
    tracking = record.settings.get("tracking")
    given = tracking.get("name") if isinstance(tracking, Mapping) else None
    return readable(given if isinstance(given, str) and given else record.folder.name)


def _traits(columns: Sequence[Column], count: int) -> list[list[tuple[str, str]]]:
    """What is special about each run, by names as short as they are clear."""
    special = differing(columns)
    ends = [one.key.rpartition(".")[2] for one in special]
    names = [
        end if ends.count(end) == 1 and end != "name" else one.key
        for one, end in zip(special, ends, strict=True)
    ]
    return [
        [(name, one.texts[i]) for name, one in zip(names, special, strict=True)]
        for i in range(count)
    ]


def _commands(record: RunRecord) -> list[tuple[str, str]]:
    start, folder = command("stylize"), record.folder
    commands = []
    if record.can_go_on:
        commands.append(("Go on", f"{start} --resume {shlex.quote(str(folder))}"))
    if record.settings:
        commands.append(("Repeat", f"{start} --config {shlex.quote(str(folder / 'config.yaml'))}"))
    return commands


def _facts(record: RunRecord) -> list[tuple[str, str]]:
    outcome, weights = record.outcome, record.outcome.weights
    versions = [f"{name} {version}" for name, version in outcome.versions.items()]
    facts = {
        "Folder": str(record.folder),
        "Weights": " ".join(weights[key] for key in ("name", "sha256") if key in weights),
        "Machine": ", ".join(
            one for one in (outcome.device, outcome.processor, outcome.precision) if one
        ),
        "Versions": ", ".join(versions),
        "Commit": outcome.commit or "",
    }
    return [(what, fact) for what, fact in facts.items() if fact]


def _named_sources(record: RunRecord) -> list[tuple[str, str, str]]:
    """Setting, path and SHA-256 of the pictures that a run read; an empty hash if unknown."""
    content, style = record.settings.get("content"), record.settings.get("style")
    image = content.get("image") if isinstance(content, Mapping) else None
    images = style.get("images") if isinstance(style, Mapping) else None
    named: list[tuple[str, Any]] = [("content.image", image)]
    regions = record.settings.get("regions")
    if isinstance(regions, list) and regions:
        styles = [one.get("style") for one in regions if isinstance(one, Mapping)]
        images = list(dict.fromkeys(one for one in styles if isinstance(one, str)))
    if isinstance(images, list):
        named += [(f"style.images[{i}]", one) for i, one in enumerate(images)]
    named += _named_masks(record)
    known = record.outcome.inputs
    return [(key, one, known.get(key, "")) for key, one in named if one and isinstance(one, str)]


def _named_masks(record: RunRecord) -> list[tuple[str, Any]]:
    """Setting and path of the masks and weight maps of a run."""
    named: list[tuple[str, Any]] = []
    regions = record.settings.get("regions")
    for i, region in enumerate(regions if isinstance(regions, list) else ()):
        if isinstance(region, Mapping):
            keys = ("content_mask", "style_mask")
            named += [(f"regions[{i}].{key}", region.get(key)) for key in keys]
    for key in ("style", "content"):
        section = record.settings.get(key)
        if isinstance(section, Mapping):
            named.append((f"{key}.weight_map", section.get("weight_map")))
    return named


def _title(setting: str) -> str:
    """What a picture is to a run."""
    if setting == "content.image":
        return _PHOTO
    return "Painting" if setting.startswith("style.images") else "Mask"


def _sources(records: Sequence[RunRecord], album: Album) -> tuple[list[Source], dict[int, str]]:
    """The pictures that all runs read, each once, and the photo of each run by its number."""
    used: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for number, record in enumerate(records, start=1):
        for setting, path, sha256 in _named_sources(record):
            known = sha256 or _sha256_now(path) or path  # an unfinished run has not told it yet
            used.setdefault((_title(setting), known), []).append((number, path))
    sources: list[Source] = []
    photos: dict[int, str] = {}
    for (title, known), uses in sorted(used.items(), key=lambda one: _TITLES.index(one[0][0])):
        numbers = sorted({number for number, _ in uses})
        paths = list(dict.fromkeys(path for _, path in uses))
        source = _source(title, known, paths, numbers, album)
        sources.append(source)
        if source.picture is not None and title == _PHOTO:
            photos |= dict.fromkeys(numbers, source.picture)
    return sources, photos


def _source(
    title: str, known: str, paths: Sequence[str], numbers: Sequence[int], album: Album
) -> Source:
    """A picture by its SHA-256, from the first place where it still is."""
    found = [path for path in paths if _sha256_now(path) == known]
    name, remark = readable(Path(paths[0]).name), "It is no longer where it was."
    if found:
        try:
            key = album.add(Path(found[0]), INPUT)
        except ImageError as error:
            remark = readable(f"It cannot be read ({brief(error)}).")
        else:
            return Source(title, name, numbers, key, album.pictures[key].size, "")
    elif any(os.path.exists(path) for path in paths):
        remark = "Another picture has this name now."
    return Source(title, name, numbers, None, (3, 4), remark)


def _sha256_now(path: str) -> str | None:
    try:
        return file_sha256(path) if os.path.isfile(path) else None
    except OSError:  # not ours to read
        return None
