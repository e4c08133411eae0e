#!/usr/bin/env python3
"""Draw the rooms of the package and the imports between them into docs/architecture.md.

The picture is Mermaid, read from the code: an arrow from a room to one that it imports from, unless
that follows from other arrows. The table beside it has all of them, with the number of imports.
`--check` draws nothing and fails if the page is out of date.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import grimp

PAGE = Path(__file__).resolve().parents[2] / "docs" / "architecture.md"
PACKAGE = "overpaint"
BEGIN, END = "<!-- drawn by scripts/development/draw_rooms.py -->", "<!-- end of the drawing -->"


def room_of(module: str, rooms: set[str]) -> str | None:
    """The room that a module is in; None for files that stand alone."""
    name = module.split(".")[1] if "." in module else ""
    return name if name in rooms else None


def drawing() -> str:
    """The drawing, the table and their numbers, as they are now."""
    graph = grimp.build_graph(PACKAGE)
    files = {name for name in graph.modules if not graph.find_children(name)}
    rooms = {name.split(".")[1] for name in graph.modules if name.count(".") >= 2}
    arrows: Counter[tuple[str, str]] = Counter()
    inside = alone = 0
    for importer in files:
        for imported in graph.find_modules_directly_imported_by(importer):
            one, other = room_of(importer, rooms), room_of(imported, rooms)
            if one is None or other is None:
                alone += 1
            elif one == other:
                inside += 1
            else:
                arrows[one, other] += 1
    sizes = Counter(room_of(name, rooms) for name in files)
    count = sum(sizes[room] for room in rooms)
    return "\n".join(
        [
            "```mermaid",
            "flowchart TD",
            *(f"  {one} --> {other}" for one, other in sorted(_needed(arrows))),
            "```",
            "",
            f"{len(rooms)} rooms with {count} files; {len(arrows)} arrows between rooms for "
            f"{sum(arrows.values())} imports, {inside} imports inside rooms, {alone} from or to "
            f"the {sizes[None]} files that stand alone.",
            "",
            "| room | files | imports from |",
            "| --- | --- | --- |",
            *(_row(room, sizes[room], arrows) for room in sorted(rooms)),
        ]
    )


def _needed(arrows: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Arrows that do not follow from others: the transitive reduction of a graph without rings."""
    below: dict[str, set[str]] = {}
    for one, other in arrows:
        below.setdefault(one, set()).add(other)

    def reached(room: str) -> set[str]:
        found = set(below.get(room, ()))
        return found.union(*(reached(next_) for next_ in found))

    return {
        (one, other)
        for one, others in below.items()
        for other in others
        if not any(other in reached(between) for between in others)
    }


def _row(room: str, size: int, arrows: Mapping[tuple[str, str], int]) -> str:
    counts = {other: count for (one, other), count in arrows.items() if one == room}
    named = ", ".join(f"`{other}` {count}" for other, count in sorted(counts.items()))
    return f"| `{room}` | {size} | {named or 'no room'} |"


def main() -> None:
    """Draws, or checks the drawing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="fail if the page is out of date")
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    drawn = f"{before}{BEGIN}\n\n{drawing()}\n\n{END}{after}"
    if not parser.parse_args().check:
        PAGE.write_text(drawn, encoding="utf-8")
    elif drawn != text:
        sys.exit(f"{PAGE.name} is out of date: python scripts/development/draw_rooms.py")


if __name__ == "__main__":
    main()
