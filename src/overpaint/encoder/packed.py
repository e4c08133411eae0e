"""VGG-19 in 8 bits a value: the file format, and the copy that comes with this package.

The file has every convolution as codes, codebooks that say what the codes mean, and a bias, and one
metadata entry, `overpaint`, whose JSON says what they are (`PackedInfo`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from overpaint.encoder.described import read_described, save_described
from overpaint.encoder.layers import CONVOLUTIONS, Convolution

BOX = Path(__file__).with_name("data") / "vgg19.safetensors"
ENTRY = "overpaint"
FORMAT = "packed VGG-19, 1"
VALUES = 256
_PARTS = ("codes", "codebooks", "bias")


@dataclass(frozen=True)
class PackedKernel:
    """One convolution; its output channels are parted evenly into groups with a codebook each."""

    codes: Tensor
    """(out, in, 3, 3), uint8: which value of its group's codebook."""
    codebooks: Tensor
    """(groups, 256), float32."""
    bias: Tensor
    """(out,), float32."""

    def weight(self) -> Tensor:
        """(out, in, 3, 3), float32."""
        weight = torch.empty(self.codes.shape)
        groups = (len(self.codebooks), -1)
        for book, codes, values in zip(
            self.codebooks.numpy(),
            self.codes.numpy().reshape(groups),
            weight.numpy().reshape(groups),
            strict=True,
        ):
            # NumPy reads codes as they are, PyTorch would widen them first: half the time. No code
            # is out of range, so that `clip` only spares a buffer.
            np.take(book, codes, out=values, mode="clip")
        return weight


@dataclass(frozen=True)
class PackedInfo:
    """What a packed file says of itself."""

    source_sha256: str
    """Of the file that was packed."""
    method: str
    making: Mapping[str, Any]
    """How it was made: settings and versions."""
    errors: Mapping[str, Any]
    """How far features and Gram matrices are off, by layer, relative to their norms."""
    licence: str


def save_packed(kernels: Mapping[str, PackedKernel], info: PackedInfo, path: Path) -> None:
    """Writes a packed file, the same bytes for the same values.

    Args:
        kernels: by `convB_I`, all 16.
        info: what is written beside them.
        path: ends in `.safetensors`.

    Raises:
        OSError: if the file cannot be written.
    """
    tensors = {
        f"{layer.conv}.{part}": getattr(kernels[layer.conv], part).contiguous()
        for layer in CONVOLUTIONS
        for part in _PARTS
    }
    save_described(tensors, {**dataclasses.asdict(info), "format": FORMAT}, path, entry=ENTRY)


def is_packed(path: Path) -> bool:
    """Whether a file looks like a packed one, by its tensors or its metadata; it may be damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            return ENTRY in (file.metadata() or {}) or "conv1_1.codes" in set(file.keys())
    except (SafetensorError, OSError, ValueError):
        return False


def read_packed(path: Path) -> tuple[dict[str, PackedKernel], PackedInfo]:
    """All convolutions of a packed file by `convB_I`, and what it says of itself.

    Raises:
        WeightsError: if the file is missing, damaged or something else.
    """
    tensors, said = read_described(
        path,
        [f"{layer.conv}.{part}" for layer in CONVOLUTIONS for part in _PARTS],
        entry=ENTRY,
        form=FORMAT,
        what="packed VGG-19",
        hint="it is damaged or of another kind.",
        check=_check,
    )
    kernels = {
        layer.conv: PackedKernel(*(tensors[f"{layer.conv}.{part}"] for part in _PARTS))
        for layer in CONVOLUTIONS
    }
    return kernels, PackedInfo(**{field: said[field] for field in _FIELDS})


def unpacked(
    kernels: Mapping[str, PackedKernel], convolutions: Sequence[Convolution] = CONVOLUTIONS
) -> dict[str, Tensor]:
    """`convB_I.weight` (out, in, 3, 3) and `convB_I.bias` (out,), float32."""
    tensors: dict[str, Tensor] = {}
    for layer in convolutions:
        kernel = kernels[layer.conv]
        tensors |= {f"{layer.conv}.weight": kernel.weight(), f"{layer.conv}.bias": kernel.bias}
    return tensors


_FIELDS = tuple(field.name for field in dataclasses.fields(PackedInfo))


def _check(tensors: Mapping[str, Tensor], said: Mapping[str, Any]) -> None:
    """Raises ValueError or KeyError if they are not those of a packed VGG-19."""
    for field in _FIELDS:
        said[field]
    for layer in CONVOLUTIONS:
        out = layer.out_channels
        codes, codebooks, bias = (tensors[f"{layer.conv}.{part}"] for part in _PARTS)
        groups = max(len(codebooks), 1) if codebooks.dim() == 2 else 1
        for value, part, kind, shape in (
            (codes, "codes", torch.uint8, (out, layer.in_channels, 3, 3)),
            (codebooks, "codebooks", torch.float32, (groups, VALUES)),
            (bias, "bias", torch.float32, (out,)),
        ):
            name = f"'{layer.conv}.{part}'"
            if tuple(value.shape) != shape or value.dtype != kind:
                got = f"{value.dtype} {tuple(value.shape)}"
                raise ValueError(f"{name} is {got}, expected {kind} {shape}")
            if kind.is_floating_point and not torch.isfinite(value).all():
                raise ValueError(f"{name} holds values that are not finite")
        if out % groups:
            raise ValueError(f"{out} channels of {layer.conv} cannot share {groups} codebooks")
