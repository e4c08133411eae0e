"""Whether the network is computed in bands, by `trainer.memory` and by what is free."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from overpaint.banding.plan import BlockSize, Plan, plan_bands
from overpaint.building.encoder import choose_precision, used_layers
from overpaint.encoder.layers import WIDTHS, blocks_up_to
from overpaint.headroom import in_words
from overpaint.optimisation.device import choose_device
from overpaint.optimisation.footprint import bytes_needed, fixed_bytes, history_bytes
from overpaint.optimisation.memory import free_memory_bytes
from overpaint.settings.schema import Config

logger = logging.getLogger(__name__)

# Estimates are off by a sixth: where whole maps would take more of what is free, bands are surer.
_SURELY = 0.8
_TOLD_FROM = 10**9  # bytes; what takes less is nobody's concern


@dataclass(frozen=True)
class Footprint:
    """What a run takes at one size, and how the network is computed for that."""

    plain: int
    """Bytes at the peak where the network is computed whole."""
    banded: int
    """Bytes at the peak in bands."""
    plan: Plan | None
    """The bands that are taken; None: computed whole."""

    @property
    def needed(self) -> int:
        """Bytes at the peak."""
        return self.plain if self.plan is None else self.banded


def foresee(
    config: Config, shape: Sequence[int], paintings: Sequence[int], free: int | None
) -> Footprint:
    """What is taken at one size, and whether in bands.

    Args:
        config: resolved settings.
        shape: (B, 3, H, W), of the picture.
        paintings: pixels of each painting at that size.
        free: bytes; None if that is not known.
    """
    precision = choose_precision(config, choose_device(config.trainer.accelerator))
    network, optimizer = config.encoder.name, config.optimizer
    batch, _, height, width = shape
    pixels, pairs = batch * height * width, 0
    if optimizer.name == "lbfgs":
        pairs = min(optimizer.lbfgs.history_size, config.schedule.steps)
    beside = fixed_bytes(network, precision, paintings) + history_bytes(pairs, pixels)
    plan = plan_bands(
        shape,
        [
            BlockSize(channels, len(block))
            for channels, block in zip(
                WIDTHS[network], blocks_up_to(used_layers(config)), strict=False
            )
        ],
        2 if precision == "bf16-mixed" else 4,
        free=None if free is None else round(_SURELY * free) - beside,
    )
    plain = bytes_needed(network, precision, pixels, paintings, pairs=pairs)
    wanted = config.trainer.memory == "banded" or (
        config.trainer.memory == "auto" and free is not None and plain > _SURELY * free
    )
    banded = beside + plan.needed
    if config.trainer.memory == "auto" and banded >= plain:
        wanted = False
    return Footprint(plain, banded, plan if wanted else None)


def choose_bands(
    config: Config, shape: Sequence[int], paintings: Sequence[int], device: torch.device
) -> Footprint:
    """The same by what is free now, told in a line if the picture is large.

    Args:
        config: resolved settings.
        shape: (B, 3, H, W), of the picture.
        paintings: pixels of each painting at that size.
        device: that the steps run on.
    """
    free = free_memory_bytes(device)
    if free is not None and device.type == "cpu":
        free //= config.trainer.devices  # processes share what the machine has
    found = foresee(config, shape, paintings, free)
    height, width = shape[-2:]
    if found.plan is not None or found.needed >= _TOLD_FROM:
        logger.info(
            "%dx%d pixels take about %s of memory%s: %s%s.",
            *(width, height, in_words(found.needed)),
            f" of {in_words(free)} that are free" if free is not None else "",
            found.plan or "computed whole",
            "" if found.plan is None else f" (whole: {in_words(found.plain)})",
        )
    optimizer = config.optimizer
    if optimizer.name == "lbfgs":
        pairs = min(optimizer.lbfgs.history_size, config.schedule.steps)
        history = history_bytes(pairs, height * width)
        if history >= _TOLD_FROM:
            logger.warning(
                "optimizer.lbfgs.history_size: %d pairs take %s of it, 24 bytes a pixel each; "
                "fewer, or optimizer.name=adam, take less.",
                *(pairs, in_words(history)),
            )
    return found
