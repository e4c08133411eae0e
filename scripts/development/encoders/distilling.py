"""Fine-tuning a slim network to see what VGG-19 sees, on the pictures an optimiser will show it.

An example is a photo, a painting, and pictures on the way from the one to the other, painted with
the slim network as it is then: whatever it wrongly takes for a match is what it must learn to tell.
Block 1 is refitted closely enough, so it stays, and what it makes of a picture is computed once.
Kernels are trained by Muon (Jordan et al. 2024), biases by Adam: on 60 examples, 500 steps of Muon
left a loss of 1.11 on others, Adam's 1.22 at its best rate, for a third more time.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from overpaint.encoder.layers import CONTENT_LAYERS, SLIM_CONVOLUTIONS, STYLE_LAYERS, Convolution
from overpaint.encoder.vgg import Vgg19Features, normalized
from overpaint.losses.gram import gram_matrix, total_variation
from overpaint.optimisation.schedule import rate_factor
from overpaint.optimisation.step import evaluation, take_step

logger = logging.getLogger(__name__)

FROZEN = tuple(layer for layer in SLIM_CONVOLUTIONS if layer.block == 1)
TRAINED = tuple(layer for layer in SLIM_CONVOLUTIONS if layer.block > 1)
LEARNT = ("relu2_1", "relu3_1", "relu4_1", "relu4_2", "relu5_1")

# Brings the gradient of one value well above Adam's eps; a power of two changes nothing else.
_LOSS_SCALE = 2.0**16
_PAINTED_AT_ONCE, _READ_AT_ONCE = 64, 8  # pairs, for the sake of memory
_EACH = 5  # pictures of an example: photo, painting, and three on the way


@dataclass(frozen=True)
class Distillation:
    """How long and how fast."""

    steps: int = 4000
    rounds: int = 6
    """New examples are painted this many times, evenly spread."""
    examples: int = 40
    """Painted in each round; all rounds' are kept."""
    longest: int = 32
    """Steps at most that an example is painted, at least 8."""
    batch: int = 2
    """Examples a step."""
    rate: float = 0.015
    """The rate at the start, as a share of a tensor's root mean square."""


@dataclass(frozen=True)
class _Examples:
    """`_EACH` pictures of each of E pairs, the photo first, the painting second; B in all."""

    shallow: Tensor
    """(B, C, H / 2, W / 2): what block 2 is fed, pooled."""
    targets: dict[str, Tensor]
    """VGG-19's maps at the kept channels, each (B, ...)."""


def distil(
    teacher: Mapping[str, Tensor],
    slim: Mapping[str, Tensor],
    channels: Mapping[str, Sequence[int]],
    pairs: Iterator[tuple[Tensor, Tensor]],
    *,
    settings: Distillation,
    device: torch.device,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Trains blocks 2 to 5 of a slim network on VGG-19's maps and Gram matrices.

    Args:
        teacher: VGG-19's tensors up to `conv5_1`.
        slim: the slim network's.
        channels: `convB_I` to VGG-19's channels that the slim ones stand for.
        pairs: a photo and a painting each, (3, H, W), sRGB in [0, 1], all of one size; as many as
            there are examples in all rounds.
        settings: how long and how fast.
        device: to compute on, with bfloat16 products.
        seed: of the order of examples and of how they are painted.

    Returns:
        The slim network's tensors after training, float32, on the CPU.
    """
    generator = torch.Generator().manual_seed(seed)
    teacher = {name: value.to(device) for name, value in teacher.items()}
    tensors = {name: value.to(device).clone() for name, value in slim.items()}
    optimizers, rates = _optimizers(tensors, settings.rate)
    examples: list[_Examples] = []  # of one pair each
    order: list[int] = []
    whole = _network(LEARNT, teacher, device)
    losses = torch.zeros((), device=device)
    told = max(1, settings.steps // 20)
    painting_steps = {settings.steps * one // settings.rounds for one in range(settings.rounds)}
    for step in range(settings.steps):
        if step in painting_steps:
            now = {name: value.detach().view(slim[name].shape) for name, value in tensors.items()}
            encoder = _network((*STYLE_LAYERS, *CONTENT_LAYERS), now, device)
            for count in _shares(settings.examples, _PAINTED_AT_ONCE):
                photos, paintings = (
                    torch.stack(some).to(device, memory_format=torch.channels_last)
                    for some in zip(*itertools.islice(pairs, count), strict=True)
                )
                pictures = [
                    photos,
                    paintings,
                    *_on_the_way(encoder, photos, paintings, settings.longest, generator),
                ]
                for some in torch.split(torch.stack(pictures, 1), _READ_AT_ONCE):
                    examples += _examples(whole, tensors, channels, some.flatten(0, 1))
        if len(order) < settings.batch:
            order += torch.randperm(len(examples), generator=generator).tolist()
        falling = rate_factor("cosine", step, settings.steps, 0.02)
        for group, rate in rates:
            group["lr"] = rate * falling * min(1.0, (step + 1) / 30)
        drawn, order = order[: settings.batch], order[settings.batch :]
        loss = _loss(tensors, _together([examples[index] for index in drawn]))
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        for optimizer in optimizers:
            optimizer.step()
        losses += loss.detach()
        if (step + 1) % told == 0:
            mean = float(losses) / told
            logger.info("Distilled %d steps of %d: loss %.4f", step + 1, settings.steps, mean)
            losses.zero_()
    return {
        name: value.detach().cpu().view(slim[name].shape).contiguous()
        for name, value in tensors.items()
    }


def _network(
    layers: Sequence[str], tensors: Mapping[str, Tensor], device: torch.device
) -> Vgg19Features:
    layout = torch.channels_last
    network: Vgg19Features = Vgg19Features(layers, tensors).to(device, memory_format=layout)  # type: ignore[call-overload]
    return network


def _shares(count: int, most: int) -> list[int]:
    """`count` in parts of at most `most`."""
    return [min(most, count - done) for done in range(0, count, most)]


def _optimizers(
    tensors: dict[str, Tensor], rate: float
) -> tuple[list[torch.optim.Optimizer], list[tuple[dict[str, Any], float]]]:
    """Makes what is trained of `tensors` so, kernels as the matrices (out, 9 in) that Muon takes.

    Returns:
        The optimisers, and each of their groups with its rate.
    """
    groups: dict[str, list[dict[str, Any]]] = {"weight": [], "bias": []}
    for layer in TRAINED:
        for kind, of_kind in groups.items():
            name = f"{layer.conv}.{kind}"
            tensors[name] = tensors[name].flatten(1) if kind == "weight" else tensors[name]
            tensors[name] = tensors[name].detach().requires_grad_(True)
            scale = float(tensors[name].detach().square().mean().sqrt())
            of_kind.append({"params": [tensors[name]], "lr": rate * scale})
    muon = torch.optim.Muon(groups["weight"], weight_decay=0, adjust_lr_fn="match_rms_adamw")
    adam = torch.optim.Adam(groups["bias"], betas=(0.9, 0.99))
    rates = [(group, group["lr"]) for one in (muon, adam) for group in one.param_groups]
    return [muon, adam], rates


def _maps(
    tensors: Mapping[str, Tensor], layers: Sequence[Convolution], x: Tensor
) -> Iterator[tuple[str, Tensor]]:
    """Names and maps after each ReLU; `x` is pooled already if `layers` begin with a new block."""
    block = layers[0].block
    for layer in layers:
        if layer.block != block:
            x, block = F.max_pool2d(x, 2), layer.block
        weight, bias = tensors[f"{layer.conv}.weight"], tensors[f"{layer.conv}.bias"]
        kernel = weight.view(len(weight), -1, 3, 3)  # it may be a matrix
        x = F.relu(F.conv2d(x, kernel, bias, padding=1))
        yield layer.relu, x


@torch.no_grad()
def _examples(
    whole: Vgg19Features,
    tensors: Mapping[str, Tensor],
    channels: Mapping[str, Sequence[int]],
    pictures: Tensor,
) -> list[_Examples]:
    """Those of one pair each; `pictures` are (B, 3, H, W)."""
    with torch.autocast(pictures.device.type, torch.bfloat16):
        for _, x in _maps(tensors, FROZEN, normalized(pictures)):
            shallow = x
        targets = {
            name: features[:, list(channels[name.replace("relu", "conv")])]
            for name, features in whole(pictures).items()
        }

    def parts(x: Tensor) -> list[Tensor]:
        # Copies, so that one example does not hold the memory of all.
        return [one.clone(memory_format=torch.channels_last) for one in torch.split(x, _EACH)]

    by_pair = zip(*(parts(target) for target in targets.values()), strict=True)
    return [
        _Examples(own, dict(zip(targets, maps, strict=True)))
        for own, maps in zip(parts(F.max_pool2d(shallow, 2)), by_pair, strict=True)
    ]


def _together(examples: Sequence[_Examples]) -> _Examples:
    return _Examples(
        torch.cat([one.shallow for one in examples]),
        {name: torch.cat([one.targets[name] for one in examples]) for name in examples[0].targets},
    )


def _on_the_way(
    encoder: Vgg19Features,
    photos: Tensor,
    paintings: Tensor,
    longest: int,
    generator: torch.Generator,
) -> list[Tensor]:
    """Three pictures of each pair that an optimiser meets: the photo with noise, two painted ones.

    Of the painted ones, one is from the first steps and one from anywhere up to the last.
    """

    def uniform(low: float, high: float) -> Tensor:
        shares = torch.rand(len(photos), 1, 1, 1, generator=generator)
        return (low + (high - low) * shares).to(photos)

    noise = torch.rand(photos.shape, generator=generator).to(photos)
    mixed = torch.lerp(photos, noise, uniform(0.05, 0.6))
    starts = torch.where(uniform(0, 1) < 0.25, mixed, photos)
    early = uniform(2, 6).round()
    late = (math.log(8) + math.log(longest / 8) * uniform(0, 1)).exp().round()
    style = (math.log(4) + math.log(10) * uniform(0, 1)).exp().flatten()
    loss = _painting_loss(encoder, photos, paintings, style, uniform(0, 8).flatten())
    rate = float(uniform(0.02, 0.05)[0])
    found = [photos, photos]
    for step, images in enumerate(_paint(loss, starts, rate, int(late.max())), 1):
        found = [
            torch.where(wanted == step, images, before)
            for wanted, before in zip((early, late), found, strict=True)
        ]
    return [mixed, *found]


def _painting_loss(
    encoder: Vgg19Features, photos: Tensor, paintings: Tensor, style: Tensor, variation: Tensor
) -> Callable[[Tensor], Tensor]:
    """Relative losses as `Objective` has them, of P pairs at once: from (P, 3, H, W) to (P,).

    Args:
        encoder: sees the style layers and the content layers.
        photos: (P, 3, H, W).
        paintings: likewise.
        style: (P,), weights.
        variation: (P,), weights of the total variation.
    """

    def read(pictures: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        with torch.autocast(pictures.device.type, torch.bfloat16):
            maps = encoder(pictures)
        grams = {layer: gram_matrix(maps[layer]) for layer in STYLE_LAYERS}
        return {layer: maps[layer].float() for layer in CONTENT_LAYERS}, grams

    def distance(found: Tensor, wanted: Tensor) -> Tensor:
        squares = (found - wanted).square().flatten(1).sum(1)
        return squares / wanted.square().flatten(1).sum(1)

    with torch.no_grad():
        contents, styles = read(photos)[0], read(paintings)[1]

    def loss(pictures: Tensor) -> Tensor:
        maps, grams = read(pictures)
        total = variation * total_variation(pictures)
        for layer, weight in CONTENT_LAYERS.items():
            total = total + weight * distance(maps[layer], contents[layer])
        for layer, weight in STYLE_LAYERS.items():
            total = total + style * weight * distance(grams[layer], styles[layer])
        return total

    return loss


def _paint(
    loss: Callable[[Tensor], Tensor], starts: Tensor, rate: float, steps: int
) -> Iterator[Tensor]:
    """The pictures after each step of Adam."""
    images = nn.Parameter(starts.clone())
    adam = torch.optim.Adam([images], lr=rate)
    evaluate = evaluation(images, loss, _LOSS_SCALE)
    for step in range(steps):
        adam.param_groups[0]["lr"] = rate * rate_factor("cosine", step, steps, 0.05)
        take_step(images, adam, evaluate)
        yield images.detach().clone()


def _loss(tensors: Mapping[str, Tensor], examples: _Examples) -> Tensor:
    """Relative errors of maps, of Gram matrices, and of their differences to the painting's.

    The mean over the examples of each.
    """

    def squares(x: Tensor) -> Tensor:
        """Sums of squares, (E, _EACH)."""
        return x.square().flatten(1).sum(1).view(-1, _EACH)

    losses = []
    with torch.autocast(examples.shallow.device.type, torch.bfloat16):
        maps = dict(_maps(tensors, TRAINED, examples.shallow))
        for name, target in examples.targets.items():
            wanted = target.float()
            errors = squares(maps[name].float() - wanted).sum(1) / squares(wanted).sum(1)
            losses.append(2 * errors.mean())
            if name in STYLE_LAYERS:
                grams, true = gram_matrix(maps[name]), gram_matrix(target)
                norms = squares(true)
                losses.append((squares(grams - true) / norms).mean())
                # As a style loss has it: the error of the way left, against the whole way.
                grams, true = (
                    (one := gram.view(-1, _EACH, *gram.shape[1:])) - one[:, 1:2]
                    for gram in (grams, true)
                )
                ways = true[:, 0].square().sum((1, 2)) + 0.02 * norms[:, 1]
                left = (grams - true)[:, 2:].square().sum((2, 3)).mean(1)
                losses.append((left / ways).mean())
    return torch.stack(losses).sum()
