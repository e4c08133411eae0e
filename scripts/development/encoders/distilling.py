"""Fine-tuning a slim network to see what VGG-19 sees, on the pictures an optimiser will show it.

An example is a photo, a painting, and pictures on the way from the one to the other, painted with
the slim network as it is then: whatever it wrongly takes for a match is what it must learn to tell.
Block 1 is refitted closely enough, so it stays, and what it makes of a picture is computed once.
Kernels are trained by Muon (Jordan et al. 2024), biases by Adam: on 60 examples, 500 steps of Muon
left a loss of 1.11 on others, Adam's 1.22 at its best rate, for a third more time.
"""

from __future__ import annotations

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
from overpaint.losses.gram import gram_matrix
from overpaint.losses.objective import Objective
from overpaint.optimisation.step import evaluation, take_step

logger = logging.getLogger(__name__)

FROZEN = tuple(layer for layer in SLIM_CONVOLUTIONS if layer.block == 1)
TRAINED = tuple(layer for layer in SLIM_CONVOLUTIONS if layer.block > 1)
LEARNT = ("relu2_1", "relu3_1", "relu4_1", "relu4_2", "relu5_1")

# Brings the gradient of one value well above Adam's eps; a power of two changes nothing else.
_LOSS_SCALE = 2.0**16

# Draws a photo and a painting, each (1, 3, H, W), sRGB in [0, 1].
Draw = Callable[[], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Distillation:
    """How long and how fast."""

    steps: int = 4500
    rounds: int = 8
    """New examples are painted this many times, evenly spread."""
    examples: int = 56
    """Painted in each round; all rounds' are kept."""
    rate: float = 0.004
    """The rate at the start, as a share of a tensor's root mean square."""


@dataclass(frozen=True)
class _Example:
    """Pictures of one pair, the photo first and the painting second."""

    shallow: Tensor
    """(B, C, H / 2, W / 2): what block 2 is fed, pooled."""
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
    """Trains blocks 2 to 5 of a slim network on VGG-19's maps and Gram matrices.

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
    optimizers, rates = _optimizers(tensors, settings.rate)
    examples: list[_Example] = []
    order: list[int] = []
    whole = Vgg19Features(LEARNT, teacher).to(device, memory_format=layout)  # type: ignore[call-overload]
    mean_loss = 0.0
    painting_steps = {settings.steps * one // settings.rounds for one in range(settings.rounds)}
    for step in range(settings.steps):
        if step in painting_steps:
            now = {name: value.detach().view(slim[name].shape) for name, value in tensors.items()}
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
        for group, rate in rates:
            group["lr"] = rate * falling * min(1.0, (step + 1) / 30)
        loss = _loss(tensors, examples[order.pop()])
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        for optimizer in optimizers:
            optimizer.step()
        mean_loss += (loss.item() - mean_loss) / min(step + 1, 100)
        if (step + 1) % max(1, settings.steps // 20) == 0:
            logger.info("Distilled %d steps of %d: loss %.4f", step + 1, settings.steps, mean_loss)
    return {
        name: value.detach().cpu().view(slim[name].shape).contiguous()
        for name, value in tensors.items()
    }


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
