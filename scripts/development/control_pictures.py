#!/usr/bin/env python3
"""Make the pictures of docs/control.md: one photo under each control, by the commands shown there.

`python scripts/development/control_pictures.py` makes all of them again, or those that are named.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from overpaint.cli import run
from overpaint.pictures.io import read_picture, save_picture

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "control"

CAT, FLOW = "assets/content/cat.jpg", "assets/style/flow_field.jpg"
PAIR = f"{CAT} {FLOW} image.size=320"
PICTURES: Mapping[str, str] = {
    "none": PAIR,
    "luminance": f"{PAIR} color.keep=luminance",
    "match_lightness": f"{PAIR} color.keep=luminance color.match_lightness=true",
    "statistics": f"{PAIR} color.keep=statistics",
    "histogram": f"{PAIR} color.keep=histogram",
    "recolor": f"recolor {{none}} {CAT}",
    "photo_recolored": f"recolor {CAT} {FLOW} --keep statistics",
    "content": f"{PAIR} init.mode=content",
}
"""Words of each picture's command; `{none}` stands for the picture of that name."""


def main(words: Sequence[str] | None = None) -> None:
    """Makes pictures from the top folder of a checkout."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PICTURES))
    names = parser.parse_args(words).names or [*PICTURES]
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        made = {name: Path(place) / f"{name}.png" for name in PICTURES}
        for name in dict.fromkeys((*(["none"] if "recolor" in names else []), *names)):
            command = PICTURES[name].format(**made).split()
            if command[0] != "recolor":
                command += ["tracking.mode=disabled", f"output.dir={place}/runs"]
            if status := run([*command, "-o", str(made[name])]):
                raise SystemExit(status)
        for name in names:
            save_picture(read_picture(made[name]), FOLDER / f"{name}.jpg")


if __name__ == "__main__":
    main()
