"""Writing kernels with 256 values: codes of eight bits, and codebooks that say what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import ckwrap
import numpy as np
import torch
from numpy.typing import NDArray
from pruning import convolve
from torch import Tensor
from torch.nn import functional as F

from overpaint.encoder.layers import CONVOLUTIONS
from overpaint.encoder.packed import VALUES, PackedKernel
from overpaint.encoder.vgg import normalized

MANY = 1 << 15  # distinct values, from which on an exact codebook takes long
_PICTURES = 4  # convolved at once


@dataclass(frozen=True)
class Method:
    """A way to write the kernels of a network."""

    kind: str
    """`even`: even steps between a group's extremes; `codebook`: k-means of its values."""
    codebooks: int | None
    """Of a layer, each for equally many output channels; None: one for each channel."""
    corrected: bool = False
    """Biases are moved by the mean error of their channel on pictures."""

    def __str__(self) -> str:
        parts = {1: "layer", None: "channel"}.get(self.codebooks, f"1/{self.codebooks} of a layer")
        what = {"even": "even steps", "codebook": "k-means"}[self.kind]
        return f"{what} per {parts}{', biases corrected' if self.corrected else ''}"

    def groups(self, kernel: Tensor) -> int:
        """Parts of a layer's output channels that have a codebook each.

        Args:
            kernel: (out, in, 3, 3). One with few distinct values gets a single codebook, which
                holds nearly all of them.
        """
        if self.codebooks is None:
            return len(kernel)
        few = self.kind == "codebook" and len(np.unique(kernel)) <= 2 * VALUES
        return 1 if few else self.codebooks

    @property
    def codebook_bytes(self) -> int:
        """What a codebook takes in a file: even steps are known from a start and a step."""
        return 8 if self.kind == "even" else 4 * VALUES


def k_means(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The codebook (256,), rising, of the least squared error of `values` (N,).

    The optimum itself, by dynamic programming (Wang & Song 2011, Ckmeans.1d.dp): Lloyd's steps end
    in worse ones, for the tails of a kernel's values are long. Where there are very many values,
    they are rounded to float16 for it, less than a hundredth of a codebook's steps.
    """
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) > MANY:
        distinct, counts = np.unique(values.astype(np.float16), return_counts=True)
    if len(distinct) > VALUES:
        found = ckwrap.ckmeans(distinct.astype(float), VALUES, weights=counts.astype(float))
        distinct = np.sort(found.centers)
    return np.pad(distinct, (0, VALUES - len(distinct)), mode="edge").astype(np.float32)


def quantize(kernel: Tensor, bias: Tensor, method: Method) -> PackedKernel:
    """A kernel in codes, its bias as it is.

    Args:
        kernel: (out, in, 3, 3), float32.
        bias: (out,), float32.
        method: how; biases are corrected elsewhere.
    """
    rows = kernel.reshape(method.groups(kernel), -1).numpy()
    codebooks = np.empty((len(rows), VALUES), np.float32)
    codes = np.empty(rows.shape, np.uint8)
    for index, row in enumerate(rows):
        if method.kind == "even":
            book = np.linspace(row.min(), row.max(), VALUES, dtype=np.float32)
        else:
            book = k_means(row)
        codebooks[index] = book
        codes[index] = np.searchsorted((book[1:] + book[:-1]) / 2, row)  # the nearest
    return PackedKernel(
        torch.from_numpy(codes).view(kernel.shape), torch.from_numpy(codebooks), bias
    )


def pack(
    teacher: Mapping[str, Tensor], method: Method, pictures: Tensor
) -> dict[str, PackedKernel]:
    """All kernels of a network in codes.

    Args:
        teacher: `convB_I.weight` and `convB_I.bias` of VGG-19's convolutions, float32.
        method: how.
        pictures: (N, 3, H, W), sRGB in [0, 1]; biases are corrected on them, each fed by the
            network packed so far, so that errors of the layers before count too.
    """
    packed: dict[str, PackedKernel] = {}
    true = seen = normalized(pictures)
    for layer in CONVOLUTIONS:
        weight, bias = teacher[f"{layer.conv}.weight"], teacher[f"{layer.conv}.bias"]
        kernel = quantize(weight, bias, method)
        if method.corrected:
            if layer.position == 1 and layer.block > 1:
                true, seen = F.max_pool2d(true, 2), F.max_pool2d(seen, 2)
            true = convolve(true, weight, bias, at_once=_PICTURES)
            coded = convolve(seen, kernel.weight(), bias, at_once=_PICTURES)
            offset = (true - coded).mean((0, 2, 3))
            kernel = PackedKernel(kernel.codes, kernel.codebooks, bias + offset)
            true, seen = F.relu_(true), F.relu_(coded + offset[:, None, None])
        packed[layer.conv] = kernel
    return packed
