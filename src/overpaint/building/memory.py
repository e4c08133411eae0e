"""Whether a run fits into memory, and what is said if it does not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from typing import Literal

from overpaint.banding.shares import rows_at_most
from overpaint.building.bands import foresee
from overpaint.building.encoder import used_layers
from overpaint.errors import NotEnoughMemoryError
from overpaint.headroom import in_words, is_out_of_memory, sharing
from overpaint.optimisation.device import choose_device
from overpaint.optimisation.footprint import largest_edge
from overpaint.optimisation.memory import free_memory_bytes
from overpaint.pictures.inputs import Inputs
from overpaint.pictures.io import fit_size, size_of
from overpaint.settings.schema import Config

SizeSetting = Literal["image.size", "tune.size"]

# An estimate is off by a sixth at most where it was measured: what exceeds memory by less is tried.
_CLEARLY = 0.8
_SAFELY = 0.9  # the share of what is free that a proposed size takes
_SMALLER = 0.75  # of a size that failed against the estimate


def require_memory(config: Config, inputs: Inputs, setting: SizeSetting = "image.size") -> None:
    """Refuses a size that cannot fit, before anything of that size is made.

    Args:
        config: resolved settings.
        inputs: the pictures as they were read.
        setting: the one that gives the size.

    Raises:
        NotEnoughMemoryError: if the memory needed is clearly more than there is.
    """
    free = free_memory_bytes(choose_device(config.trainer.accelerator))
    size = _size(config, setting)
    needed = _needed(config, inputs, size, free)
    if free is not None and _CLEARLY * needed > free:
        raise NotEnoughMemoryError(
            f"{setting}: {size} needs about {in_words(needed)} of memory, and {in_words(free)} are "
            f"free here{sharing().told}; {_way_out(config, inputs, setting, free, size)}"
        )


@contextmanager
def shortage_told(
    config: Config, inputs: Inputs, setting: SizeSetting = "image.size"
) -> Iterator[None]:
    """Says which size should fit where what is done inside runs out of memory, on CPU or GPU.

    Args:
        config: resolved settings.
        inputs: the pictures as they were read.
        setting: the one that gives the size.

    Raises:
        NotEnoughMemoryError: in the place of the allocator's error.
    """
    free = free_memory_bytes(choose_device(config.trainer.accelerator))  # what the run can have
    try:
        yield
    except Exception as error:
        if isinstance(error, NotEnoughMemoryError) or not is_out_of_memory(error):
            raise
    else:
        return
    size = _size(config, setting)
    limit = round(_SMALLER * size)
    raise NotEnoughMemoryError(
        f"{setting}: there is not enough memory for {size}; "
        f"{_way_out(config, inputs, setting, free, limit)}"
    )


def _size(config: Config, setting: SizeSetting) -> int:
    size = config.image.size
    return size if setting == "image.size" else min(size, config.tune.size)


def _way_out(
    config: Config, inputs: Inputs, setting: SizeSetting, free: int | None, below: int
) -> str:
    """The largest size that should fit, or what else helps.

    Args:
        config: resolved settings.
        inputs: the pictures as they were read.
        setting: the one that gives the size.
        free: bytes; None if that is not known.
        below: pixels; the size is smaller than this.
    """
    fits = largest_edge(
        lambda edge: 0 if free is None else _needed(config, inputs, edge, free),
        int(_SAFELY * (free or 0)),
        below=below,
    )
    if config.trainer.memory == "plain":
        smaller = f"{setting}={fits} should fit, and " if fits else ""
        return f"{smaller}trainer.memory=auto takes far less."
    if fits:
        return f"{setting}={fits} should fit."
    return "close other programs, raise its limit, or use encoder.name=vgg19_slim."


def _needed(config: Config, inputs: Inputs, edge: int, free: int | None) -> int:
    style_edge = max(1, round(edge * config.style.scale))
    width, height = fit_size(size_of(inputs.content), edge)
    paintings = [prod(fit_size(size_of(style), style_edge)) for style in inputs.styles]
    rows = rows_at_most(used_layers(config), height, config.trainer.processes)
    needed = foresee(config, (1, 3, rows, width), paintings, free).needed
    has_own = choose_device(config.trainer.accelerator).type != "cpu"
    return needed if has_own else needed * config.trainer.devices
