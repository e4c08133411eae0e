"""The slim VGG-19: the file that holds one, and the one that comes with this package.

The file has the convolutions up to `conv5_1` under their names, in float16, and one metadata entry,
`neural_style`, whose JSON says what they are (`SlimInfo`) and how they were made.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from overpaint.encoder.calibration import Calibration
from overpaint.encoder.described import read_described, save_described
from overpaint.encoder.layers import SLIM_CONVOLUTIONS, SLIM_LAYER_NAMES, Convolution
from overpaint.encoder.weights import KINDS, VggWeights
from overpaint.files import file_sha256

BUILT_IN = Path(__file__).with_name("data") / "vgg19_slim.safetensors"
ENTRY = "neural_style"  # the name that this project had when the format was made
FORMAT = "slim VGG-19, 1"


@dataclass(frozen=True)
class SlimInfo:
    """What a slim file says of itself."""

    channels: Mapping[str, Sequence[int]]
    """`convB_I` to the indices of VGG-19's channels that its own stand for, rising."""
    calibration: Mapping[str, Calibration]
    """By layer, before and after the ReLU."""
    teacher_sha256: str
    """Of the file of the VGG-19 that it was made from."""
    making: Mapping[str, Any]
    """How it was made: steps, pictures, seeds, errors, versions."""
    licence: str

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each convolution."""
        return tuple(len(self.channels[layer.conv]) for layer in SLIM_CONVOLUTIONS)


def save_slim(tensors: Mapping[str, Tensor], info: SlimInfo, path: Path) -> None:
    """Writes a slim file, the same bytes for the same values.

    Args:
        tensors: `convB_I.weight` (out, in, 3, 3) and `convB_I.bias` (out,); rounded to float16.
        info: what is written beside them.
        path: ends in `.safetensors`.

    Raises:
        OSError: if the file cannot be written.
    """
    halves = {
        key: tensors[key].detach().to("cpu", torch.float16).contiguous() for key in _tensor_names()
    }
    said = {**dataclasses.asdict(info), "format": FORMAT, "widths": info.widths}
    save_described(halves, said, path, entry=ENTRY)


def load_slim(path: Path, convolutions: Sequence[Convolution]) -> VggWeights:
    """Reads the first convolutions of a slim file.

    Args:
        path: a file that `save_slim` wrote; `BUILT_IN` is this package's own.
        convolutions: those to hand out, from the first one on, at most up to `conv5_1`.

    Returns:
        Their tensors in float32, and the calibration of the slim network's layers.

    Raises:
        WeightsError: if the file is missing, damaged or something else.
    """
    tensors, info = read_slim(path)
    return VggWeights(
        {name: tensors[name].float() for name in _tensor_names(convolutions)},
        path,
        file_sha256(path),
        name="vgg19_slim",
        calibration=info.calibration,
    )


def read_slim(path: Path) -> tuple[dict[str, Tensor], SlimInfo]:
    """All tensors of a slim file, as stored, and what it says of itself.

    Raises:
        WeightsError: if the file is missing, damaged or something else.
    """
    stored, said = read_described(
        path,
        _tensor_names(),
        entry=ENTRY,
        form=FORMAT,
        what="slim VGG-19",
        hint="a full one is read with encoder.name=vgg19.",
        check=lambda tensors, said: _check(tensors, _parse(said)),
    )
    return stored, _parse(said)


def _tensor_names(convolutions: Sequence[Convolution] = SLIM_CONVOLUTIONS) -> list[str]:
    return [f"{layer.conv}.{kind}" for layer in convolutions for kind in KINDS]


def _parse(values: Mapping[str, Any]) -> SlimInfo:
    calibration = {name: Calibration(**values["calibration"][name]) for name in SLIM_LAYER_NAMES}
    for name, one in calibration.items():
        for value in dataclasses.astuple(one):
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"the calibration of {name} holds {value}")
    channels = {layer.conv: tuple(values["channels"][layer.conv]) for layer in SLIM_CONVOLUTIONS}
    for layer in SLIM_CONVOLUTIONS:
        kept = channels[layer.conv]
        if list(kept) != sorted(set(kept) & set(range(layer.out_channels))):
            raise ValueError(f"the channels of {layer.conv} are no rising indices of VGG-19's")
    return SlimInfo(
        channels, calibration, values["teacher_sha256"], values["making"], values["licence"]
    )


def _check(stored: Mapping[str, Tensor], info: SlimInfo) -> None:
    """Raises ValueError or KeyError if tensors are not those that `info` describes."""
    inputs = 3
    for layer, width in zip(SLIM_CONVOLUTIONS, info.widths, strict=True):
        for kind, shape in zip(KINDS, ((width, inputs, 3, 3), (width,)), strict=True):
            name = f"{layer.conv}.{kind}"
            value = stored[name]
            if tuple(value.shape) != shape or value.dtype != torch.float16:
                got = f"{value.dtype} {tuple(value.shape)}"
                raise ValueError(f"'{name}' is {got}, expected torch.float16 {shape}")
            if not torch.isfinite(value).all():
                raise ValueError(f"'{name}' holds values that are not finite")
        inputs = width
