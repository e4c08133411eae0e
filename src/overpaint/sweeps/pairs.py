"""Which photos go with which paintings: each with each, or as a table of pairs says."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from overpaint.errors import ConfigError, shortened
from overpaint.pictures.formats import SUFFIXES
from overpaint.settings.parsing import kind_of, read_word

CONTENT, STYLE = "content.image", "style.images"
RUNS = "runs"  # the folder in that of the pictures
_COLUMNS = ("content", "style")
_LONGEST = 90  # bytes of each half of a name; systems take 255 of the whole, with an ending
_LONGEST_NAME = 240  # bytes, likewise
_CONTROL = frozenset(map(chr, range(32)))
_SHOWN = 2  # problems


@dataclass(frozen=True)
class Pair:
    """A picture to be made."""

    name: str
    """Of its file, without ending, and of its run folder."""
    content: str
    styles: tuple[str, ...]
    settings: Mapping[str, str] = field(default_factory=dict)
    """Of this picture alone, as they were typed."""


def each_with_each(
    contents: Sequence[str], styles: Sequence[str], *, results: Path
) -> tuple[Pair, ...]:
    """All photos with all paintings, a painting after the other.

    Args:
        contents: files, or folders of them.
        styles: likewise.
        results: the folder that the pictures go to.

    Raises:
        ConfigError: if a file is missing, a folder holds no pictures or is that of the results, or
            two pictures would have one name.
    """
    problems: list[str] = []
    photos = _pictures("--content", contents, results, problems)
    paintings = _pictures("--style", styles, results, problems)
    _raise(problems)
    return _named([Pair("", photo, (one,)) for one in paintings for photo in photos])


def pairs_of(path: Path, text: str | None = None) -> tuple[Pair, ...]:
    """The pairs of a table: CSV with the columns `content` and `style`.

    A column `name` may name the pictures, and each further one is a setting. Commas, semicolons or
    tabs stand between the cells. A list of paintings is written as in `style.images=[a.jpg,b.jpg]`.

    Args:
        path: of the file; relative paths in it start at the current folder.
        text: what is in it, if it was read before.

    Raises:
        ConfigError: if it cannot be read, has no such columns, or names what is not there.
    """
    what = f"--pairs: '{path}'"
    columns, rows = _table(what, _text(what, path) if text is None else text)
    lacking = [name for name in _COLUMNS if name not in columns]
    if lacking:
        raise ConfigError(
            f"{what}: no column '{lacking[0]}'; the first line names the columns, content,style "
            f"and settings such as style.weight; got {', '.join(columns) or 'nothing'}."
        )
    twice = [name for name in columns if columns.count(name) > 1]
    if twice:
        raise ConfigError(f"{what}: two columns '{twice[0]}'.")
    odd = [name for name in columns if not name or "=" in name]
    if odd:
        raise ConfigError(
            f"{what}: a column '{odd[0]}'; each is named by a setting alone, such as style.weight."
        )
    pairs: list[Pair] = []
    problems: list[str] = []
    for line, cells in rows:
        if len(cells) > len(columns):
            problems.append(
                f"{what}, line {line}: {len(cells)} cells for {len(columns)} columns; a name with "
                'a comma is written in quotation marks: "a, b.jpg".'
            )
            continue
        row = {name: cell for name, cell in zip(columns, cells, strict=False) if cell}
        pair, faults = _pair(row)
        problems += [f"{what}, line {line}: {fault}" for fault in faults]
        pairs.append(pair)
    if not rows:
        problems.append(f"{what}: no pairs in it, only the names of its columns.")
    _raise(problems)
    return _named(pairs)


def _pair(row: Mapping[str, str]) -> tuple[Pair, list[str]]:
    faults = [f"no {name}." for name in _COLUMNS if name not in row]
    content = os.path.expanduser(row.get("content", ""))
    styles = [*map(os.path.expanduser, _listed(row["style"]))] if "style" in row else []
    if "style" in row and not styles:
        faults.append("style: an empty list.")
    for name in [one for one in (content, *styles) if one]:
        if os.path.isdir(name):
            faults.append(f"'{name}' is a folder; name one picture in it.")
        elif not os.path.exists(name):
            faults.append(f"no such file: '{name}' (from {Path.cwd()}).")
    name = row.get("name", "")
    if name:
        faults += _name_faults(name)
    own = {key: text for key, text in row.items() if key not in (*_COLUMNS, "name")}
    return Pair(name, content, tuple(styles), own), faults


def _name_faults(name: str) -> Iterator[str]:
    if name != Path(name).name or name.startswith(".") or not _CONTROL.isdisjoint(name):
        yield f"name: {name!r} is no name of a file."
    elif len(os.fsencode(name)) > _LONGEST_NAME:
        yield f"name: '{shortened(name)}' is too long; at most {_LONGEST_NAME} bytes."
    elif name.lower().endswith(SUFFIXES):
        yield f"name: '{name}' has an ending; leave it out, all pictures of a batch are PNG."


def _listed(cell: str) -> list[str]:
    """The paintings in a cell: one, or a list in brackets."""
    if os.path.exists(os.path.expanduser(cell)) or not cell.startswith("["):
        return [cell]
    return [*map(str, read_word(cell, kind_of(STYLE)))]


def _text(what: str, path: Path) -> str:
    try:
        if path.is_char_device():  # may never end
            raise ConfigError(f"{what}: is a device; name a file or a pipe.")
        text = path.read_text(encoding="utf-8-sig")
        if "\0" not in text:  # as in UTF-16
            return text
    except UnicodeDecodeError:
        pass
    except OSError as error:
        raise ConfigError(f"{what}: cannot be read ({error.strerror or error}).") from error
    raise ConfigError(f"{what}: is not UTF-8; save it as 'CSV UTF-8'.")


def _table(what: str, text: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The names of the columns, and number and cells of each further line that is not empty."""
    first = text.lstrip().partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except csv.Error as error:
        raise ConfigError(f"{what}, line {reader.line_num}: {error}.") from error
    lines = [(number, cells) for number, cells in lines if any(cells)]
    columns = [*lines[0][1]] if lines else []
    while columns and not columns[-1]:
        columns.pop()
    return columns, [(number, _without_tail(cells, len(columns))) for number, cells in lines[1:]]


def _without_tail(cells: list[str], count: int) -> list[str]:
    """Cells without the empty ones that spreadsheets leave behind the last column."""
    kept = [*cells]
    while len(kept) > count and not kept[-1]:
        kept.pop()
    return kept


def _pictures(option: str, names: Sequence[str], results: Path, problems: list[str]) -> list[str]:
    """The files that are named, and those in the folders that are named, each once."""
    found: dict[str, str] = {}
    for name in map(os.path.expanduser, names):
        if os.path.isdir(name):
            if os.path.exists(results) and os.path.samefile(name, results):
                problems.append(f"--output: '{results}' holds what {option} names; use another.")
                continue
            inside = [*_inside(option, name, problems)]
            found.update({os.path.abspath(one): one for one in inside})
        elif _is_result(name, results):
            problems.append(f"{option}: '{name}' is a picture that this batch made; leave it out.")
        elif os.path.exists(name):
            found.setdefault(os.path.abspath(name), name)
        else:
            problems.append(f"{option}: no such file or folder: '{name}' (from {Path.cwd()}).")
    if not names:
        problems.append(f"{option}: name a folder of pictures, or pictures.")
    return [*found.values()]


def _is_result(name: str, results: Path) -> bool:
    """Whether a file is what a batch made before, as a pattern such as *.png names it too."""
    folder, file = os.path.split(os.path.abspath(name))
    made = results / RUNS / Path(file).stem
    return (
        file.endswith(".png")
        and os.path.isdir(made)
        and os.path.exists(folder)
        and os.path.samefile(folder, results)
    )


def _inside(option: str, folder: str, problems: list[str]) -> Iterator[str]:
    """The pictures in a folder by their endings, in the order of their names."""
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        problems.append(f"{option}: '{folder}' cannot be read ({error.strerror}).")
        return
    paths = [os.path.join(folder, name) for name in names if not name.startswith(".")]
    pictures = [one for one in paths if one.lower().endswith(SUFFIXES) and os.path.isfile(one)]
    if not pictures:
        problems.append(
            f"{option}: no pictures in the folder '{folder}' (files that end in "
            f"{', '.join(SUFFIXES)}; folders inside it do not count)."
        )
    yield from pictures


def _named(pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    """The pairs with a name each.

    Raises:
        ConfigError: if two have the same; systems may take capitals for small letters.
    """
    found: dict[str, Pair] = {}
    problems = []
    for one in pairs:
        name = one.name or f"{_short([one.content])}_{_short(one.styles)}".lstrip(".")
        key = unicodedata.normalize("NFC", name).casefold()
        pair = Pair(name, one.content, one.styles, one.settings)
        if key in found:
            problems.append(
                f"'{name}.png' would be made twice, {_sources(found[key])} and {_sources(pair)}; "
                "rename a file, or use --pairs with a column 'name'."
            )
        found.setdefault(key, pair)
    _raise(problems)
    return tuple(found.values())


def _sources(pair: Pair) -> str:
    return f"from '{pair.content}' with '{', '.join(pair.styles)}'"


def _short(paths: Sequence[str]) -> str:
    """The names of files without their endings, in a length that two of them may have."""
    name = "+".join(Path(path).stem for path in paths)
    if len(os.fsencode(name)) <= _LONGEST:
        return name
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:8]
    while len(os.fsencode(name)) > _LONGEST - 9:
        name = name[:-1]
    return f"{name}-{digest}"


def _raise(problems: Sequence[str]) -> None:
    """Tells of the first problems, for a table may have hundreds of them.

    Raises:
        ConfigError: if there are any.
    """
    more = len(problems) - _SHOWN
    if problems:
        raise ConfigError([*problems[:_SHOWN], *([f"and {more} more like these."] * (more > 0))])
