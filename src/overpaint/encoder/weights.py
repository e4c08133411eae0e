"""Finding, reading and checking the ImageNet weights of VGG-19."""

from __future__ import annotations

import http.client
import logging
import os
import pickle
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from overpaint.connection import answers
from overpaint.encoder.calibration import Calibration
from overpaint.encoder.layers import Convolution, EncoderName
from overpaint.errors import WeightsError, WeightsUnavailableError
from overpaint.files import file_sha256

logger = logging.getLogger(__name__)

VARIABLE = "NEURAL_STYLE_VGG19"  # the name that this project had; shells out there carry it
# File name of torchvision's VGG19_Weights.IMAGENET1K_V1; the digits are its SHA-256's first ones.
HUB_FILE = "vgg19-dcbb9e9d.pth"
STALL_TIMEOUT_S = 10.0
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
    fallback: str | None = None
    """Why this network stands in for the one that was asked for."""

    def facts(self) -> dict[str, str | None]:
        """Which they are, as JSON takes it."""
        return {
            "name": self.name,
            "path": str(self.path),
            "sha256": self.sha256,
            "fallback": self.fallback,
        }


def load_weights(source: str, convolutions: Sequence[Convolution]) -> VggWeights:
    """Finds and reads the weights of some convolutions of VGG-19.

    Args:
        source: `auto` tries the file named by NEURAL_STYLE_VGG19, PyTorch's hub cache, then a
            download by torchvision's address; `imagenet` skips the variable; else a file.
        convolutions: those to read, from the first one on.

    Raises:
        WeightsUnavailableError: if nothing was named, nothing is cached and no download succeeds.
        WeightsError: if what was named or cached is not there, damaged or no VGG-19.
    """
    path = _locate(source)
    raw = _read(
        path, [f"features.{layer.index}.{kind}" for layer in convolutions for kind in KINDS]
    )
    return VggWeights(_checked(raw, convolutions, path), path, file_sha256(path))


def _locate(source: str) -> Path:
    if source not in ("auto", "imagenet"):
        if not Path(source).is_file():
            raise WeightsError(f"encoder.weights: no such file: '{source}'.")
        return Path(source)
    named = os.environ.get(VARIABLE)
    if source == "auto" and named:
        if not Path(named).is_file():
            raise WeightsError(f"{VARIABLE} names '{named}', which is no file; mend or unset it.")
        return Path(named)
    cached = Path(torch.hub.get_dir()) / "checkpoints" / HUB_FILE
    if not cached.is_file():
        _download(cached)
    elif not file_sha256(cached).startswith(_expected_hash()):
        raise WeightsError(f"'{cached}' is damaged: its SHA-256 does not match; delete the file.")
    return cached


def _expected_hash() -> str:
    return HUB_FILE.partition("-")[2].partition(".")[0]


def _download(path: Path) -> None:
    from torchvision.models import VGG19_Weights  # takes seconds to import, and is needed only here

    url = VGG19_Weights.IMAGENET1K_V1.url
    try:
        if not answers(url):
            raise OSError("the host does not answer")
        logger.info("Downloading VGG-19 (548 MB) from %s to %s", url, path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with _time_limit(STALL_TIMEOUT_S):
            # Writes to a temporary name, checks the hash, then renames.
            torch.hub.download_url_to_file(url, str(path), hash_prefix=_expected_hash())
    except (http.client.HTTPException, OSError, RuntimeError) as error:
        raise WeightsUnavailableError(
            f"VGG-19's weights could not be had. Tried: {VARIABLE} (not set or skipped), the cache "
            f"'{path}' (not there), {url} ({_brief(error)}). Where that host cannot be reached, "
            "copy the file from a machine that can and name it with encoder.weights=PATH."
        ) from error


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


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
        raise WeightsError(f"'{path}' cannot be read as weights ({_brief(error)}).") from error
    if not isinstance(state, Mapping):
        raise WeightsError(f"'{path}' holds a {type(state).__name__}, not a state dict.")
    return {key: state[_stored(key, set(state), path)] for key in keys}


def _stored(key: str, names: set[str], path: Path) -> str:
    bare = key.removeprefix("features.")
    found = next((name for name in (key, bare) if name in names), None)
    if found is None:
        hint = (
            " A slim one is read with encoder.name=vgg19_slim." if "conv1_1.bias" in names else ""
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


def _brief(error: BaseException) -> str:
    return str(error).strip().split("\n", 1)[0][:200] or type(error).__name__
