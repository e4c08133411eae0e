"""Copies of VGG-19 that expect another input than torchvision's: recognised and converted.

Simonyan & Zisserman's network was trained in Caffe on pictures in BGR order from 0 to 255, less a
mean. Most copies of it still expect that; fed RGB from 0 to 1 they paint without complaint, in
wrong colours. The scale of the first kernels does not tell, for those of torchvision's own VGG-19
have the size of Caffe's; but the first kernels of this network are known.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cosine_similarity

from overpaint.encoder.vgg import MEAN, STD

CAFFE_MEAN = (123.68, 116.779, 103.939)  # RGB, of 0 to 255
SAME = 0.95  # mean cosine of kernels, from which on two networks are one
SMALL = 0.1  # share of the expected size, below which kernels are made for 0 to 255


def to_torchvision(
    weight: Tensor, bias: Tensor, known: Tensor
) -> tuple[Tensor, Tensor, str] | None:
    """The first convolution for RGB in [0, 1], normalized as torchvision does.

    Args:
        weight: (64, 3, 3, 3).
        bias: (64,).
        known: (64, 3, 3, 3), the first kernels of Simonyan & Zisserman's network for that input.

    Returns:
        The converted weight and bias, and words for the input that the given ones expected; None if
        there is nothing to convert, or the network is another one.
    """
    alike = {
        flipped: float(
            cosine_similarity(
                (weight.flip(1) if flipped else weight).flatten(1), known.flatten(1)
            ).mean()
        )
        for flipped in (False, True)
    }
    flipped = alike[True] > alike[False]
    if alike[flipped] < SAME:
        return None
    small = float((weight.flatten(1).norm(dim=1) / known.flatten(1).norm(dim=1)).median()) < SMALL
    if not flipped and not small:
        return None
    if flipped:
        weight = weight.flip(1)
    if small:
        offset = weight.new_tensor([255 * m for m in MEAN]) - weight.new_tensor(CAFFE_MEAN)
        bias = bias + weight.sum((2, 3)) @ offset
        weight = weight * weight.new_tensor([255 * s for s in STD]).view(1, 3, 1, 1)
    order = "BGR" if flipped else "RGB"
    return weight, bias, f"{order} from 0 to 255, as Caffe's" if small else f"{order} order"
