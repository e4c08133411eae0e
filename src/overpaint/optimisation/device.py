"""The accelerator: whether it is there, what it is called, and the arithmetic that suits it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

from overpaint.errors import ConfigError


def choose_device(accelerator: str, number: int = 0) -> torch.device:
    """The device that Lightning will take for `trainer.accelerator`: a GPU before the CPU.

    Args:
        accelerator: the setting.
        number: of the GPU, where there are several.
    """
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return torch.device("cuda", number)
    if accelerator in ("auto", "gpu", "mps") and torch.backends.mps.is_available():
        return torch.device("mps", 0)
    return torch.device("cpu")


def require_accelerator(name: str, devices: int = 1, nodes: int = 1) -> None:
    """Checks that PyTorch has devices for `trainer.accelerator`.

    Args:
        name: the setting.
        devices: how many on a machine; a CPU does for any number.
        nodes: machines.

    Raises:
        ConfigError: if it has not.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    available["gpu"] = any(available.values())
    if not available.get(name, True):
        raise ConfigError(
            f"trainer.accelerator: PyTorch finds no {name} device here; use auto or cpu."
        )
    kind = choose_device(name).type
    found = torch.cuda.device_count() if kind == "cuda" else devices
    if devices > max(1, found):
        raise ConfigError(
            f"trainer.devices: {devices} asked for, and PyTorch finds {found} {kind} "
            f"device{'s' * (found > 1)} here; use at most {found}, or trainer.accelerator=cpu."
        )
    if kind == "mps" and devices * nodes > 1:
        raise ConfigError(
            f"trainer.devices={devices}, trainer.num_nodes={nodes}: an Apple GPU paints alone; "
            "use 1 of each, or trainer.accelerator=cpu."
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
    """What Lightning runs the steps of a precision under: bfloat16 autocast, or nothing.

    Its cache is off, as in Lightning's: what is compiled under the one would be compiled again
    under the other, and the cache is for weights that are trained.
    """
    if precision != "bf16-mixed":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)


def device_name(device: torch.device) -> str:
    """The model of a GPU, or the kind of device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def exact_cudnn(precision: str) -> AbstractContextManager[None]:
    """Repeatable convolutions on NVIDIA GPUs, and with `32-true` without TF32's ten-bit factors.

    What else a step does there adds in one order by construction, so that PyTorch's switch for
    deterministic algorithms is not needed: poolings do not overlap, pictures are mirrored by
    slices, and matrix products are made on one stream.
    """
    flags: AbstractContextManager[None] = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=precision != "32-true"
    )
    return flags
