"""What is minimised, and where from."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from overpaint.banding.shares import Share
from overpaint.building.bands import choose_bands
from overpaint.building.encoder import used_layers
from overpaint.encoder.layers import LAYER_NAMES
from overpaint.encoder.vgg import Vgg19Features
from overpaint.losses.guides import build_guides, kept_photo, recolored_where
from overpaint.losses.objective import Objective
from overpaint.optimisation.device import best_layout
from overpaint.optimisation.optimizers import loss_scale
from overpaint.optimisation.step import Show, unchanged
from overpaint.pictures.colour.recoloring import recolored
from overpaint.pictures.inputs import Inputs, SizedInputs
from overpaint.pictures.io import size_of
from overpaint.pictures.masks import NO_MASKS, Masks
from overpaint.pictures.tensors import (
    enlarge_paint,
    enlarge_picture,
    enlarge_with_detail,
    start_image,
    to_tensor,
    to_weights,
    with_colours_of,
)
from overpaint.settings.named import shares_in
from overpaint.settings.schema import Config, OutputConfig, TrackingConfig

_KEPT = 12  # paintings at one size each: four of them at the three sizes of a run
# Of the ways to start: noise over the photo counts, for what shines through is to be seen.
_STARTS_FROM_PHOTO = ("content", "recolored", "blend", "multiply")


@dataclass(frozen=True)
class Problem:
    """The losses of one size, and the picture to start from."""

    image: nn.Parameter
    """(1, 3, H, W), on the encoder's device."""
    objective: Objective
    loss_scale: float
    """Factor of the loss that the optimiser sees."""
    show: Show = unchanged
    """Makes the picture to be seen of the image."""


class StyleTargets:
    """What was measured of paintings last, for the next photo of that size; a few megabytes each.

    Of one encoder, on one device and in one arithmetic.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, nn.ModuleDict] = OrderedDict()

    def get(self, key: Hashable, device: torch.device) -> nn.ModuleDict | None:
        """The targets that were kept under a key, on their device again."""
        if key not in self._kept:
            return None
        self._kept.move_to_end(key)
        return self._kept[key].to(device)

    def keep(self, key: Hashable, targets: nn.ModuleDict) -> None:
        """Keeps them until others have been wanted more lately."""
        self._kept[key] = targets
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)


def build_objective(
    config: Config,
    encoder: Vgg19Features,
    content: Tensor,
    styles: Sequence[Tensor],
    *,
    masks: Masks = NO_MASKS,
    bands: Sequence[int] = (),
    known: StyleTargets | None = None,
    share: Share | None = None,
) -> Objective:
    """The losses of `config` with the targets of a photo and paintings, each (1, 3, H, W).

    Args:
        config: resolved settings.
        encoder: the frozen network.
        content: the photo.
        styles: the paintings.
        masks: in the sizes of these.
        bands: rows of a band in each block of the network; by default it is computed whole.
        known: may have the paintings' targets already, and keeps them.
        share: of this process in the rows; others have the rest, and all of them make theirs.
    """
    guides = build_guides(masks, len(styles), device=content.device)
    if guides is not None:
        known = None  # where they count is part of the targets
    key = None if known is None else _style_key(config, content, styles)
    targets = None if known is None else known.get(key, encoder.mean.device)
    objective = Objective(
        encoder,
        content,
        styles,
        content_layers=config.content.layers,
        style_layers=config.style.layers,
        content_weight=config.content.weight,
        style_weight=config.style.weight,
        tv_weight=config.loss.tv_weight,
        normalization=config.loss.normalization,
        statistics=config.style.statistics,
        image_weights={layer: shares_in(config.style, layer) for layer in config.style.layers},
        guides=guides,
        bands=bands,
        style_targets=targets,
        share=share,
    )
    if known is not None and targets is None:
        known.keep(key, objective.style_targets)
    return objective


def _style_key(config: Config, content: Tensor, styles: Sequence[Tensor]) -> Hashable:
    """What the paintings' targets depend on: their pixels, the photo's size, and all settings.

    Of the settings those count not that say which files are meant and where results go.
    """
    alike = dataclasses.replace(
        config,
        content=dataclasses.replace(config.content, image=""),
        style=dataclasses.replace(config.style, images=()),
        output=OutputConfig(),
        tracking=TrackingConfig(),
    )
    pixels = (hashlib.sha256(style.cpu().contiguous().numpy().tobytes()) for style in styles)
    sizes = (content.shape, *(style.shape for style in styles))
    return (repr(alike), sizes, *(one.hexdigest() for one in pixels))


def starts_from_photo(config: Config) -> bool:
    """Whether a run is to end as a picture of the photo and starts from it.

    Only then may the photo's own detail be put into the picture between two sizes.
    """
    return config.content.weight > 0 and config.init.mode in _STARTS_FROM_PHOTO


def unpainted(config: Config, sized: SizedInputs) -> Tensor:
    """The photo, (1, 3, H, W), in the paintings' colours if a run starts from it so."""
    content = to_tensor(sized.content)
    if config.init.mode != "recolored":
        return content
    styles = [to_tensor(style) for style in sized.styles]
    if sized.masks.regions:
        start = recolored_where(content, styles, sized.masks)
    else:
        start = recolored(content, styles, shares_in(config.style, _shallowest(config)))
    if sized.masks.style is None:
        return start
    return torch.lerp(content, start, to_weights(sized.masks.style))


def _shallowest(config: Config) -> str:
    """The style layer that is nearest to the pixels, and so to their colours."""
    layers = (name for name, weight in config.style.layers.items() if weight > 0)
    return min(layers, key=LAYER_NAMES.index)


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


def as_shown(sized: SizedInputs) -> Show:
    """What makes the picture to be seen of the image that is optimised, at the size of `sized`."""
    photo, kept = sized.colours, kept_photo(sized.masks)
    if photo is None and kept is None:
        return unchanged

    def show(image: Tensor) -> Tensor:
        if kept is not None:
            content = to_tensor(sized.content).to(image)
            image = torch.lerp(image.detach(), content, kept.to(image))
        return image if photo is None else with_colours_of(image, photo)

    return show


def build_problem(
    config: Config,
    sized: SizedInputs,
    encoder: Vgg19Features,
    precision: str,
    *,
    image: Tensor | None = None,
    known: StyleTargets | None = None,
    share: Share | None = None,
) -> Problem:
    """The losses of pictures brought to one size, and the picture to start from.

    Args:
        config: resolved settings.
        sized: the pictures at that size.
        encoder: the frozen network, on its device.
        precision: decides on the memory layout.
        image: (1, 3, H, W), in the place of the start that `init` asks for.
        known: may have the paintings' targets already, and keeps them; not with a share, for all
            processes have to measure them or none.
        share: of this process in the rows, if others measure the picture with it.

    To be called under the autocast of the steps, so that the targets are as exact as they are.
    """
    content = to_tensor(sized.content)
    styles = [to_tensor(style) for style in sized.styles]
    if image is None and config.init.mode == "recolored":
        image = unpainted(config, sized)
    elif image is None:
        image = start_image(
            config.init.mode,
            content=content,
            picture=None if sized.start is None else to_tensor(sized.start),
            noise_ratio=config.init.noise_ratio,
            seed=config.seed,
        )
    device, layout = encoder.mean.device, best_layout(precision)
    content, image = (x.to(device, memory_format=layout) for x in (content, image))
    styles = [style.to(device, memory_format=layout) for style in styles]
    with torch.no_grad():
        pixels = [style.shape[2] * style.shape[3] for style in styles]
        part = share.part(used_layers(config), content.shape[2]) if share else None
        in_hand = content if part is None else content[:, :, part.source]
        plan = choose_bands(config, in_hand.shape, pixels, device).plan
        bands = () if plan is None else plan.heights
        objective = build_objective(
            *(config, encoder, content, styles),
            masks=sized.masks,
            bands=bands,
            known=None if share else known,
            share=share,
        )
        start_loss = objective(image).total
    return Problem(
        nn.Parameter(image.detach().clone()),
        objective,
        loss_scale(config.optimizer.name, start_loss, image),
        as_shown(sized),
    )
