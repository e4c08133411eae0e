#!/usr/bin/env python3
"""Make the pictures of docs/control.md: one photo under each control, by the commands shown there.

`python scripts/development/control_pictures.py` makes all of them again, or those that are named.
"""

from __future__ import annotations

import argparse
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from overpaint.cli import run
from overpaint.pictures.io import read_picture, save_picture

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "control"

CAT, FLOW = "assets/content/cat.jpg", "assets/style/flow_field.jpg"
PAIR = f"{CAT} {FLOW} image.size=320"
GLASS, MASKS = "assets/style/stained_glass.jpg", "assets/masks"
PHOTO = f"{CAT} image.size=320"
BEHIND = f"{{{{content_mask: {MASKS}/background.png, style: {FLOW}}}}}"
PICTURES: Mapping[str, str] = {
    "none": PAIR,
    "luminance": f"{PAIR} color.keep=luminance",
    "match_lightness": f"{PAIR} color.keep=luminance color.match_lightness=true",
    "statistics": f"{PAIR} color.keep=statistics",
    "histogram": f"{PAIR} color.keep=histogram",
    "recolor": f"recolor {{none}} {CAT}",
    "photo_recolored": f"recolor {CAT} {FLOW} --keep statistics",
    "content": f"{PAIR} init.mode=content",
    "two_paintings": f"{PHOTO} 'regions=[{{{{content_mask: {MASKS}/cat.png, style: {GLASS}}}}}, "
    f"{BEHIND}]'",
    "only_behind": f"{PHOTO} 'regions=[{BEHIND}]'",
    "suns": f"{PHOTO} 'regions=[{{{{content_mask: {MASKS}/cat.png, style: {FLOW}, "
    f"style_mask: {MASKS}/suns.png}}}}]'",
    "averaged": f"{PHOTO} style.images=[{GLASS},{FLOW}]",
    "by_layer": f"{PHOTO} style.images=[{GLASS},{FLOW}] "
    "'style.image_layers=[[relu1_1, relu2_1], [relu3_1, relu4_1, relu5_1]]'",
    "the_other_way": f"{PHOTO} style.images=[{FLOW},{GLASS}] "
    "'style.image_layers=[[relu1_1, relu2_1], [relu3_1, relu4_1, relu5_1]]'",
    "style_map": f"{PAIR} style.weight_map={MASKS}/background.png",
    "content_map": f"{PAIR} content.weight=4 content.weight_map={MASKS}/cat.png",
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
            command = shlex.split(PICTURES[name].format(**made))
            if command[0] != "recolor":
                command += ["tracking.mode=disabled", f"output.dir={place}/runs"]
            if status := run([*command, "-o", str(made[name])]):
                raise SystemExit(status)
        for name in names:
            save_picture(read_picture(made[name]), FOLDER / f"{name}.jpg")


if __name__ == "__main__":
    main()
