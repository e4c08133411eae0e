"""Gradients and pictures by several processes, without and with masks: N, and a file for all.

The first process is started with these words; it starts the others with its own file's name, as a
run starts its workers.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import pytorch_lightning as pl
import torch
from conftest import draw, make_picture, random_tensors
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from overpaint.building.sources import read_sources
from overpaint.encoder.vgg import Vgg19Features
from overpaint.interrupts import Interrupts
from overpaint.losses.guides import Guides, Region
from overpaint.losses.objective import Objective
from overpaint.pictures.inputs import Inputs
from overpaint.pictures.masks import Masks, RegionMask
from overpaint.processes.places import Place, place_from_text
from overpaint.processes.team import Team, gathered
from overpaint.runs.pyramid import optimise
from overpaint.settings.reading import load_config

HEIGHT, WIDTH = 285, 24
# Where a gradient is nearly 0, or two values are nearly the same, rounding decides which way Adam
# goes and which one a maximum takes, and pictures part, in the bands of one process as well.
CALMLY = ("optimizer.name=sgd", "optimizer.lr=10", "encoder.pooling=avg")
BANDS = (64, 32, 16, 8, 4)


def _levels(seed: int) -> Tensor:
    """Of the picture's places, those at the top 0."""
    levels = draw((1, 1, HEIGHT, WIDTH), seed).float().clamp(0, 1)
    levels[:, :, : HEIGHT // 3] = 0
    return levels


def _everything() -> Guides:
    """Two regions, one of them of a part of the painting, what stays of the photo, both maps."""
    mask, kept = _levels(4), 0.5 * _levels(5)
    regions = (Region(mask, [1.0], _levels(6), weight=2.0), Region(1 - mask, [1.0]))
    return Guides(regions, style=1 - _levels(7), content=1 - _levels(8), kept=kept)


class _Measured(nn.Module):
    def __init__(
        self, team: Team, image: Tensor, bands: tuple[int, ...], guides: Guides | None
    ) -> None:
        super().__init__()
        self.image = nn.Parameter(image)
        layers = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1", "relu4_2")
        encoder = Vgg19Features(layers, random_tensors(), whole=True)
        photo, painting = (draw((1, 3, HEIGHT, WIDTH), seed).float() / 4 + 0.5 for seed in (1, 2))
        self.objective = Objective(
            *(encoder, photo, [painting.flip(2)]),
            tv_weight=2.0,
            statistics="covariance",
            bands=bands,
            guides=guides,
            share=team.share,
        )

    def forward(self) -> Tensor:
        total: Tensor = self.objective(self.image).total.sum()
        return total


def gradient(team: Team, bands: tuple[int, ...] = (), *, is_guided: bool = False) -> Tensor:
    """Of J_total, as DDP leaves it in each process."""
    image = draw((1, 3, HEIGHT, WIDTH), 3).float() / 4 + 0.5
    measured = _Measured(team, image, bands, _everything() if is_guided else None)
    model: nn.Module = measured
    if not team.is_alone:
        model = DistributedDataParallel(measured, broadcast_buffers=False, init_sync=False)
    model().backward()
    assert measured.image.grad is not None
    return measured.image.grad.clone()


class _Last(pl.Callback):
    image: Tensor

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *args: Any) -> None:
        self.image = module.image.detach().clone()


def _masks() -> Masks:
    """Two regions with soft edges, a gap between them, and both maps."""
    whole = make_picture((48, 285), 3).convert("L")
    top = whole.crop((0, 0, 48, 140))
    first, second = (Image.new("L", (48, 285)) for _ in range(2))
    first.paste(top, (0, 0))
    second.paste(whole.crop((0, 160, 48, 285)), (0, 160))
    within = make_picture((40, 280), 4).convert("L")
    regions = (RegionMask(first, 0, within), RegionMask(second, 0, weight=2.0))
    return Masks(regions, style=ImageOps.invert(whole), content=whole)


def picture(team: Team, *, is_guided: bool = False) -> Tensor:
    """After 20 steps, before it is rounded to 8 bits."""
    last = _Last()
    config = load_config(
        "default",
        [
            *("schedule.steps=20", "image.size=285", "trainer.accelerator=cpu"),
            *("encoder.name=vgg19_slim", "trainer.precision=32-true"),
            *(CALMLY if is_guided else ()),
        ],
    )
    inputs = Inputs(
        make_picture((48, 285), 1),
        [make_picture((40, 280), 2)],
        None,
        names=("photo", "painting"),
    )
    sources = read_sources(config, inputs=inputs)
    if is_guided:
        sources = replace(sources, inputs=replace(sources.inputs, masks=_masks()))
    optimise(
        config,
        sources,
        interrupts=Interrupts(),
        tune_command="",
        callbacks=[last],
        team=team,
    )
    return last.image


def main() -> None:
    """The first process is given N and a file; another one, its place."""
    place, path = Place(), None
    if len(sys.argv) == 2:
        place = place_from_text(sys.argv[1])
    else:
        processes, path = int(sys.argv[1]), sys.argv[2]
        place = Place(devices=processes, starts_others=True)
    with gathered(place, torch.device("cpu"), ["several"]) as team:
        found = {
            is_guided: (
                [gradient(team, bands, is_guided=is_guided) for bands in ((), BANDS)],
                picture(team, is_guided=is_guided),
            )
            for is_guided in (False, True)
        }
    if path is not None:
        torch.save(found, path)


if __name__ == "__main__":
    main()
