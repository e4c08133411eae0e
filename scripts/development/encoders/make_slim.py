#!/usr/bin/env python3
"""Make the slim VGG-19: from any full one, on a CPU, or faster on a GPU, in half an hour.

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
import itertools
import logging
import os
import sys
import time
from collections.abc import Callable
from dataclasses import fields
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
BALANCE = (2.0, 2.0, 1.75, 1.4, 0.8)
PREFETCHED = 32  # pairs that each process which draws is ahead
LICENCE = (
    "Derived from the weights of VGG-19 by the Visual Geometry Group, University of Oxford, which "
    "are under CC BY 4.0; changed: fewer channels, refitted and fine-tuned."
)

logger = logging.getLogger("overpaint.make_slim_encoder")


class Pictures:
    """Everything there is to learn from, and how it is drawn."""

    def __init__(self, seed: int, edge: int, gcompris: Path | None = None) -> None:
        self._seed = seed
        self._edge = edge
        self.photos = photos()
        self.paintings = paintings()
        for digest, picture in from_gcompris(gcompris) if gcompris else ():
            if digest != GCOMPRIS_HELD_OUT:
                of_kind = self.paintings if digest in GCOMPRIS_PAINTINGS else self.photos
                of_kind.append(picture)

    def __getitem__(self, index: int) -> tuple[Picture, Picture]:
        """A photo and a painting, (3, edge, edge): always the same for one index, from 0 on."""
        rng = np.random.default_rng((self._seed, index))
        photo, painting = self._photo(rng), self._painting(rng)
        return np.moveaxis(photo, -1, 0).copy(), np.moveaxis(painting, -1, 0).copy()

    def _photo(self, rng: np.random.Generator) -> Picture:
        """A piece of a photo, sometimes of a texture."""
        source = _pick(rng, self.photos) if rng.random() < 0.85 else self._texture(rng)
        return random_piece(rng, source, self._edge)

    def _painting(self, rng: np.random.Generator) -> Picture:
        """A piece of a painting, of a photo painted over, of a texture, or of a photo."""
        kind = rng.random()
        if kind < 0.3:
            source = _pick(rng, self.paintings)
        elif kind < 0.65:
            colours = self.photos if rng.random() < 0.7 else self.paintings
            piece = random_piece(rng, _pick(rng, colours), self._edge * 3 // 2)
            source = brush_strokes(rng, piece)
        else:
            source = self._texture(rng) if kind < 0.85 else _pick(rng, self.photos)
        return random_piece(rng, source, self._edge)

    def _texture(self, rng: np.random.Generator) -> Picture:
        """Dead leaves or noise."""
        size = (self._edge * 3 // 2, self._edge * 3 // 2)
        if rng.random() < 0.75:
            return dead_leaves(rng, size)
        return power_law_noise(rng, size, rng.uniform(0.6, 2))


def _pick(rng: np.random.Generator, pictures: list[Picture]) -> Picture:
    return pictures[rng.integers(len(pictures))]


def make(arguments: argparse.Namespace) -> None:
    """Makes, checks and writes the slim network."""
    import torch
    from distilling import Distillation, distil
    from pruning import RIDGE, calibrate, slim_down

    from overpaint.encoder.slim import SlimInfo, read_slim, save_slim
    from overpaint.encoder.vgg import Vgg19Features
    from overpaint.encoder.weights import load_weights
    from overpaint.optimisation.device import choose_device, device_name, require_accelerator

    def errors(tensors: dict[str, torch.Tensor]) -> dict[str, float]:
        """Relative squared errors at the kept channels, on the picture held out."""
        with torch.no_grad():
            held = torch.from_numpy(held_out()).movedim(-1, 0)[None].contiguous()
            true, seen = teacher_network(held), Vgg19Features(layers, tensors)(held)
        found = {}
        for layer in SLIM_CONVOLUTIONS:
            kept = true[layer.relu][:, channels[layer.conv]]
            error = (seen[layer.relu] - kept).square().sum() / kept.square().sum()
            found[layer.relu] = round(float(error), 5)
        return found

    began = time.monotonic()
    require_accelerator(arguments.accelerator)
    device = choose_device(arguments.accelerator)
    settings = Distillation(
        **{field.name: getattr(arguments, field.name) for field in fields(Distillation)}
    )
    pictures = Pictures(arguments.seed, arguments.edge, arguments.gcompris)
    refitting, distilling = arguments.pictures // 2, settings.rounds * settings.examples
    # A CPU that trains has no time to draw beside it; those beside a GPU draw ahead from now on.
    workers = (os.cpu_count() or 1) if device.type != "cpu" and arguments.steps else 0
    pairs = iter(
        torch.utils.data.DataLoader(
            pictures,  # type: ignore[arg-type]  # it has the one method that is needed
            batch_size=None,
            sampler=range(refitting + distilling),
            num_workers=workers,
            prefetch_factor=PREFETCHED if workers else None,
        )
    )
    teacher = load_weights(arguments.weights, SLIM_CONVOLUTIONS)
    layers = [name for name in SLIM_LAYER_NAMES if name.startswith("relu")]
    teacher_network = Vgg19Features(layers, teacher.tensors)
    sample = torch.stack([one for pair in itertools.islice(pairs, refitting) for one in pair])
    generator = torch.Generator().manual_seed(arguments.seed)
    noisy = sample[3::4]  # every other painting
    noisy.lerp_(torch.rand(noisy.shape, generator=generator), 0.35)
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
        tensors = distil(
            teacher.tensors,
            tensors,
            channels,
            pairs,
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
        ("pictures", at_least(4, 2), 120, "to refit on"),
        ("edge", at_least(32, 16), 192, "of a picture, pixels"),
        ("steps", at_least(0), 4000, "of step 3; 0: without it"),
        ("rounds", at_least(1), 6, "of painting"),
        ("examples", at_least(1), 40, "painted a round"),
        ("longest", at_least(8), 32, "steps at most that an example is painted"),
        ("batch", at_least(1), 2, "examples a step"),
        ("seed", at_least(0), 0, "of everything random"),
    ):
        parser.add_argument(
            f"--{name}", type=kind, default=default, metavar="N", help=f"{what} (%(default)s)"
        )
    parser.add_argument(
        "--rate",
        type=float,
        default=0.015,
        help="of step 3 at its start, as a share of a kernel's root mean square (%(default)s)",
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
        nargs=len(BALANCE),
        default=BALANCE,
        metavar="N",
        help="factors of the style losses of blocks 1 to 5 against content that the slim network "
        f"overlooks less ({' '.join(map(str, BALANCE))}; docs/slim_encoder.md)",
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
    for balance in arguments.balance:
        if not 0 < balance < 100:
            parser.error(f"--balance: {balance} is not above 0 and below 100")
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
