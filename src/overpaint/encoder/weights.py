"""Finding, reading and checking the ImageNet weights of VGG-19."""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from overpaint.encoder import packed
from overpaint.encoder.calibration import Calibration
from overpaint.encoder.conventions import to_torchvision
from overpaint.encoder.imagenet import imagenet_file
from overpaint.encoder.layers import NAMED_WEIGHTS, Convolution, EncoderName
from overpaint.errors import WeightsError, brief
from overpaint.files import file_sha256
from overpaint.headroom import is_out_of_memory

logger = logging.getLogger(__name__)

VARIABLE = "NEURAL_STYLE_VGG19"  # the name that this project had; shells out there carry it
KINDS = ("weight", "bias")


@dataclass(frozen=True)
class VggWeights:
    """Kernels and biases of the convolutions asked for, and where they came from."""

    tensors: dict[str, Tensor]
    """`convB_I.weight` (out, in, 3, 3) and `convB_I.bias` (out,), float32."""
    path: Path
    sha256: str
    """Of the whole file, in hexadecimal."""
    name: EncoderName = "vgg19"
    calibration: Mapping[str, Calibration] = field(default_factory=dict)
    """Of a slim network, by layer."""

    def facts(self) -> dict[str, str]:
        """Which they are, as JSON takes it."""
        return {"name": self.name, "path": str(self.path), "sha256": self.sha256}


def load_weights(source: str, convolutions: Sequence[Convolution]) -> VggWeights:
    """Finds and reads the weights of some convolutions of VGG-19.

    Args:
        source: `auto` is the file named by NEURAL_STYLE_VGG19, else the copy in this package, which
            is Simonyan & Zisserman's; `imagenet` is torchvision's, from PyTorch's hub cache or
            downloaded; else a file, packed or in torchvision's layout.
        convolutions: those to read, from the first one on.

    Raises:
        WeightsUnavailableError: if torchvision's are not in the cache and cannot be downloaded.
        WeightsError: if what was named is not there, damaged or no VGG-19.
    """
    path = _locate(source)
    if packed.is_packed(path):
        tensors = packed.unpacked(packed.read_packed(path)[0], convolutions)
    else:
        raw = _read(
            path, [f"features.{layer.index}.{kind}" for layer in convolutions for kind in KINDS]
        )
        tensors = _converted(_checked(raw, convolutions, path), path)
    return VggWeights(tensors, path, file_sha256(path))


def _locate(source: str) -> Path:
    if source not in NAMED_WEIGHTS:
        if not Path(source).is_file():
            raise WeightsError(f"encoder.weights: no such file: '{source}'.")
        return Path(source)
    if source == "imagenet":
        return imagenet_file()
    named = os.environ.get(VARIABLE)
    if not named:
        return packed.BOX
    named = os.path.expanduser(named)
    if not Path(named).is_file():
        raise WeightsError(f"{VARIABLE} names '{named}', which is no file; mend or unset it.")
    return Path(named)


def _converted(tensors: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The same network for RGB in [0, 1], if it is the papers' one for another input."""
    kernels, _ = packed.read_packed(packed.BOX)
    first = to_torchvision(
        tensors["conv1_1.weight"], tensors["conv1_1.bias"], kernels["conv1_1"].weight()
    )
    if first is None:
        return tensors
    weight, bias, convention = first
    logger.info("'%s' is made for %s; its first convolution is converted.", path, convention)
    return {**tensors, "conv1_1.weight": weight, "conv1_1.bias": bias}


def _read(path: Path, keys: Sequence[str]) -> dict[str, Tensor]:
    """Reads `keys` by their torchvision names; a features-only file may lack the prefix."""
    try:
        if path.suffix.lower() == ".safetensors":
            with safe_open(path, framework="pt") as file:
                names = set(file.keys())
                return {key: file.get_tensor(_stored(key, names, path)) for key in keys}
        state = torch.load(path, map_location="cpu", weights_only=True)
    except WeightsError:
        raise
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"'{path}' cannot be read as weights (no PyTorch file, or more than tensors in it)."
        ) from error
    except Exception as error:  # on damaged files the readers raise nearly anything
        if is_out_of_memory(error):
            raise
        raise WeightsError(f"'{path}' cannot be read as weights ({brief(error)}).") from error
    if not isinstance(state, Mapping):
        raise WeightsError(f"'{path}' holds a {type(state).__name__}, not a state dict.")
    return {key: state[_stored(key, set(state), path)] for key in keys}


def _stored(key: str, names: set[str], path: Path) -> str:
    bare = key.removeprefix("features.")
    found = next((name for name in (key, bare) if name in names), None)
    if found is None:
        hint = (
            " A slim one is read with encoder.name=vgg19_slim." if "conv1_1.weight" in names else ""
        )
        raise WeightsError(
            f"'{path}' is no VGG-19: it has no '{key}' (it has {_sample(names)}).{hint}"
        )
    return found


def _sample(names: set[str]) -> str:
    return ", ".join(sorted(map(str, names))[:3]) + ", ..." if names else "nothing"


def _checked(
    raw: Mapping[str, Tensor], convolutions: Sequence[Convolution], path: Path
) -> dict[str, Tensor]:
    tensors = {}
    for layer in convolutions:
        shapes = ((layer.out_channels, layer.in_channels, 3, 3), (layer.out_channels,))
        for kind, shape in zip(KINDS, shapes, strict=True):
            key = f"features.{layer.index}.{kind}"
            value = raw[key]
            if not isinstance(value, Tensor) or tuple(value.shape) != shape:
                got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
                raise WeightsError(f"'{path}' is no VGG-19: '{key}' is {got}, expected {shape}.")
            value = value.float()
            if not torch.isfinite(value).all():
                raise WeightsError(f"'{path}': '{key}' holds values that are not finite.")
            tensors[f"{layer.conv}.{kind}"] = value
    return tensors
