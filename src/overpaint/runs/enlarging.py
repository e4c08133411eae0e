"""The picture of one size at the next one."""

from __future__ import annotations

from torch import Tensor

from overpaint.building.objective import starts_from_photo, unpainted
from overpaint.pictures.inputs import Inputs, SizedInputs
from overpaint.pictures.io import size_of
from overpaint.pictures.tensors import enlarge_paint, enlarge_picture, enlarge_with_detail
from overpaint.settings.schema import Config


def enlarged(config: Config, inputs: Inputs, image: Tensor, larger: SizedInputs) -> Tensor:
    """The picture so far at the size of `larger`, as `schedule.carry` says.

    Args:
        config: resolved settings.
        inputs: the pictures as they were read.
        image: (1, 3, H, W).
        larger: the pictures at that size.
    """
    photo = larger.content
    if tuple(image.shape[-2:]) == size_of(photo):
        return image
    if config.schedule.carry == "picture" or not starts_from_photo(config):
        return enlarge_picture(image, size_of(photo))
    smaller = inputs.at(max(image.shape[-2:]), style_scale=config.style.scale)
    if config.schedule.carry == "paint":
        return enlarge_paint(image, smaller.content, photo)
    return enlarge_with_detail(image, unpainted(config, smaller), unpainted(config, larger))
