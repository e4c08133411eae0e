"""Measures what a run adds to a process's memory: the numbers of `optimisation/footprint.py`.

    python scripts/development/measure_memory.py --sizes 256 512 768 1024

Each run has a process of its own, on the CPU, and makes three steps at one size with a painting as
large as the photo. Beside each peak stands what the formula says.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
from typing import get_args

import numpy as np
import psutil
import torch
from PIL import Image

from overpaint.encoder.layers import EncoderName
from overpaint.optimisation.footprint import bytes_needed
from overpaint.optimisation.memory import keep_freed_memory, peak_memory_bytes
from overpaint.runs.paint import paint

PRECISIONS = ("bf16-mixed", "32-true")


def measured(network: str, precision: str, size: int, settings: list[str]) -> int:
    """The bytes that one run adds to this process, at its peak."""
    keep_freed_memory()  # as the command does
    rng = np.random.default_rng(0)
    photo, painting = (
        Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(shape)
        for shape in ((size, size * 3 // 4), (size * 3 // 4, size))
    )
    before = int(psutil.Process().memory_info().rss)
    paint(
        photo,
        painting,
        f"encoder.name={network}",
        f"trainer.precision={precision}",
        f"image.size={size}",
        "trainer.accelerator=cpu",
        "schedule.scales=[1.0]",
        "schedule.steps=3",
        *settings,
        progress=False,
    )
    peak = peak_memory_bytes(torch.device("cpu"))
    assert peak is not None, "this system does not tell"
    return peak - before


def main() -> None:
    """Measures in processes of their own, or, as one of them, once."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512, 768, 1024])
    parser.add_argument("--once", nargs=3, metavar=("NETWORK", "PRECISION", "SIZE"))
    parser.add_argument("settings", nargs="*", metavar="key=value")
    given = parser.parse_intermixed_args()
    if given.once:
        network, precision, size = given.once
        sys.stdout.write(f"{measured(network, precision, int(size), given.settings)}\n")
        return
    sys.stdout.write("network     precision    size  measured  formula (MB)\n")
    for network, precision, size in itertools.product(
        get_args(EncoderName), PRECISIONS, given.sizes
    ):
        once = ["--once", network, precision, str(size)]
        done = subprocess.run(
            [sys.executable, __file__, *once, *given.settings],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        pixels = size * (size * 3 // 4)
        formula = bytes_needed(network, precision, pixels, [pixels])
        sys.stdout.write(
            f"{network:10}  {precision:10}  {size:5}  {int(done.stdout) / 1e6:8.0f}  "
            f"{formula / 1e6:7.0f}\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
