"""The layer table of VGG-19 (Simonyan & Zisserman 2014, arXiv:1409.1556, configuration E).

`convB_I` names a convolution's output before its ReLU, `reluB_I` the same map after it. Nothing
here needs PyTorch, so settings can be checked before it is imported.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from overpaint.errors import lookup

EncoderName = Literal["vgg19", "vgg19_slim"]
Pooling = Literal["max", "avg"]
# What `encoder.weights` takes besides files.
NAMED_WEIGHTS = ("auto", "imagenet")

# Channels and number of convolutions of the five blocks; 2x2 pooling lies between two blocks.
BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))


@dataclass(frozen=True)
class Convolution:
    """One 3x3 convolution of the network."""

    block: int
    """1 to 5; a pooling precedes the first convolution of blocks 2 to 5."""
    position: int
    """1 to 4 inside the block."""
    in_channels: int
    out_channels: int
    index: int
    """Its number in the Sequential of `torchvision.models.vgg19().features`."""

    @property
    def conv(self) -> str:
        """Name of the map before the ReLU."""
        return f"conv{self.block}_{self.position}"

    @property
    def relu(self) -> str:
        """Name of the map after the ReLU."""
        return f"relu{self.block}_{self.position}"


def _convolutions() -> tuple[Convolution, ...]:
    table = []
    in_channels, index = 3, 0
    for block, (channels, count) in enumerate(BLOCKS, start=1):
        for position in range(1, count + 1):
            table.append(Convolution(block, position, in_channels, channels, index))
            in_channels, index = channels, index + 2  # the ReLU takes a number too
        index += 1  # and so does the pooling
    return tuple(table)


CONVOLUTIONS = _convolutions()
LAYER_NAMES = tuple(name for layer in CONVOLUTIONS for name in (layer.conv, layer.relu))
# What the slim network has: everything up to the deepest style layer of Gatys et al.
SLIM_CONVOLUTIONS = CONVOLUTIONS[: LAYER_NAMES.index("relu5_1") // 2 + 1]
SLIM_LAYER_NAMES = LAYER_NAMES[: 2 * len(SLIM_CONVOLUTIONS)]

# Channels of the blocks of each network, for estimates before its weights are read.
WIDTHS: dict[EncoderName, tuple[int, ...]] = {
    "vgg19": tuple(channels for channels, _ in BLOCKS),
    "vgg19_slim": (24, 64, 128, 240, 320),
}

# Where style and content are compared by default, with each layer's share w_l.
STYLE_LAYERS = {
    "relu1_1": 0.35,
    "relu2_1": 0.20,
    "relu3_1": 0.17,
    "relu4_1": 0.18,
    "relu5_1": 0.10,
}
CONTENT_LAYERS = {"relu4_2": 1.0}


def convolutions_up_to(layers: Iterable[str]) -> tuple[Convolution, ...]:
    """The convolutions needed for `layers`, in order: everything up to the deepest of them.

    Raises:
        ConfigError: if a name is not in `LAYER_NAMES`.
        ValueError: if `layers` is empty.
    """
    positions = {name: position for position, name in enumerate(LAYER_NAMES)}
    return CONVOLUTIONS[: max(lookup(positions, name, "layer") for name in layers) // 2 + 1]


def blocks_up_to(layers: Iterable[str]) -> tuple[tuple[Convolution, ...], ...]:
    """The same block by block; between two blocks lies a pooling.

    Raises:
        ConfigError: if a name is not in `LAYER_NAMES`.
        ValueError: if `layers` is empty.
    """
    table = convolutions_up_to(layers)
    numbers = dict.fromkeys(layer.block for layer in table)
    return tuple(tuple(layer for layer in table if layer.block == number) for number in numbers)


def poolings_before(layer: str) -> int:
    """How many poolings an image goes through before the map of `layer`.

    Raises:
        ConfigError: if it is not in `LAYER_NAMES`.
    """
    return convolutions_up_to([layer])[-1].block - 1


def minimum_edge(layers: Iterable[str]) -> int:
    """Pixels that each edge of an image needs so that the deepest of `layers` has a position."""
    return int(2 ** (convolutions_up_to(layers)[-1].block - 1))
