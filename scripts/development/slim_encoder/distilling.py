"""Fine-tuning a slim network to see what VGG-19 sees, on the pictures an optimiser will show it.

An example is a photo, a painting, and pictures on the way from the one to the other, painted with
the slim network as it is then: whatever it wrongly takes for a match is what it must learn to tell.
Blocks 1 and 2 are refitted closely enough, so they stay, and what they make of a picture is
computed once.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from overpaint.encoder.layers import CONTENT_LAYERS, SLIM_CONVOLUTIONS, STYLE_LAYERS, Convolution
from overpaint.encoder.vgg import Vgg19Features, normalized
from overpaint.losses.gram import gram_matrix
from overpaint.losses.objective import Objective
from overpaint.optimisation.step import evaluation, take_step

logger = logging.getLogger(__name__)

FROZEN = tuple(layer for layer in SLIM_CONVOLUTIONS if layer.block <= 2)
TRAINED = tuple(layer for layer in SLIM_CONVOLUTIONS if layer.block > 2)
LEARNT = ("relu3_1", "relu4_1", "relu4_2", "relu5_1")

# Brings the gradient of one value well above Adam's eps; a power of two changes nothing else.
_LOSS_SCALE = 2.0**16

# Draws a photo and a painting, each (1, 3, H, W), sRGB in [0, 1].
Draw = Callable[[], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Distillation:
    """How long and how fast."""

    steps: int = 5000
    rounds: int = 8
    """New examples are painted this many times, evenly spread."""
    examples: int = 24
    """Painted in each round; all rounds' are kept."""
    rate: float = 0.01
    """Adam's rate at the start, as a share of a tensor's root mean square."""


@dataclass(frozen=True)
class _Example:
    """Pictures of one pair, the photo first and the painting second."""

    shallow: Tensor
    """(B, C, H / 4, W / 4): what block 3 is fed, pooled."""
    targets: dict[str, Tensor]
    """VGG-19's maps at the kept channels."""


def distil(
    teacher: Mapping[str, Tensor],
    slim: Mapping[str, Tensor],
    channels: Mapping[str, Sequence[int]],
    draw: Draw,
    *,
    settings: Distillation,
    device: torch.device,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Trains blocks 3 to 5 of a slim network on VGG-19's maps and Gram matrices (Adam).

    Args:
        teacher: VGG-19's tensors up to `conv5_1`.
        slim: the slim network's.
        channels: `convB_I` to VGG-19's channels that the slim ones stand for.
        draw: makes photos and paintings.
        settings: how long and how fast.
        device: to compute on, with bfloat16 products.
        seed: of the order of examples and of how they are painted.

    Returns:
        The slim network's tensors after training, float32, on the CPU.
    """
    generator = torch.Generator().manual_seed(seed)
    layout = torch.channels_last
    teacher = {name: value.to(device) for name, value in teacher.items()}
    tensors = {name: value.to(device).clone() for name, value in slim.items()}
    trained = [f"{layer.conv}.{kind}" for layer in TRAINED for kind in ("weight", "bias")]
    for name in trained:
        tensors[name].requires_grad_(True)
    rates = [settings.rate * tensors[name].detach().square().mean().sqrt() for name in trained]
    optimizer = torch.optim.Adam(
        [{"params": [tensors[name]]} for name in trained], betas=(0.9, 0.99)
    )
    examples: list[_Example] = []
    order: list[int] = []
    whole = Vgg19Features(LEARNT, teacher).to(device, memory_format=layout)  # type: ignore[call-overload]
    mean_loss = 0.0
    painting_steps = {settings.steps * one // settings.rounds for one in range(settings.rounds)}
    for step in range(settings.steps):
        if step in painting_steps:
            now = {name: value.detach() for name, value in tensors.items()}
            encoder = Vgg19Features((*STYLE_LAYERS, *CONTENT_LAYERS), now)
            encoder = encoder.to(device, memory_format=layout)  # type: ignore[call-overload]
            for _ in range(settings.examples):
                photo, painting = (one.to(device, memory_format=layout) for one in draw())
                pictures = torch.cat(
                    [photo, painting, *_on_the_way(encoder, photo, painting, generator)]
                )
                examples.append(_example(whole, tensors, channels, pictures))
        if not order:
            order = torch.randperm(len(examples), generator=generator).tolist()
        falling = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / settings.steps))
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = float(rate) * falling * min(1.0, (step + 1) / 30)
        loss = _loss(tensors, examples[order.pop()])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        mean_loss += (loss.item() - mean_loss) / min(step + 1, 100)
        if (step + 1) % max(1, settings.steps // 20) == 0:
            logger.info("Distilled %d steps of %d: loss %.4f", step + 1, settings.steps, mean_loss)
    return {name: value.detach().cpu() for name, value in tensors.items()}


def _maps(
    tensors: Mapping[str, Tensor], layers: Sequence[Convolution], x: Tensor
) -> Iterator[tuple[str, Tensor]]:
    """Names and maps after each ReLU; `x` is pooled already if `layers` begin with a new block."""
    block = layers[0].block
    for layer in layers:
        if layer.block != block:
            x, block = F.max_pool2d(x, 2), layer.block
        weight, bias = tensors[f"{layer.conv}.weight"], tensors[f"{layer.conv}.bias"]
        x = F.relu(F.conv2d(x, weight, bias, padding=1))
        yield layer.relu, x


@torch.no_grad()
def _example(
    whole: Vgg19Features,
    tensors: Mapping[str, Tensor],
    channels: Mapping[str, Sequence[int]],
    pictures: Tensor,
) -> _Example:
    with torch.autocast(pictures.device.type, torch.bfloat16):
        for _, x in _maps(tensors, FROZEN, normalized(pictures)):
            shallow = x
        targets = {
            name: features[:, list(channels[name.replace("relu", "conv")])]
            for name, features in whole(pictures).items()
        }
    layout = torch.channels_last
    return _Example(
        F.max_pool2d(shallow, 2).contiguous(memory_format=layout),
        {name: target.contiguous(memory_format=layout) for name, target in targets.items()},
    )


def _on_the_way(
    encoder: Vgg19Features, photo: Tensor, painting: Tensor, generator: torch.Generator
) -> list[Tensor]:
    """Three pictures that an optimiser meets: the photo with noise on it, and two painted ones."""

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator))

    noise = torch.rand(photo.shape, generator=generator).to(photo)
    mixed = torch.lerp(photo, noise, uniform(0.05, 0.6))
    start = mixed if uniform(0, 1) < 0.25 else photo
    steps = (round(uniform(2, 6)), round(uniform(8, 25)))
    rate, style = uniform(0.02, 0.05), math.exp(uniform(math.log(4), math.log(40)))
    objective = _objective(encoder, photo, painting, style, uniform(0, 8))
    painted = _paint(objective, start, rate, steps[1])
    return [mixed, *(image for step, image in enumerate(painted, 1) if step in steps)]


def _objective(
    encoder: Vgg19Features, photo: Tensor, painting: Tensor, style: float, variation: float
) -> Objective:
    with torch.autocast(photo.device.type, torch.bfloat16):
        return Objective(encoder, photo, [painting], style_weight=style, tv_weight=variation)


def _paint(objective: Objective, start: Tensor, rate: float, steps: int) -> Iterator[Tensor]:
    """The picture after each step of Adam."""
    image = nn.Parameter(start.clone())
    adam = torch.optim.Adam([image], lr=rate)

    def loss(picture: Tensor) -> Tensor:
        with torch.autocast(start.device.type, torch.bfloat16):
            return objective(picture).total  # type: ignore[no-any-return]

    evaluate = evaluation(image, loss, _LOSS_SCALE)
    for _ in range(steps):
        take_step(image, adam, evaluate)
        yield image.detach().clone()


def _loss(tensors: Mapping[str, Tensor], example: _Example) -> Tensor:
    """Relative errors of maps, of Gram matrices, and of their differences to the painting's."""
    losses = []
    with torch.autocast(example.shallow.device.type, torch.bfloat16):
        maps = dict(_maps(tensors, TRAINED, example.shallow))
        for name, target in example.targets.items():
            wanted = target.float()
            error = (maps[name].float() - wanted).square().sum() / wanted.square().sum()
            losses.append(2 * error)
            if name in STYLE_LAYERS:
                grams, true = gram_matrix(maps[name]), gram_matrix(target)
                norms = true.square().sum((1, 2))
                losses.append(((grams - true).square().sum((1, 2)) / norms).mean())
                # As a style loss has it: the error of the way left, against the whole way.
                errors = (grams - grams[1:2]) - (true - true[1:2])
                way = (true[0] - true[1]).square().sum() + 0.02 * norms[1]
                losses.append(errors[2:].square().sum((1, 2)).mean() / way)
    return torch.stack(losses).sum()
