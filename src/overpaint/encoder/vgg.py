"""The frozen encoder: VGG-19 up to the deepest layer asked for, with named feature maps."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import skip_init

from overpaint.encoder.calibration import Calibration
from overpaint.encoder.layers import (
    Convolution,
    Pooling,
    blocks_up_to,
    convolutions_up_to,
    minimum_edge,
)
from overpaint.errors import lookup

# ImageNet statistics of the training images of torchvision's VGG-19, per RGB channel.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

_POOLS: Mapping[str, Callable[[Tensor, int], Tensor]] = {"max": F.max_pool2d, "avg": F.avg_pool2d}

# Is given a layer's name and map; returns the map that the next layer reads.
Visit = Callable[[str, Tensor], Tensor]
Block = Sequence[Convolution]
Kernels = Sequence[tuple[Tensor, Tensor]]


def _per_channel(values: tuple[float, float, float]) -> Tensor:
    return torch.tensor(values).view(1, 3, 1, 1)


def normalized(image: Tensor, mean: Tensor | None = None, std: Tensor | None = None) -> Tensor:
    """An image as the first convolution expects it.

    Args:
        image: (B, 3, H, W), sRGB in [0, 1].
        mean: (1, 3, 1, 1), on the image's device; by default ImageNet's.
        std: likewise.
    """
    mean = _per_channel(MEAN).to(image) if mean is None else mean
    std = _per_channel(STD).to(image) if std is None else std
    return (image - mean) / std


def mirrored(x: Tensor, dim: int, beyond: int) -> Tensor:
    """`x` with values mirrored beyond its last one, which is not repeated.

    As PyTorch's padding of mode `reflect`, whose gradient on GPUs adds in any order, and so differs
    from run to run in its last digits. Those of slices and flips do not.

    Args:
        x: any shape.
        dim: along which.
        beyond: how many values; fewer than `x` has there.
    """
    if beyond == 0:
        return x
    last = x.shape[dim] - 1
    return torch.cat([x, x.narrow(dim, last - beyond, beyond).flip(dim)], dim)


class Vgg19Features(nn.Module):
    """VGG-19 (Simonyan & Zisserman 2014) without its classifier, or a slimmer one, frozen.

    Args:
        layers: names of the maps that `forward` returns unless it is asked for others, such as
            `relu4_2` (after the ReLU) or `conv4_2` (before it). Nothing beyond the deepest one is
            built.
        weights: `convB_I.weight` and `convB_I.bias` for every convolution built; their shapes
            give the channels.
        pooling: `max`, as trained, or `avg`, which Gatys et al. 2015 (section Methods) found to
            improve the gradient flow and the look.
        whole: mirror an image at its last row and column until every pooling divides evenly. A
            pooling drops what is left over, up to 15 pixels before the fifth block, where an image
            that is optimised is then held by the shallow layers alone and turns garish. Repeating
            the last row instead would draw its streaks into the statistics of a small painting.
        calibration: of a slimmer network's layers; kept for the losses.

    Raises:
        ConfigError: if a layer or `pooling` is unknown.
        KeyError: if `weights` lacks a tensor.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        layers: Iterable[str],
        weights: Mapping[str, Tensor],
        *,
        pooling: Pooling = "max",
        whole: bool = False,
        calibration: Mapping[str, Calibration] | None = None,
    ) -> None:
        super().__init__()
        self.layers = tuple(dict.fromkeys(layers))
        self.calibration = dict(calibration or {})
        self.minimum_edge = minimum_edge(self.layers)
        table = convolutions_up_to(self.layers)
        self._deepest = table[-1].relu
        self._whole = whole
        self._pool = lookup(_POOLS, pooling, "pooling")
        self.takes_maxima = pooling == "max"
        self.convolutions = nn.ModuleDict()
        for layer in table:
            state = {kind: weights[f"{layer.conv}.{kind}"] for kind in ("weight", "bias")}
            outputs, inputs = state["weight"].shape[:2]
            module = skip_init(  # type: ignore[no-untyped-call]  # random weights would only be overwritten
                nn.Conv2d, inputs, outputs, kernel_size=3, padding=1
            )
            module.load_state_dict(state)
            self.convolutions[layer.conv] = module
        self.register_buffer("mean", _per_channel(MEAN))
        self.register_buffer("std", _per_channel(STD))
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Vgg19Features:
        """Stays in evaluation mode, whatever it is part of: the network is frozen."""
        return super().train(False)

    def forward(
        self,
        image: Tensor,
        layers: Iterable[str] | None = None,
        *,
        visit: Visit | None = None,
    ) -> dict[str, Tensor]:
        """Computes feature maps, and nothing beyond the deepest one asked for.

        Args:
            image: (B, 3, H, W), sRGB in [0, 1].
            layers: names of the maps; by default those that the encoder was built for.
            visit: is given the name and the map of each of `layers`, and returns the map that the
                next layer reads. By default the map itself.

        Returns:
            Layer name to (B, C, H / 2^p, W / 2^p) for p poolings before it, edges rounded down, or
            as if they were of the padded image if it is taken as a `whole`.

        Raises:
            ConfigError: if a layer is unknown.
            ValueError: if an edge is too small for the layers, or a layer is beyond what was built.
        """
        wanted = self.layers if layers is None else tuple(layers)
        features: dict[str, Tensor] = {}

        def keep(layer: str, x: Tensor) -> Tensor:
            features[layer] = visit(layer, x) if visit is not None else x
            return features[layer]

        blocks = self.blocks(wanted, image)
        x = self.prepared(image, *self.beyond(wanted, image))
        for number, block in enumerate(blocks):
            x = self.pool(x) if number else x
            x = self.through(block, x, wanted, keep)
        return features

    def blocks(self, layers: Iterable[str], image: Tensor) -> tuple[Block, ...]:
        """The convolutions that an image goes through for `layers`, block by block.

        Raises:
            ConfigError: if a layer is unknown.
            ValueError: if an edge is too small for the layers, or a layer is beyond what was built.
        """
        wanted = tuple(layers)
        table, least = convolutions_up_to(wanted), minimum_edge(wanted)
        if len(table) > len(self.convolutions):
            raise ValueError(f"the encoder has no {table[-1].relu}; it ends with {self._deepest}")
        if min(image.shape[-2:]) < least:
            raise ValueError(
                f"an image of {tuple(image.shape[-2:])} pixels is too small for {wanted}; "
                f"each edge needs {least}"
            )
        return blocks_up_to(wanted)

    def beyond(self, layers: Iterable[str], image: Tensor) -> tuple[int, int]:
        """How many rows and columns an image is mirrored by for `layers`."""
        multiple = minimum_edge(layers) if self._whole else 1
        height, width = image.shape[-2:]
        return -height % multiple, -width % multiple

    def prepared(self, image: Tensor, below: int, right: int) -> Tensor:
        """An image, or its last rows, as the first convolution reads it."""
        x = normalized(image, self.mean, self.std)
        return mirrored(mirrored(x, 2, below), 3, right)

    def pool(self, x: Tensor) -> Tensor:
        """What the next block reads of a block's last map."""
        return self._pool(x, 2)

    def kernels(self, block: Block, dtype: torch.dtype) -> Kernels:
        """Weight and bias of a block's convolutions in one dtype."""
        modules = (cast(nn.Conv2d, self.convolutions[layer.conv]) for layer in block)
        return [(one.weight.to(dtype), cast(Tensor, one.bias).to(dtype)) for one in modules]

    def through(
        self,
        block: Block,
        x: Tensor,
        layers: Container[str],
        visit: Visit,
        *,
        kernels: Kernels | None = None,
        pads: bool = True,
    ) -> Tensor:
        """The last map of a block.

        Args:
            block: its convolutions.
            x: what it reads.
            layers: names of the maps that are visited.
            visit: as in `forward`.
            kernels: of the block, where they are at hand in the dtype of the arithmetic.
            pads: whether convolutions read zeros above and below; else each takes a row off there.
        """
        for number, layer in enumerate(block):
            if kernels is None and pads:
                x = self.convolutions[layer.conv](x)
            else:
                weight, bias = (kernels or self.kernels(block, x.dtype))[number]
                x = F.conv2d(x, weight, bias, padding=(int(pads), 1))
            # A map that is handed out must not be rewritten; else neither convolution nor ReLU
            # needs it for gradients, and a copy is saved.
            x = F.relu(visit(layer.conv, x)) if layer.conv in layers else F.relu_(x)
            if layer.relu in layers:
                x = visit(layer.relu, x)
        return x
