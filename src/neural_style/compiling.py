"""torch.compile for the measuring of a picture, with a way back where it fails."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from neural_style.losses import LossTerms, StyleObjective
from neural_style.vgg import Vgg19Features

logger = logging.getLogger(__name__)

Measure = Callable[[StyleObjective, Vgg19Features, Tensor], LossTerms]

# CUDA graphs are warmed up by the first pass, recorded by the second and replayed by the third.
_PASSES = 3


def is_compiling_wanted(setting: str, device: torch.device) -> bool:
    """Whether `trainer.compile` asks for it: `auto` does on CUDA devices.

    On CPUs compiling takes a minute and gains nothing, for convolutions are the library's anyway.
    """
    return setting == "always" or (setting == "auto" and device.type == "cuda")


def compiled_measure(
    objective: StyleObjective,
    encoder: Vgg19Features,
    image: Tensor,
    *,
    autocast: Callable[[], AbstractContextManager[Any]],
) -> Measure:
    """`StyleObjective.measure` compiled, and on CUDA devices replayed as a CUDA graph.

    It is rehearsed here, forward and backward, so that a failure shows before the first step; then
    one line says so and the plain function is returned. PyTorch keeps what it has compiled: another
    picture of the same size compiles nothing, another size once more.

    Args:
        objective: the losses.
        encoder: the frozen network.
        image: (1, 3, H, W), the very parameter of the steps; neither it nor its `grad` changes.
        autocast: makes the context that the steps will run in.
    """
    is_cuda = image.device.type == "cuda"
    try:
        compiled = torch.compile(
            StyleObjective.measure,
            fullgraph=True,
            dynamic=False,
            mode="reduce-overhead" if is_cuda else None,
        )

        def measure(objective: StyleObjective, encoder: Vgg19Features, image: Tensor) -> LossTerms:
            if is_cuda:  # what the last pass handed out may be overwritten from here on
                torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
            return compiled(objective, encoder, image)

        for _ in range(_PASSES):
            with autocast():
                total = measure(objective, encoder, image).total.sum()
            torch.autograd.grad(total, image)
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        logger.warning("torch.compile failed (%s); going on without it.", reason)
        return StyleObjective.measure
    return measure
