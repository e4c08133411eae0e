"""The accelerator: whether it is there, what it is called, and how much memory it took."""

from __future__ import annotations

import sys

import torch

from neural_style.errors import ConfigError


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


def device_name(device: torch.device) -> str:
    """The model of a GPU, or the kind of device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def peak_memory_bytes(device: torch.device) -> int | None:
    """The most memory held so far: on a CUDA device, else by this process; None if unknown."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        import resource
    except ImportError:  # Windows has no such module
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
