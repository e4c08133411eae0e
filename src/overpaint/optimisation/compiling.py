"""torch.compile for the measuring of a picture, with a way back where it fails."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from overpaint.losses.objective import LossTerms, Objective
from overpaint.optimisation.module import Measure

logger = logging.getLogger(__name__)

_Function = TypeVar("_Function", bound=Callable[..., Any])

# CUDA graphs are warmed up by the first pass, recorded by the second and replayed by the third.
_PASSES = 3
# Compiling takes tens of seconds and saves some milliseconds a step: an estimate, not measured.
_WORTHWHILE_STEPS = 2000


def is_compiling_wanted(setting: str, device: torch.device, steps: int) -> bool:
    """Whether `trainer.compile` asks for it: `auto` does for long runs on CUDA devices.

    On CPUs compiling takes a minute and gains nothing, for convolutions are the library's anyway.
    """
    worthwhile = device.type == "cuda" and steps >= _WORTHWHILE_STEPS
    return setting == "always" or (setting == "auto" and worthwhile)


def compile_for(device: torch.device, function: _Function) -> _Function:
    """`function` compiled for fixed shapes, and on CUDA devices replayed as a CUDA graph."""
    mode = "reduce-overhead" if device.type == "cuda" else None
    return cast(_Function, torch.compile(function, fullgraph=True, dynamic=False, mode=mode))


def compiled_measure(
    objective: Objective,
    image: Tensor,
    *,
    autocast: Callable[[], AbstractContextManager[Any]],
) -> Measure | None:
    """`Objective.forward`, compiled.

    It is rehearsed here, forward and backward, so that a failure shows before the first step.
    PyTorch keeps what it has compiled: another picture of the same size and weights compiles
    nothing, up to eight variants in one process.

    Args:
        objective: the losses.
        image: (1, 3, H, W), the very parameter of the steps; neither it nor its `grad` changes.
        autocast: makes the context that the steps will run in.

    Returns:
        The compiled function, or None where compiling fails; one line says why.
    """
    height, width = image.shape[-2:]
    logger.info("Compiling for %dx%d pixels; trainer.compile=never does without.", width, height)
    try:
        compiled = compile_for(image.device, Objective.forward)

        def measure(objective: Objective, image: Tensor) -> LossTerms:
            if image.device.type == "cuda":  # what the last pass returned is overwritten from here
                torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
            return compiled(objective, image)

        for _ in range(_PASSES):
            with autocast():
                total = measure(objective, image).total.sum()
            torch.autograd.grad(total, image)
    except Exception as error:
        logger.warning("torch.compile failed (%s); going on without it.", _reason(error))
        return None
    return measure


def _reason(error: Exception) -> str:
    """The first line that says something; PyTorch's own begin with who raised it."""
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in lines if line and not line.endswith("raised:")), repr(error))
