#!/usr/bin/env python3
"""Pack a VGG-19 into 8 bits a value: the file that comes with the package.

All 16 convolutions of any VGG-19 that `encoder.weights` takes are written as codes of 8 bits with
codebooks, biases in float32. How is chosen by what the packed network sees in pictures that took no
part in it, not by how far its kernels are off: `--compare` prints the errors of all methods.
Pictures come with scikit-image, scikit-learn and matplotlib (the `slim` extra of this package).
The same file, options and versions give the same bytes.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from learning_pictures import SHIPPING, held_out, photos
from quantizing import Method, pack
from textures import Picture, brush_strokes, dead_leaves, random_piece
from torch import Tensor

from overpaint.encoder.layers import CONVOLUTIONS
from overpaint.encoder.packed import PackedInfo, read_packed, save_packed, unpacked
from overpaint.encoder.vgg import Vgg19Features
from overpaint.encoder.weights import load_weights
from overpaint.errors import ConfigError, ImageError, WeightsError
from overpaint.losses.gram import gram_matrix
from overpaint.records.environment import versions

LICENCE = (
    "Derived from the weights of VGG-19 by the Visual Geometry Group, University of Oxford, which "
    "are under CC BY 4.0; changed: kernels rounded to 8 bits."
)
METHODS = tuple(
    Method(kind, codebooks, corrected)
    for kind, codebooks in (
        ("even", None),
        ("codebook", 1),
        ("codebook", 8),
        ("codebook", 32),
        ("codebook", None),
    )
    for corrected in (False, True)
)
CHOSEN = tuple(Method("codebook", count, corrected=True) for count in (32, 16, 8, 1))
LARGEST_BYTES = 20_480_000  # of codes, codebooks and biases
LAYERS = tuple(layer.relu for layer in CONVOLUTIONS)
SEED = 11  # of the pictures that errors are measured on

logger = logging.getLogger("overpaint.pack")
Errors = dict[str, dict[str, float]]


def tensor(picture: Picture) -> Tensor:
    """(1, 3, H, W)."""
    return torch.from_numpy(np.moveaxis(picture, -1, 0).copy())[None]


def correction_pictures(edge: int) -> Tensor:
    """A piece of each photo, (N, 3, edge, edge)."""
    rng = np.random.default_rng(0)
    return torch.cat([tensor(random_piece(rng, photo, edge)) for photo in photos()])


def judging_pictures() -> list[Tensor]:
    """A photo that nothing is made on, the same painted over, and a texture."""
    photo, rng = held_out(), np.random.default_rng(SEED)
    pictures = (photo, brush_strokes(rng, photo), dead_leaves(rng, photo.shape[:2]))
    return [tensor(picture) for picture in pictures]


@torch.no_grad()
def errors(true: Vgg19Features, seen: Vgg19Features, pictures: list[Tensor]) -> Errors:
    """How far each layer's maps and Gram matrices are off, relative to their norms.

    Returns:
        `features` and `grams`, each by layer; root mean squares over the pictures.
    """
    squares = {kind: dict.fromkeys(LAYERS, 0.0) for kind in ("features", "grams")}
    for picture in pictures:
        wanted, found = true(picture), seen(picture)
        for layer in LAYERS:
            pair = (found[layer], wanted[layer])
            for kind, (one, other) in (("features", pair), ("grams", map(gram_matrix, pair))):
                error = (one - other).square().sum() / other.square().sum()
                squares[kind][layer] += float(error) / len(pictures)
    return {
        kind: {layer: round(value**0.5, 6) for layer, value in by_layer.items()}
        for kind, by_layer in squares.items()
    }


def file_bytes(method: Method, teacher: Mapping[str, Tensor]) -> int:
    """Codes, codebooks and biases; a few kilobytes of metadata come on top."""
    kernels = [teacher[f"{layer.conv}.weight"] for layer in CONVOLUTIONS]
    books = sum(method.groups(kernel) for kernel in kernels)
    values = sum(kernel.numel() + 4 * len(kernel) for kernel in kernels)
    return values + books * method.codebook_bytes


def compare(teacher: Mapping[str, Tensor], edge: int) -> None:
    """A table of all methods: file size, errors of kernels, of features and of Gram matrices."""
    true = Vgg19Features(LAYERS, teacher)
    corrections, judging = correction_pictures(edge), judging_pictures()
    shown = [layer for layer in LAYERS if layer.endswith("_1")] + [LAYERS[-1]]
    logger.info("errors in thousandths of the norm: kernels; features and Gram matrices by layer")
    logger.info("| method | MB | kernels | %s | mean |", " | ".join(shown))
    logger.info("|%s", " --- |" * (len(shown) + 4))
    for method in METHODS:
        tensors = unpacked(pack(teacher, method, corrections))
        found = errors(true, Vgg19Features(LAYERS, tensors), judging)
        kernels = np.mean(
            [
                float((tensors[name] - teacher[name]).norm() / teacher[name].norm())
                for name in tensors
                if name.endswith(".weight")
            ]
        )
        cells = [
            f"{1e3 * found['features'][layer]:.2f}, {1e3 * found['grams'][layer]:.2f}"
            for layer in shown
        ]
        means = ", ".join(f"{1e3 * np.mean(list(by.values())):.2f}" for by in found.values())
        size = file_bytes(method, teacher) / 1e6
        logger.info(
            "| %s | %.2f | %.2f | %s | %s |",
            *(method, size, 1e3 * kernels, " | ".join(cells), means),
        )


def write(teacher: Mapping[str, Tensor], sha256: str, output: Path, edge: int) -> None:
    """Packs by the method chosen, judges, writes and reads again."""
    began = time.monotonic()
    method = next(one for one in CHOSEN if file_bytes(one, teacher) <= LARGEST_BYTES)
    kernels = pack(teacher, method, correction_pictures(edge))
    found = errors(
        Vgg19Features(LAYERS, teacher),
        Vgg19Features(LAYERS, unpacked(kernels)),
        judging_pictures(),
    )
    making = {
        **dataclasses.asdict(method),
        "edge": edge,
        "versions": {
            **{name: versions()[name] for name in ("overpaint", "torch", "numpy")},
            **{name: metadata.version(name) for name in SHIPPING},
        },
    }
    save_packed(kernels, PackedInfo(sha256, str(method), making, found, LICENCE), output)
    again, _ = read_packed(output)
    if any(not torch.equal(again[name].codes, kernels[name].codes) for name in kernels):
        sys.exit(f"error: '{output}' does not hold what was written")
    for kind, by_layer in found.items():
        logger.info("%s: %s", kind, ", ".join(f"{k} {v:.4f}" for k, v in by_layer.items()))
    size, seconds = output.stat().st_size / 1e6, time.monotonic() - began
    logger.info("Written: %s (%.2f MB, %s) in %.0f s", output, size, method, seconds)


def main() -> None:
    """Reads the options; compares or packs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", required=True, help="a VGG-19, as encoder.weights")
    parser.add_argument(
        "--output", type=Path, default=Path("vgg19.safetensors"), help="%(default)s"
    )
    parser.add_argument(
        "--edge",
        type=int,
        default=192,
        help="of the pictures to correct biases on, pixels (%(default)s)",
    )
    parser.add_argument("--compare", action="store_true", help="print a table, write nothing")
    arguments = parser.parse_args()
    if arguments.output.suffix != ".safetensors":
        parser.error(f"--output: '{arguments.output}' must end in .safetensors")
    logging.basicConfig(format="%(message)s", level="INFO")
    try:
        teacher = load_weights(arguments.weights, CONVOLUTIONS)
        if arguments.compare:
            compare(teacher.tensors, arguments.edge)
        else:
            arguments.output.parent.mkdir(parents=True, exist_ok=True)
            write(teacher.tensors, teacher.sha256, arguments.output, arguments.edge)
    except (ConfigError, WeightsError, ImageError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
