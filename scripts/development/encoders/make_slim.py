#!/usr/bin/env python3
"""Make the slim VGG-19: from any full one, on a CPU or GPU, in about an hour.

  1. choose the channels of each convolution that span the others,
  2. refit its kernel so that the slim network repeats VGG-19 at those channels,
  3. fine-tune it on photos, paintings and pictures on the way from the one to the other.

It learns from pictures that come with scikit-image, scikit-learn and matplotlib (the `slim` extra
of this package), from those in `assets/`, from textures made of a seed, and from GCompris's where
its data are given; Debian's package has them:

    apt-get download gcompris-qt-data && dpkg-deb -x gcompris-qt-data_*.deb gcompris
    make_slim.py --gcompris gcompris/usr/share/gcompris-qt/rcc

Steps 1 and 2 give the same bytes again on one machine; what step 3 adds may differ in the last
digits.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from learning_pictures import (
    GCOMPRIS_HELD_OUT,
    GCOMPRIS_PAINTINGS,
    SHIPPING,
    from_gcompris,
    held_out,
    paintings,
    photos,
)
from textures import (
    Picture,
    brush_strokes,
    dead_leaves,
    power_law_noise,
    random_piece,
)

from overpaint.encoder.layers import SLIM_CONVOLUTIONS, SLIM_LAYER_NAMES
from overpaint.errors import ConfigError, ImageError, WeightsError
from overpaint.records.environment import versions

WIDTHS = (24, 24, 64, 64, *[128] * 4, *[240] * 4, 320)
LICENCE = (
    "Derived from the weights of VGG-19 by the Visual Geometry Group, University of Oxford, which "
    "are under CC BY 4.0; changed: fewer channels, refitted and fine-tuned."
)

logger = logging.getLogger("overpaint.make_slim_encoder")


class Pictures:
    """Everything there is to learn from, and how it is drawn."""

    def __init__(self, seed: int, edge: int, gcompris: Path | None = None) -> None:
        self._rng = np.random.default_rng(seed)
        self._edge = edge
        self.photos = photos()
        self.paintings = paintings()
        for digest, picture in from_gcompris(gcompris) if gcompris else ():
            if digest != GCOMPRIS_HELD_OUT:
                of_kind = self.paintings if digest in GCOMPRIS_PAINTINGS else self.photos
                of_kind.append(picture)

    def texture(self) -> Picture:
        """Dead leaves or noise."""
        size = (self._edge * 3 // 2, self._edge * 3 // 2)
        if self._rng.random() < 0.75:
            return dead_leaves(self._rng, size)
        return power_law_noise(self._rng, size, self._rng.uniform(0.6, 2))

    def _pick(self, pictures: list[Picture]) -> Picture:
        return pictures[self._rng.integers(len(pictures))]

    def photo(self) -> Picture:
        """A piece of a photo, sometimes of a texture."""
        source = self._pick(self.photos) if self._rng.random() < 0.85 else self.texture()
        return random_piece(self._rng, source, self._edge)

    def painting(self) -> Picture:
        """A piece of a painting, of a photo painted over, of a texture, or of a photo."""
        kind = self._rng.random()
        if kind < 0.3:
            source = self._pick(self.paintings)
        elif kind < 0.65:
            size = self._edge * 3 // 2
            colours = self.photos if self._rng.random() < 0.7 else self.paintings
            source = brush_strokes(self._rng, random_piece(self._rng, self._pick(colours), size))
        else:
            source = self.texture() if kind < 0.85 else self._pick(self.photos)
        return random_piece(self._rng, source, self._edge)

    def mixture(self, count: int) -> Picture:
        """(count, edge, edge, 3): pieces of everything, every fourth with noise on it."""
        pieces = []
        for index in range(count):
            piece = self.photo() if index % 2 else self.painting()
            if index % 4 == 3:
                noise = self._rng.random(piece.shape, np.float32)
                piece = piece + np.float32(0.35) * (noise - piece)
            pieces.append(piece)
        return np.stack(pieces)


def make(arguments: argparse.Namespace) -> None:
    """Makes, checks and writes the slim network."""
    import torch
    from distilling import Distillation, distil
    from pruning import RIDGE, calibrate, slim_down

    from overpaint.encoder.slim import SlimInfo, read_slim, save_slim
    from overpaint.encoder.vgg import Vgg19Features
    from overpaint.encoder.weights import load_weights
    from overpaint.optimisation.device import choose_device, device_name, require_accelerator

    def tensor(pictures: Picture) -> torch.Tensor:
        return torch.from_numpy(np.moveaxis(pictures, -1, -3).copy())

    def draw() -> tuple[torch.Tensor, torch.Tensor]:
        return tensor(pictures.photo())[None], tensor(pictures.painting())[None]

    def errors(tensors: dict[str, torch.Tensor]) -> dict[str, float]:
        """Relative squared errors at the kept channels, on the picture held out."""
        with torch.no_grad():
            held = tensor(held_out())[None]
            true, seen = teacher_network(held), Vgg19Features(layers, tensors)(held)
        found = {}
        for layer in SLIM_CONVOLUTIONS:
            kept = true[layer.relu][:, channels[layer.conv]]
            error = (seen[layer.relu] - kept).square().sum() / kept.square().sum()
            found[layer.relu] = round(float(error), 5)
        return found

    began = time.monotonic()
    require_accelerator(arguments.accelerator)
    pictures = Pictures(arguments.seed, arguments.edge, arguments.gcompris)
    teacher = load_weights(arguments.weights, SLIM_CONVOLUTIONS)
    layers = [name for name in SLIM_LAYER_NAMES if name.startswith("relu")]
    teacher_network = Vgg19Features(layers, teacher.tensors)
    sample = tensor(pictures.mixture(arguments.pictures))
    tensors, channels = slim_down(teacher.tensors, arguments.widths, sample, seed=arguments.seed)
    making: dict[str, Any] = {
        "seed": arguments.seed,
        "pictures": arguments.pictures,
        "edge": arguments.edge,
        "photos": len(pictures.photos),
        "paintings": len(pictures.paintings),
        "ridge": RIDGE,
        "versions": {
            **{name: versions()[name] for name in ("overpaint", "torch", "numpy", "pillow")},
            **{name: metadata.version(name) for name in SHIPPING},
        },
        "errors_after_refitting": errors(tensors),
    }
    logger.info(
        "Refitted in %.0f s; errors %s", time.monotonic() - began, making["errors_after_refitting"]
    )
    if arguments.steps:
        settings = Distillation(
            steps=arguments.steps, rounds=arguments.rounds, examples=arguments.examples
        )
        device = choose_device(arguments.accelerator)
        tensors = distil(
            teacher.tensors,
            tensors,
            channels,
            draw,
            settings=settings,
            device=device,
            seed=arguments.seed,
        )
        making |= {
            "distillation": vars(settings),
            "device": device_name(device),
            "errors_after_distillation": errors(tensors),
        }
        logger.info("Distilled; errors %s", making["errors_after_distillation"])
    calibration = calibrate(
        Vgg19Features(SLIM_LAYER_NAMES, teacher.tensors),
        Vgg19Features(SLIM_LAYER_NAMES, tensors),
        sample[: arguments.pictures // 2],
        balance=arguments.balance,
    )
    info = SlimInfo(channels, calibration, teacher.sha256, making, LICENCE)
    save_slim(tensors, info, arguments.output)
    read_slim(arguments.output)
    logger.info(
        "Written: %s (%.2f MB) in %.0f s",
        *(arguments.output, arguments.output.stat().st_size / 1e6, time.monotonic() - began),
    )


def at_least(least: int, multiple: int = 1) -> Callable[[str], int]:
    """A kind of option: whole numbers from `least` on."""

    def number(text: str) -> int:
        value = int(text)
        if value < least or value % multiple:
            of = f", a multiple of {multiple}" if multiple > 1 else ""
            raise argparse.ArgumentTypeError(f"{value} is not at least {least}{of}")
        return value

    return number


def main() -> None:
    """Reads the options and makes the network."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", default="auto", help="as encoder.weights (%(default)s)")
    parser.add_argument(
        "--output", type=Path, default=Path("vgg19_slim.safetensors"), help="%(default)s"
    )
    parser.add_argument(
        "--widths",
        type=at_least(1),
        nargs=len(WIDTHS),
        default=WIDTHS,
        metavar="N",
        help=f"channels of the convolutions ({' '.join(map(str, WIDTHS))})",
    )
    for name, kind, default, what in (
        ("pictures", at_least(4), 120, "to refit on"),
        ("edge", at_least(32, 16), 192, "of a picture, pixels"),
        ("steps", at_least(0), 4500, "of step 3; 0: without it"),
        ("rounds", at_least(1), 8, "of painting"),
        ("examples", at_least(1), 56, "painted a round"),
        ("seed", at_least(0), 0, "of everything random"),
    ):
        parser.add_argument(
            f"--{name}", type=kind, default=default, metavar="N", help=f"{what} (%(default)s)"
        )
    parser.add_argument(
        "--gcompris",
        type=Path,
        metavar="FOLDER",
        help="of GCompris's .rcc files: more pictures to learn from",
    )
    parser.add_argument(
        "--balance",
        type=float,
        default=1.3,
        help="factor of the style losses against content that the slim network overlooks less "
        "(%(default)s; docs/slim_encoder.md)",
    )
    parser.add_argument(
        "--accelerator",
        choices=("auto", "cpu", "gpu", "cuda", "mps"),
        default="auto",
        help="for step 3 (%(default)s)",
    )
    arguments = parser.parse_args()
    for width, layer in zip(arguments.widths, SLIM_CONVOLUTIONS, strict=True):
        if width > layer.out_channels:
            parser.error(f"--widths: {layer.conv} has {layer.out_channels} channels, not {width}")
    if not 0 < arguments.balance < 100:
        parser.error(f"--balance: {arguments.balance} is not above 0 and below 100")
    if arguments.output.suffix != ".safetensors":
        parser.error(f"--output: '{arguments.output}' must end in .safetensors")
    logging.basicConfig(format="%(message)s", level="INFO")
    from overpaint.optimisation.memory import keep_freed_memory

    keep_freed_memory()
    try:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        make(arguments)
    except (ConfigError, WeightsError, ImageError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
