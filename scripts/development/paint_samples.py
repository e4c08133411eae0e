#!/usr/bin/env python3
"""Paint the style pictures in `assets/style/`: flow-field brush strokes and a stained-glass mosaic.

Both are made of nothing but a seed; `python scripts/development/paint_samples.py` paints them
again.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Floats = NDArray[np.float64]

WIDTH, HEIGHT = 768, 576
OVERSAMPLING = 2  # strokes are drawn larger and scaled down, which smooths their edges

NIGHT = ("#0b1a4a", "#12307c", "#1f57a8", "#3d86c6", "#7fb9d6", "#d8e4c8")
SUNS = ("#f3d35a", "#f7b32b", "#fbe9a0", "#e8852c")
GLASS = ("#b3182d", "#e2711d", "#f6bd27", "#2f8f4e", "#0f7c9b", "#1c3f94", "#6a2c91", "#f4e7c5")


def _colours(names: tuple[str, ...]) -> Floats:
    return np.array([[int(name[i : i + 2], 16) for i in (1, 3, 5)] for name in names], float)


def smooth_noise(
    rng: np.random.Generator, size: tuple[int, int], cells: int, octaves: int = 3
) -> Floats:
    """Noise made of blurred random grids, in [0, 1].

    Args:
        rng: the source of randomness.
        size: (height, width) of the result.
        cells: grid cells along the longer edge in the coarsest octave.
        octaves: each has twice the cells and half the height of the one before.
    """
    total = np.zeros(size)
    for octave in range(octaves):
        count = cells * 2**octave
        grid = rng.random((max(2, round(count * size[0] / max(size)) + 1), count + 1))
        layer = Image.fromarray(grid.astype(np.float32)).resize(
            (size[1], size[0]), Image.Resampling.BICUBIC
        )
        total += np.asarray(layer, float) / 2**octave
    total -= total.min()
    return np.asarray(total / max(total.max(), 1e-9))


def paint_flow_field(seed: int = 7, size: tuple[int, int] = (HEIGHT, WIDTH)) -> Image.Image:
    """Brush strokes along a field of whirls, in night blues around a few suns.

    Args:
        seed: of everything random.
        size: (height, width) in pixels.
    """
    rng = np.random.default_rng(seed)
    height, width = (edge * OVERSAMPLING for edge in size)
    y, x = np.mgrid[0:height, 0:width].astype(float)
    unit = max(height, width)
    bend = smooth_noise(rng, (height, width), cells=4)
    flow_x = np.cos(2.2 * np.pi * bend) + 0.6
    flow_y = np.sin(2.2 * np.pi * bend)
    glow = np.zeros((height, width))
    for _ in range(6):
        cx, cy = rng.uniform(0.05, 0.95) * width, rng.uniform(0.08, 0.92) * height
        radius = rng.uniform(0.05, 0.11) * unit
        dx, dy = x - cx, y - cy
        distance = np.hypot(dx, dy) + 1e-6
        pull = 5 * np.exp(-((distance / (1.9 * radius)) ** 2))
        turn = rng.choice((-1.0, 1.0))
        flow_x += pull * turn * -dy / distance
        flow_y += pull * turn * dx / distance
        rings = 0.75 + 0.25 * np.cos(distance / radius * 7)
        glow = np.maximum(glow, np.exp(-((distance / radius) ** 2)) * rings)
    angle = np.arctan2(flow_y, flow_x)
    shade = smooth_noise(rng, (height, width), cells=5, octaves=4)

    night, suns = _colours(NIGHT), _colours(SUNS)
    picture = Image.new("RGB", (width, height), tuple(night[1].astype(int)))
    draw = ImageDraw.Draw(picture)
    for thickness, count, length in ((26, 5200, 16), (15, 11000, 14), (8, 17000, 12)):
        for _ in range(count * height * width // (4 * WIDTH * HEIGHT)):
            px, py = rng.uniform(0, width), rng.uniform(0, height)
            row, column = int(py), int(px)
            if rng.random() < glow[row, column] * 1.3:
                colour = suns[rng.integers(len(suns))]
            else:
                tone = np.clip(shade[row, column] + rng.normal(0, 0.13), 0, 0.999)
                colour = night[int(tone * len(night))]
            colour = np.clip(colour * rng.normal(1, 0.07) + rng.normal(0, 6, 3), 0, 255)
            path = [(px, py)]
            for _ in range(length):
                row, column = int(np.clip(py, 0, height - 1)), int(np.clip(px, 0, width - 1))
                px += 5 * np.cos(angle[row, column])
                py += 5 * np.sin(angle[row, column])
                path.append((px, py))
            _stroke(draw, path, colour, thickness * rng.uniform(0.6, 1.1))
    return picture.resize((size[1], size[0]), Image.Resampling.LANCZOS)


def _stroke(
    draw: ImageDraw.ImageDraw, path: list[tuple[float, float]], colour: Floats, thickness: float
) -> None:
    """A bristly stroke: its body, a lit edge and a shaded edge."""
    for offset, share, light in ((0.0, 1.0, 1.0), (-0.3, 0.25, 1.16), (0.32, 0.25, 0.8)):
        shifted = [(x, y + offset * thickness) for x, y in path]
        fill = tuple(int(value) for value in np.clip(colour * light, 0, 255))
        draw.line(shifted, fill=fill, width=max(1, round(thickness * share)), joint="curve")


def paint_stained_glass(seed: int = 3, size: tuple[int, int] = (HEIGHT, WIDTH)) -> Image.Image:
    """Glowing glass cells between lead lines: a Voronoi mosaic around a rose window.

    Args:
        seed: of everything random.
        size: (height, width) in pixels.
    """
    rng = np.random.default_rng(seed)
    height, width = (edge * OVERSAMPLING for edge in size)
    unit = max(height, width)
    centre = np.array([0.52 * width, 0.48 * height])
    sites: list[tuple[float, float]] = []
    for ring, radius in enumerate((0.0, 0.06, 0.12, 0.19, 0.27, 0.36)):
        count = max(1, 8 * ring)
        for k in range(count):
            turn = 2 * np.pi * (k + 0.5 * (ring % 2)) / count
            sites.append(tuple(centre + radius * unit * np.array([np.cos(turn), np.sin(turn)])))
    spacing = 0.052 * unit
    while len(sites) < 260:
        site = rng.uniform(0, 1, 2) * (width, height)
        near = np.hypot(*(np.array(sites) - site).T).min()
        if near > spacing:
            sites.append(tuple(site))
        spacing *= 0.9995
    points = np.array(sites)

    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    warp = 0.006 * unit
    x += warp * (smooth_noise(rng, (height, width), 12, 2).astype(np.float32) - 0.5)
    y += warp * (smooth_noise(rng, (height, width), 12, 2).astype(np.float32) - 0.5)
    nearest = np.full((height, width), np.inf, np.float32)
    second = nearest.copy()
    owner = np.zeros((height, width), int)
    for index, (px, py) in enumerate(points):
        distance = np.hypot(x - px, y - py)
        closer = distance < nearest
        second = np.where(closer, nearest, np.minimum(second, distance))
        owner[closer] = index
        nearest = np.where(closer, distance, nearest)

    from_centre = np.hypot(*(points - centre).T) / unit
    hues = _colours(GLASS)
    choice = (from_centre * 22 + rng.uniform(0, 2.2, len(points))).astype(int) % len(hues)
    tint = hues[choice] * rng.uniform(0.8, 1.15, (len(points), 1))
    light = 0.72 + 0.5 * smooth_noise(rng, (height, width), 5)
    grain = 1 + 0.1 * (smooth_noise(rng, (height, width), 90, 2) - 0.5)
    inside = 1.12 - 0.45 * np.clip(nearest / (0.05 * unit), 0, 1)
    glass = tint[owner] * (light * grain * inside)[..., None]
    seam = (second - nearest) / (0.0055 * unit)
    lead = 1 / (1 + np.exp(np.clip((seam - 1.0) * 6, -30, 30)))[..., None]
    ridge = np.exp(-((seam - 0.25) ** 2) * 12)[..., None]
    picture = glass * (1 - lead) + lead * (np.array([24.0, 22, 28]) + 52 * ridge)
    image = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
    image = image.filter(ImageFilter.GaussianBlur(0.8))
    return image.resize((size[1], size[0]), Image.Resampling.LANCZOS)


PAINTERS: dict[str, Callable[[], Image.Image]] = {
    "flow_field": paint_flow_field,
    "stained_glass": paint_stained_glass,
}


def main() -> None:
    """Paints every picture into the folder asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("assets/style"), help="%(default)s")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, paint in PAINTERS.items():
        paint().save(folder / f"{name}.jpg", quality=88, optimize=True)


if __name__ == "__main__":
    main()
