"""Pictures for a network to learn from: dead leaves, noise, brush strokes, pieces of pictures.

A picture is (H, W, 3), float32, sRGB in [0, 1]. Everything random comes from the generator given.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Picture = NDArray[np.float32]


def power_law_noise(rng: np.random.Generator, size: tuple[int, int], exponent: float) -> Picture:
    """Coloured noise whose amplitude falls with frequency, as that of natural pictures does.

    Args:
        rng: the source of randomness.
        size: (height, width).
        exponent: amplitude is 1 / frequency^exponent; 0 is white, 1 natural, 2 soft clouds.
    """
    vertical = np.fft.fftfreq(size[0])[:, None]
    frequency = np.hypot(vertical, np.fft.rfftfreq(size[1])[None])
    frequency[0, 0] = 1
    spectrum = np.fft.rfft2(rng.standard_normal((3, *size))) / frequency**exponent
    noise = np.moveaxis(np.fft.irfft2(spectrum, s=size), 0, -1)
    noise = (noise - noise.mean((0, 1))) / noise.std((0, 1))
    grey = np.ones((3, 3)) / 3
    mixing = rng.uniform(0.3, 1) * grey + rng.uniform(0.2, 1) * np.eye(3)
    noise = noise @ (mixing + 0.35 * rng.standard_normal((3, 3)))
    noise *= rng.uniform(0.08, 0.28) / noise.std()
    return np.asarray(np.clip(noise + rng.uniform(0.2, 0.8, 3), 0, 1), np.float32)


def dead_leaves(rng: np.random.Generator, size: tuple[int, int]) -> Picture:
    """Overlapping flat, striped, shaded and grainy ellipses and boxes over noise.

    Their radii r have density r^-3, which gives the edges and occlusions of natural pictures (Lee,
    Mumford & Huang 2001).

    Args:
        rng: the source of randomness.
        size: (height, width).
    """
    picture = power_law_noise(rng, size, rng.uniform(0.8, 1.8))
    smallest, largest = rng.uniform(2, 5), rng.uniform(30, 110)
    boxes = rng.choice((0.0, 0.5, 1.0))
    for _ in range(rng.integers(150, 600)):
        share = rng.random()
        radius = (smallest**-2 + share * (largest**-2 - smallest**-2)) ** -0.5
        centre = rng.uniform(-radius, np.array(size) + radius)
        top, left = np.clip(centre - 1.5 * radius, 0, size).astype(int)
        bottom, right = np.clip(centre + 1.5 * radius + 1, 0, size).astype(int)
        if bottom <= top or right <= left:
            continue
        rows, columns = np.mgrid[top:bottom, left:right] - centre[:, None, None]
        turn, flatness = rng.uniform(0, np.pi), rng.uniform(0.3, 1)
        along = columns * np.cos(turn) + rows * np.sin(turn)
        across = (rows * np.cos(turn) - columns * np.sin(turn)) / flatness
        is_box = rng.random() < boxes
        distance = np.maximum(abs(along), abs(across)) if is_box else np.hypot(along, across)
        cover = np.clip(radius - distance + 0.5, 0, 1)[..., None]
        leaf = rng.uniform(0, 1, 3) * rng.uniform(0.3, 1) + rng.uniform(0, 0.3)
        leaf = leaf + _pattern(rng, along[..., None], radius)
        part = picture[top:bottom, left:right]
        part += cover * (np.clip(leaf, 0, 1) - part)
    return picture


def _pattern(rng: np.random.Generator, along: NDArray[np.float64], radius: float) -> Picture:
    """What a leaf shows: stripes, grain, shading or nothing, around 0."""
    kind = rng.choice(("stripes", "grain", "shading", "flat"), p=(0.35, 0.25, 0.2, 0.2))
    if kind == "stripes":
        wave = np.sin(along * rng.uniform(0.2, 1.6) + rng.uniform(0, 6))
        return np.asarray(rng.uniform(0.04, 0.18) * wave, np.float32)
    if kind == "grain":
        grain = rng.standard_normal((*along.shape[:2], 3))
        return np.asarray(rng.uniform(0.02, 0.15) * grain, np.float32)
    if kind == "shading":
        return np.asarray(along / radius * rng.normal(0, 0.25, 3), np.float32)
    return np.zeros(3, np.float32)


def brush_strokes(rng: np.random.Generator, picture: Picture) -> Picture:
    """A picture painted over with strokes that follow its edges and a field of whirls.

    Args:
        rng: the source of randomness.
        picture: gives the colours.

    Returns:
        As large as `picture`.
    """
    height, width = picture.shape[:2]
    whirls = power_law_noise(rng, (height, width), rng.uniform(1.5, 2.2)).mean(-1)
    down, right = np.gradient(whirls * rng.uniform(0, 2) + picture.mean(-1))
    angle = np.arctan2(right, -down)  # along the edges
    canvas = Image.fromarray((picture * 255).astype(np.uint8)).resize((2 * width, 2 * height))
    draw = ImageDraw.Draw(canvas)
    jitter, relief = rng.uniform(0.02, 0.15), rng.uniform(0, 0.3)
    bristles = ((0, 1, 1), (-0.3, 0.3, 1 + relief), (0.3, 0.3, 1 - relief))
    thickest, length = rng.uniform(8, 26), rng.integers(3, 9)
    for thickness in (thickest, 0.6 * thickest, 0.35 * thickest):
        count = int(min(4000, 6 * height * width / (thickness * length) ** 1.2))
        points = rng.uniform(0, (height, width), (count, 2))
        inks = picture[tuple(points.astype(int).T)] + rng.normal(0, jitter, (count, 3))
        paths = [points]
        for _ in range(length):
            rows, columns = np.clip(points.astype(int), 0, (height - 1, width - 1)).T
            turn = angle[rows, columns]
            points = points + 0.5 * thickness * np.stack([np.sin(turn), np.cos(turn)], -1)
            paths.append(points)
        for path, ink in zip(np.stack(paths, 1), inks, strict=True):
            for offset, share, light in bristles:  # body, lit edge, shaded edge
                shifted = [(2 * x, 2 * y + offset * thickness) for y, x in path]
                colour = tuple(np.clip(ink * light * 255, 0, 255).astype(int).tolist())
                draw.line(shifted, colour, max(1, round(share * thickness)), joint="curve")
    smaller = canvas.resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(smaller, np.float32) / np.float32(255)


def random_piece(rng: np.random.Generator, picture: Picture, edge: int) -> Picture:
    """A square piece, `edge` pixels wide, at a random zoom, turned and recoloured at random.

    Args:
        rng: the source of randomness.
        picture: enlarged where it is too small.
        edge: of the result, pixels.
    """
    shorter = min(picture.shape[:2])
    smallest = edge / shorter
    zoom = np.exp(rng.uniform(np.log(min(1, max(smallest, 0.35))), np.log(max(1, smallest))))
    side = min(shorter, round(edge / max(zoom, smallest)))
    top, left = (rng.integers(0, length - side + 1) for length in picture.shape[:2])
    cut = (picture[top : top + side, left : left + side] * 255).round().astype(np.uint8)
    resized = Image.fromarray(cut).resize((edge, edge), Image.Resampling.BICUBIC)
    piece: Picture = np.asarray(resized, np.float32) / np.float32(255)
    if rng.random() < 0.5:
        piece = piece[:, ::-1]
    if rng.random() < 0.3:
        piece = np.rot90(piece, int(rng.integers(1, 4)))
    if rng.random() < 0.6:
        piece = _recoloured(rng, piece)
    return np.ascontiguousarray(piece, np.float32)


def _recoloured(rng: np.random.Generator, picture: Picture) -> Picture:
    """Other contrast, brightness, saturation and tint; sometimes other channels."""
    if rng.random() < 0.3:
        picture = picture[..., rng.permutation(3)]
    mean = picture.mean()
    picture = (picture - mean) * rng.uniform(0.6, 1.3) + mean + rng.uniform(-0.12, 0.12)
    grey = picture.mean(-1, keepdims=True)
    picture = grey + (picture - grey) * rng.uniform(0.2, 1.6)
    return np.asarray(np.clip(picture * rng.uniform(0.85, 1.15, 3), 0, 1), np.float32)
