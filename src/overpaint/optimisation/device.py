"""The accelerator: whether it is there, what it is called, and how much memory it took."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from typing import Literal

import torch

from overpaint.errors import ConfigError


def choose_device(accelerator: str) -> torch.device:
    """The device that Lightning will take for `trainer.accelerator`: a GPU before the CPU."""
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return torch.device("cuda", 0)
    if accelerator in ("auto", "gpu", "mps") and torch.backends.mps.is_available():
        return torch.device("mps", 0)
    return torch.device("cpu")


def require_accelerator(name: str) -> None:
    """Checks that PyTorch has a device for `trainer.accelerator`.

    Raises:
        ConfigError: if it has not.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    available["gpu"] = any(available.values())
    if not available.get(name, True):
        raise ConfigError(
            f"trainer.accelerator: PyTorch finds no {name} device here; use auto or cpu."
        )


def best_precision(device: torch.device) -> Literal["32-true", "bf16-mixed"]:
    """bfloat16 autocast where the hardware has it, by PyTorch's own account, else float32.

    Never float16: activations of VGG-19 go beyond its range.
    """
    native = False
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device.type == "cpu":
        for probe in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
            native = native or bool(getattr(torch.cpu, probe, lambda: False)())
    return "bf16-mixed" if native else "32-true"


def best_layout(precision: str) -> torch.memory_format:
    """Channels last with bfloat16, where convolutions and Gram matrices gain by it."""
    return torch.channels_last if precision == "bf16-mixed" else torch.contiguous_format


def autocast(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """What Lightning runs the steps of a precision under: bfloat16 autocast, or nothing."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16-mixed")


def device_name(device: torch.device) -> str:
    """The model of a GPU, or the kind of device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def exact_cudnn(precision: str) -> AbstractContextManager[None]:
    """Repeatable convolutions on NVIDIA GPUs, and with `32-true` without TF32's ten-bit factors."""
    flags: AbstractContextManager[None] = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=precision != "32-true"
    )
    return flags


def reset_peak_memory(device: torch.device) -> None:
    """Lets `peak_memory_bytes` count from here on, which only a CUDA device can."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory_bytes(device: torch.device) -> int | None:
    """The most memory held: on a CUDA device since the reset, else ever by this process.

    None where the system does not tell.
    """
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        import resource
    except ImportError:  # Windows has no such module
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
