#!/usr/bin/env python3
"""Measure ways to keep a photo's colours: in which space, by which map.

For docs/control.md: `python scripts/development/measure_colours.py --photos FILE ... --paintings
FILE ...` compares the maps that bring each painting to the colours of each photo. With `--paint` it
compares the ways to put a photo's colours into what was painted in luminance, for each photo and
the painting in its place, which paints three pictures.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import torch
from judging.colours import palette_distance
from PIL import Image

from overpaint import load_encoder, paint
from overpaint.losses.scoring import Judge
from overpaint.pictures.colour.keeping import (
    as_array,
    as_picture,
    brought_to,
    with_chroma,
    with_histogram,
)
from overpaint.pictures.colour.matching import Picture, least_transport
from overpaint.pictures.colour.oklab import Floats, light_of_oklab, to_oklab
from overpaint.pictures.io import fit_size, read_picture, resize, size_of

Space = tuple[Callable[[Floats], Floats], Callable[[Floats], Floats]]

# BT.601, as JPEG has it: Y, Cb, Cr of sRGB's own values.
_YCBCR = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])  # of linear light


def say(line: str) -> None:
    """Prints a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def light(srgb: Floats) -> Floats:
    """SRGB to linear light."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb.clip(0) + 0.055) / 1.055) ** 2.4)


def screen(linear: Floats) -> Floats:
    """Linear light to sRGB, and what leaves [0, 1] likewise, so that it can be counted."""
    small = linear * 12.92
    return np.where(linear <= 0.0031308, small, 1.055 * linear.clip(1e-9) ** (1 / 2.4) - 0.055)


def _same(colours: Floats) -> Floats:
    return colours


SPACES: Mapping[str, Space] = {
    "sRGB": (_same, _same),
    "linear light": (light, screen),
    "YCbCr of sRGB": (lambda x: x @ _YCBCR.T, lambda x: x @ np.linalg.inv(_YCBCR).T),
    "Oklab": (to_oklab, lambda x: screen(light_of_oklab(x))),
}


def least(own: Floats, goal: Floats) -> Floats:
    """The transport that moves colours least."""
    return least_transport(own, goal)


def by_cholesky(own: Floats, goal: Floats) -> Floats:
    """Gatys et al. 2016 name it, and that it depends on the order of the channels."""
    tiny = 1e-8 * np.eye(3)
    first, second = (np.linalg.cholesky(one + tiny) for one in (own, goal))
    return np.asarray((second @ np.linalg.inv(first)).T)


def by_roots(own: Floats, goal: Floats) -> Floats:
    """A root of the one times the inverse root of the other, their image analogies' map."""
    roots = []
    for one in (own, goal):
        values, vectors = np.linalg.eigh(one)
        roots.append((vectors * np.sqrt(values.clip(1e-8))) @ vectors.T)
    return np.asarray((roots[1] @ np.linalg.inv(roots[0])).T)


def moved(
    painting: Floats, photo: Floats, space: Space, transport: Callable[..., Floats]
) -> Floats:
    """A painting with a photo's mean and covariance in a space, not clipped."""
    there, back = space
    own, goal = (there(one).reshape(-1, 3) for one in (painting, photo))
    matrix = transport(np.cov(own.T, bias=True), np.cov(goal.T, bias=True))
    return back((there(painting) - own.mean(0)) @ matrix + goal.mean(0))


def by_channel(painting: Floats, photo: Floats) -> Floats:
    """Histograms of L, a and b, each for itself."""
    there, back = SPACES["Oklab"]
    own, goal = there(painting), there(photo).reshape(-1, 3)
    found = np.empty_like(own)
    for i in range(3):
        ranks = np.argsort(np.argsort(own[..., i], axis=None)).reshape(own.shape[:2])
        at = (ranks + 0.5) / ranks.size
        found[..., i] = np.quantile(goal[:, i], at)
    return back(found)


def by_rotations(painting: Floats, photo: Floats) -> Floats:
    """What `color.keep=histogram` does."""
    return with_histogram(painting.astype(np.float32), photo.astype(np.float32))


def maps() -> Iterator[tuple[str, Callable[[Floats, Floats], Floats]]]:
    """What is compared, by name."""
    for name, space in SPACES.items():
        yield f"statistics, {name}", partial(moved, space=space, transport=least)
    for name, way in (("Cholesky", by_cholesky), ("two roots", by_roots)):
        yield f"statistics, Oklab, {name}", partial(moved, space=SPACES["Oklab"], transport=way)
    yield "histogram, Oklab by channel", by_channel
    yield "histogram, Oklab by rotations", by_rotations


def grain(picture: Floats) -> float:
    """The share of the variance that is between a pixel and the mean of its neighbours."""
    lab = to_oklab(picture)
    fine = lab[:, 1:-1] - (lab[:, 2:] + lab[:, :-2]) / 2
    return float(np.square(fine).sum(-1).mean() / lab.var((0, 1)).sum())


def compare_maps(pairs: Sequence[tuple[Picture, Picture]]) -> None:
    """Prints the means over pairs of photo and painting."""
    say("| map | palette | outside sRGB % | grain |\n| --- | --- | --- | --- |")
    for name, change in maps():
        rows = []
        for photo, painting in pairs:
            found = change(painting.astype(np.float64), photo.astype(np.float64))
            outside = ((found < -0.002) | (found > 1.002)).any(-1).mean()
            shown = found.clip(0, 1)
            tensors = [
                torch.from_numpy(one.astype(np.float32)).permute(2, 0, 1)[None]
                for one in (shown, photo)
            ]
            distance = palette_distance(tensors[0], tensors[1])
            rows.append((distance, 100 * outside, grain(shown) / grain(painting)))
        say("| " + " | ".join([name, *(f"{one:.2f}" for one in np.mean(rows, 0))]) + " |")


def with_ycbcr(picture: Picture, photo: Picture) -> Picture:
    """Y of one picture and Cb, Cr of another, as the paper's luminance (YIQ there) is put back."""
    found = photo @ _YCBCR.T
    found[..., 0] = (picture @ _YCBCR.T)[..., 0]
    back: Floats = found @ np.linalg.inv(_YCBCR).T
    return back.clip(0, 1).astype(np.float32)


def with_scaled_light(picture: Picture, photo: Picture) -> Picture:
    """The photo's light, brighter or darker as the picture is, which keeps its chromaticity."""
    wanted, own = (light(one) @ _LUMINANCE for one in (picture, photo))
    scaled = light(photo) * (wanted / np.maximum(own, 1e-4))[..., None]
    return screen(scaled.clip(0, 1)).astype(np.float32)


def compare_paintings(pairs: Sequence[tuple[Image.Image, Image.Image]], size: int) -> None:
    """Paints each pair with and without its colours, and prints what came of it."""
    encoder = load_encoder("vgg19")
    say("| pair | way | chroma difference | style at luminance | lightness off |")
    say("| --- | --- | --- | --- | --- |")
    for number, (photo, painting) in enumerate(pairs, 1):
        grey = [brought_to(photo, one, "luminance") for one in (photo, painting)]
        judge = Judge(encoder, grey[0], grey[1], size)
        words = (f"image.size={size}",)
        plain = paint(photo, [painting], *words, progress=False).image
        painted = as_array(paint(grey[0], [grey[1]], *words, progress=False).image)
        matched = brought_to(photo, painting, "luminance", match_lightness=True)
        lighter = as_array(paint(grey[0], [matched], *words, progress=False).image)
        own = as_array(resize(photo, size_of(plain)))
        rows: dict[str, tuple[Picture, Picture]] = {
            "none": (as_array(plain), as_array(plain)),
            "none, recoloured after": (with_chroma(as_array(plain), own), as_array(plain)),
            "luminance, Oklab": (with_chroma(painted, own), painted),
            "luminance, YCbCr of sRGB": (with_ycbcr(painted, own), painted),
            "luminance, linear light scaled": (with_scaled_light(painted, own), painted),
            "luminance, match_lightness": (with_chroma(lighter, own), lighter),
        }
        for name, (shown, basis) in rows.items():
            picture = as_picture(shown)
            levels = to_oklab(as_array(picture).astype(np.float64))
            chroma = np.linalg.norm((levels - to_oklab(own.astype(np.float64)))[..., 1:], axis=-1)
            off = np.abs(levels - to_oklab(basis.astype(np.float64)))[..., 0]
            style = judge.score(brought_to(picture, picture, "luminance")).style
            say(f"| {number} | {name} | {chroma.mean():.4f} | {style:.3f} | {off.mean():.4f} |")


def main(words: Sequence[str] | None = None) -> None:
    """Prints tables of Markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", nargs="+", type=Path, required=True)
    parser.add_argument("--paintings", nargs="+", type=Path, required=True)
    parser.add_argument("--size", type=int, default=256, help="longer edge, pixels")
    parser.add_argument(
        "--paint", action="store_true", help="paint each photo by the painting beside"
    )
    arguments = parser.parse_args(words)
    photos, paintings = (
        [_sized(path, arguments.size) for path in paths]
        for paths in (arguments.photos, arguments.paintings)
    )
    if arguments.paint:
        compare_paintings([*zip(photos, paintings, strict=True)], arguments.size)
    else:
        compare_maps([(as_array(a), as_array(b)) for a, b in product(photos, paintings)])


def _sized(path: Path, long_edge: int) -> Image.Image:
    picture = read_picture(path)
    return resize(picture, fit_size(size_of(picture), long_edge))


if __name__ == "__main__":
    main()
