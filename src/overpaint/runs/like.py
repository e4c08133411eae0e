"""The settings of a run from its picture alone, and the pictures that it read. No PyTorch."""

from __future__ import annotations

import dataclasses
import logging
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from overpaint.errors import ConfigError
from overpaint.files import file_sha256
from overpaint.records.environment import versions
from overpaint.records.provenance import Provenance, read_provenance
from overpaint.settings.named import masks_read
from overpaint.settings.reading import load_config
from overpaint.settings.schema import Config
from overpaint.settings.shipped import find_picture

logger = logging.getLogger(__name__)

_LINES = 3  # that are told at most


def config_like(
    picture: str | Path,
    words: Sequence[str] = (),
    *,
    values: Mapping[str, Any] | None = None,
) -> Config:
    """The settings that repeat the run that left a PNG.

    Its photo, paintings and start are searched where the settings say, from the current folder and
    from that of the PNG, then beside the PNG, and are held against the hashes in it.

    Args:
        picture: the PNG.
        words: further `key=value` settings. A picture that they name takes the place of the run's,
            and is not held against anything.
        values: dotted key to value, taken as they are and last; likewise.

    Raises:
        ImageError: if it is no PNG of a run.
        ConfigError: if its settings cannot be used, one of its pictures is gone or another one, or
            the words cannot be run.
    """
    picture = Path(os.path.expanduser(picture))
    values = values or {}
    made = read_provenance(picture)
    before = _settings(picture, made)
    wanted = load_config(picture, words, text=made.settings, values=values, with_files=False)
    named = {*values, *(word.partition("=")[0] for word in words)}
    search = _Search(picture, made.inputs)
    found: dict[str, Any] = {}
    if "content.image" not in named and wanted.content.image == before.content.image:
        found["content.image"] = search.find("content.image", wanted.content.image)
    is_same = wanted.style.images == before.style.images
    if "style.images" not in named and is_same and not wanted.regions:
        found["style.images"] = [
            search.find(f"style.images[{i}]", name) for i, name in enumerate(wanted.style.images)
        ]
    found |= _masks(wanted, before, named, search)
    start = wanted.init.file if wanted.init.mode == "file" else None
    if start and "init.file" not in named and start == before.init.file:
        found["init.file"] = search.find("init.file", start)
    search.conclude()
    config = load_config(picture, words, text=made.settings, values={**found, **values})
    _tell(picture, made, is_searched=bool(found))
    return config


def _masks(
    wanted: Config, before: Config, named: Collection[str], search: _Search
) -> dict[str, Any]:
    """Where the weight maps, and the masks and paintings of regions, are now."""
    found: dict[str, Any] = {}
    for key in ("content.weight_map", "style.weight_map"):
        name, own = masks_read(wanted).get(key), masks_read(before).get(key)
        if name is not None and name == own and key not in named:
            found[key] = search.find(key, name)
    if not wanted.regions or wanted.regions != before.regions or "regions" in named:
        return found
    found["regions"] = regions = []
    for i, region in enumerate(wanted.regions):
        one = dataclasses.asdict(region)
        if region.style is not None:
            painting = wanted.style.images.index(region.style)
            one["style"] = search.find(f"style.images[{painting}]", region.style, given="regions")
        for mask in ("content_mask", "style_mask"):
            if one[mask] is not None:
                one[mask] = search.find(f"regions[{i}].{mask}", one[mask], given="regions")
        regions.append(one)
    return found


def _settings(picture: Path, made: Provenance) -> Config:
    """What the text says, files aside.

    Raises:
        ConfigError: in one line, if that is nothing that a run can have written.
    """
    try:
        return load_config(picture, text=made.settings, with_files=False)
    except ConfigError as error:
        first, more = error.problems[0], len(error.problems) - 1
        further = f" And {more} more." if more else ""
        raise ConfigError(f"--like: the settings in '{picture}': {first}{further}") from None


class _Search:
    """Where the pictures of a run are now.

    Args:
        png: its result.
        hashes: the setting of each picture to the SHA-256 of its file.
    """

    def __init__(self, png: Path, hashes: Mapping[str, str]) -> None:
        self._png = png
        self._hashes = hashes
        self._problems: list[str] = []

    def find(self, setting: str, name: str, *, given: str | None = None) -> str:
        """The file of a picture; if there is none, `conclude` tells and this is `name`.

        Args:
            setting: that the run kept its hash under.
            name: that the run had for it.
            given: the setting to name another one in, if that is not the same.
        """
        expected = self._hashes.get(setting)
        there = [place for place in _places(name, self._png) if os.path.isfile(place)]
        hint = f"name it in {given}" if given else f"name it: {setting.partition('[')[0]}=FILE"
        other = ""
        for place in there:
            try:
                sha256 = file_sha256(place)
            except OSError as error:
                other = other or f"'{place}' cannot be read ({error.strerror})"
                continue
            if expected in (None, sha256):
                return place
            other = other or (
                f"'{place}' is not the picture that the run read (sha256 {sha256[:12]}, not "
                f"{str(expected)[:12]})"
            )
        if other:
            self._problems.append(f"{setting}: {other}; to take another one, {hint}")
        else:
            self._problems.append(
                f"{setting}: '{name}' is gone, and so is one of that name beside '{self._png}'; "
                f"where it is elsewhere, {hint}"
            )
        return name

    def conclude(self) -> None:
        """Tells what was not found.

        Raises:
            ConfigError: if anything was not.
        """
        more = len(self._problems) - _LINES
        if more > 0:
            self._problems[_LINES - 1 :] = [f"And {more + 1} more pictures of the run."]
        if self._problems:
            raise ConfigError(self._problems)


def _places(name: str, png: Path) -> Iterator[str]:
    """Where a picture may be that a run elsewhere had under a name, perhaps on another system."""
    yield name
    yield str(png.parent / name)
    parts = re.split(r"[\\/]", name)
    yield str(png.parent / parts[-1])
    if parts[-3:-2] == ["assets"]:  # a sample, of any installation
        yield find_picture("/".join(parts[-3:]))


def _tell(picture: Path, made: Provenance, *, is_searched: bool) -> None:
    if is_searched and not made.inputs:
        logger.warning(
            "'%s' was made by an older version, without hashes of its pictures: whether these are "
            "the same is not known.",
            picture,
        )
    here = versions()
    others = [
        f"{package} {version} (here {here[package]})"
        for package, version in made.versions.items()
        if here.get(package, version) != version
    ]
    if others:
        logger.warning(
            "Made with %s: the picture may differ in its last bits.",
            ", ".join(others),
        )
