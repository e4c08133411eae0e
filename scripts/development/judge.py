#!/usr/bin/env python3
"""Judge sets of finished pictures, whoever painted them, by what no loss here minimises.

    judge.py --photos FOLDER --paintings FOLDER old=FOLDER new=FOLDER --sheets FOLDER
    judge.py --photos FOLDER --paintings FOLDER grey=FOLDER recolored=FOLDER --keep luminance

A set is a folder of pictures named `PHOTO__PAINTING.png` after the files in the two folders. Judged
are the pairs that all sets have. A pair of one painting with itself is the identity test.

style      sliced Wasserstein distance of features to the painting's, 1 for the photo, 0 for the
           painting itself; at the picture's size, a half and a quarter of it, where larger
           structures count; by VGG-19 at layers that no loss reads, and by EfficientNet-Lite0
palette    that of colours in Oklab, in hundredths of its unit; lower is nearer
tints      % of pixels of a tint that neither photo nor painting has
edges      how far the photo's edges are found again, 1 for the photo
layout     the same of what EfficientNet-Lite0 sees where
clipped    % of values at black or white beyond the sources' own
noise      dB in the finest octave beyond the sources' own
checker    dB of a pattern of two pixels beyond the sources' own
border     how differently the edges are painted than what is beside them, beyond the photo's own
ghosts     % of the photo's fine lines that lie over paint that goes elsewhere
identity   RMS distance to the painting in hundredths of Oklab's unit, where photo and painting are
           one picture

With `--keep`, pictures that keep their photo's colours are held against the painting in those:
brought to them as `color.keep` does, or all of it without colours for `luminance`. Then there is

chroma     mean distance of colours to the photo's, place by place, in hundredths of Oklab's unit

Blind sheets show the pairs of each photo, a row a pair, the sets in an order of its own in each
row; `key.json` beside them says which is which. The table is Markdown; all numbers are also written
as JSON with commit and versions.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from overpaint.errors import ImageError, WeightsError
from overpaint.files import write_text
from overpaint.pictures.colour.keeping import brought_to
from overpaint.pictures.formats import SAVE_OPTIONS
from overpaint.pictures.io import fit_size, read_picture, resize, save_picture, size_of
from overpaint.records.environment import save_environment
from overpaint.reports.sheet import contact_sheet

if TYPE_CHECKING:
    from judging.networks import Network

BETWEEN = "__"
CELL_PX = 480
SMALLEST_PX = 128  # of a picture; a quarter of it must be enough for the networks
HIGHER_IS_BETTER = ("edges", "layout")

Pair = tuple[str, str]
Scores = dict[str, float]


def find_pairs(sets: dict[str, Path]) -> dict[Pair, dict[str, Path]]:
    """The pictures of each photo and painting by set, of pairs that all sets have."""
    found: dict[Pair, dict[str, Path]] = defaultdict(dict)
    for name, folder in sets.items():
        for path in sorted(folder.iterdir()):
            photo, between, painting = path.stem.partition(BETWEEN)
            if between and path.suffix.lower() in SAVE_OPTIONS:
                found[photo, painting][name] = path
    return {pair: paths for pair, paths in sorted(found.items()) if len(paths) == len(sets)}


def find_source(stem: str, folders: list[Path]) -> Path:
    """The photo or painting of that name.

    Raises:
        ImageError: if there is none.
    """
    for folder in folders:
        for path in sorted(folder.iterdir()):
            if path.stem == stem and path.suffix.lower() in SAVE_OPTIONS:
                return path
    raise ImageError(f"'{stem}': no such picture in {' or '.join(map(str, folders))}.")


def read_set(paths: dict[str, Path]) -> dict[str, Image.Image]:
    """The pictures of one pair by set.

    Raises:
        ImageError: if a file cannot be read or is too small, or sizes differ by more than rounding.
    """
    pictures = {name: read_picture(path) for name, path in paths.items()}
    first = next(iter(pictures.values()))
    for name, picture in pictures.items():
        if min(picture.size) < SMALLEST_PX:
            raise ImageError(
                f"'{paths[name]}': {picture.width}x{picture.height} pixels; pictures are judged "
                f"from {SMALLEST_PX} on."
            )
        if max(abs(a - b) for a, b in zip(picture.size, first.size, strict=True)) > 2:
            width, height = first.size
            raise ImageError(
                f"'{paths[name]}': {picture.width}x{picture.height} pixels, but the pictures of "
                f"one pair are judged at one size, {width}x{height} here."
            )
        pictures[name] = resize(picture, size_of(first))
    return pictures


def blind_sheets(
    pairs: dict[Pair, dict[str, Path]], folder: Path, *, seed: int = 0
) -> dict[str, dict[str, str]]:
    """Writes a sheet a photo and the key to all of them.

    Returns:
        The key: "PHOTO by PAINTING" to a letter to the name of a set.
    """
    rng = np.random.default_rng(seed)
    by_photo: dict[str, dict[str, dict[str, Image.Image]]] = defaultdict(dict)
    key: dict[str, dict[str, str]] = {}
    for (photo, painting), paths in pairs.items():
        letters = [chr(ord("A") + index) for index in range(len(paths))]
        pictures = read_set(paths)
        order = [list(paths)[index] for index in rng.permutation(len(paths))]
        key[f"{photo} by {painting}"] = dict(zip(letters, order, strict=True))
        label = painting.replace("_", "\n")
        by_photo[photo][label] = {
            letter: pictures[name] for letter, name in zip(letters, order, strict=True)
        }
    folder.mkdir(parents=True, exist_ok=True)
    for photo, rows in by_photo.items():
        columns = list(next(iter(rows.values())))
        save_picture(contact_sheet(rows, columns=columns, cell=CELL_PX), folder / f"{photo}.png")
    write_text(folder / "key.json", json.dumps(key, indent=2) + "\n")
    return key


def judge(
    pairs: dict[Pair, dict[str, Path]],
    photos: Path,
    paintings: Path,
    weights: str,
    *,
    keep: str = "none",
) -> list[dict[str, Any]]:
    """The scores of all pictures: a row a pair, with the scores of each set."""
    from judging.measures import Bench
    from judging.networks import efficientnet, vgg19

    networks = {"vgg": vgg19(weights), "net": efficientnet()}
    rows = []
    for (photo, painting), paths in pairs.items():
        pictures = read_set(paths)
        size = size_of(next(iter(pictures.values())))
        source = read_picture(find_source(painting, [paintings]))
        if photo == painting:
            source = resize(source, size)
            bench = Bench(source, source, networks)
            row = {name: bench.scores(picture) for name, picture in pictures.items()}
        else:
            original = resize(read_picture(find_source(photo, [photos])), size)
            source = resize(source, fit_size(size_of(source), max(size)))
            row = _in_kept_colours(original, source, pictures, networks, keep)
        rows.append({"photo": photo, "painting": painting, "scores": row})
        sys.stderr.write(f"{photo} by {painting}\n")
    return rows


def _in_kept_colours(
    photo: Image.Image,
    painting: Image.Image,
    pictures: dict[str, Image.Image],
    networks: Mapping[str, Network],
    keep: str,
) -> dict[str, Scores]:
    """The scores of the pictures of one pair, as those that keep their photo's colours."""
    from judging.colours import chroma_difference
    from judging.measures import Bench

    from overpaint.pictures.tensors import to_tensor

    def seen(picture: Image.Image) -> Image.Image:
        return brought_to(picture, picture, keep) if keep == "luminance" else picture

    bench = Bench(seen(photo), brought_to(photo, painting, keep), networks)
    found = {name: bench.scores(seen(picture)) for name, picture in pictures.items()}
    if keep == "none":
        return found
    colours = to_tensor(photo)
    return {
        name: {**scores, "chroma": chroma_difference(to_tensor(pictures[name]), colours)}
        for name, scores in found.items()
    }


def summarised(rows: list[dict[str, Any]]) -> dict[str, Scores]:
    """The mean of each score over the pairs that have it, by set."""
    collected: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        for name, scores in row["scores"].items():
            for score, value in scores.items():
                collected[name][score].append(value)
    return {
        name: {score: statistics.mean(values) for score, values in scores.items()}
        for name, scores in collected.items()
    }


def table(means: dict[str, Scores]) -> str:
    """Scores down, sets across, the best of each row in bold."""
    names = list(means)
    lines = ["| | " + " | ".join(names) + " |", "| --- |" + " --- |" * len(names)]
    for score in dict.fromkeys(score for scores in means.values() for score in scores):
        values = [means[name].get(score, float("nan")) for name in names]
        texts = [f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}" for value in values]
        best = max(values) if score in HIGHER_IS_BETTER else min(values)
        cells = [
            f"**{text}**" if value == best and len(names) > 1 else text
            for text, value in zip(texts, values, strict=True)
        ]
        lines.append(f"| {score} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def named_folder(text: str) -> tuple[str, Path]:
    """NAME=FOLDER."""
    name, between, folder = text.partition("=")
    if not (name and between and Path(folder).is_dir()):
        raise argparse.ArgumentTypeError(f"'{text}' is no NAME=FOLDER of an existing folder")
    return name, Path(folder)


def main() -> None:
    """Judges, prints a table and writes JSON and sheets."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sets", nargs="+", type=named_folder, metavar="NAME=FOLDER")
    parser.add_argument("--photos", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--paintings", type=Path, required=True, metavar="FOLDER")
    parser.add_argument(
        "--keep",
        choices=("none", "luminance", "statistics", "histogram"),
        default="none",
        help="the photo's colours that pictures keep (%(default)s)",
    )
    parser.add_argument("--weights", default="auto", help="of VGG-19 (%(default)s)")
    parser.add_argument("--sheets", type=Path, metavar="FOLDER", help="write blind sheets here")
    parser.add_argument("--seed", type=int, default=0, help="of their order (%(default)s)")
    parser.add_argument("--output", type=Path, default=Path("judged.json"), help="%(default)s")
    arguments = parser.parse_intermixed_args()
    sets = dict(arguments.sets)
    if len(sets) < len(arguments.sets):
        parser.error("two sets have one name")
    pairs = find_pairs(sets)
    if not pairs:
        parser.error("no picture named PHOTO__PAINTING is in all sets")
    try:
        if arguments.sheets:
            blind_sheets(pairs, arguments.sheets, seed=arguments.seed)
        rows = judge(
            *(pairs, arguments.photos, arguments.paintings, arguments.weights),
            keep=arguments.keep,
        )
    except ModuleNotFoundError as error:
        sys.exit(f"error: {error.name} is not installed: pip install -e '.[judge]'")
    except (ImageError, WeightsError, OSError) as error:
        sys.exit(f"error: {error}")
    means = summarised(rows)
    sys.stdout.write(f"{len(pairs)} pairs\n\n{table(means)}")
    save_environment(arguments.output, {"pairs": rows, "means": means})


if __name__ == "__main__":
    main()
