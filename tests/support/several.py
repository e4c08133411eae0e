"""A gradient and a picture by several processes, as a program: N, and a file for both.

The first process is started with these words; it starts the others with its own file's name, as a
run starts its workers.
"""

from __future__ import annotations

import sys
from typing import Any

import pytorch_lightning as pl
import torch
from conftest import draw, make_picture, random_tensors
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from overpaint.building.sources import read_sources
from overpaint.encoder.vgg import Vgg19Features
from overpaint.interrupts import Interrupts
from overpaint.losses.objective import Objective
from overpaint.pictures.inputs import Inputs
from overpaint.processes.places import Place, place_from_text
from overpaint.processes.team import Team, gathered
from overpaint.runs.pyramid import optimise
from overpaint.settings.reading import load_config

HEIGHT, WIDTH = 285, 24


class _Measured(nn.Module):
    def __init__(self, team: Team, image: Tensor, bands: tuple[int, ...]) -> None:
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
            share=team.share,
        )

    def forward(self) -> Tensor:
        total: Tensor = self.objective(self.image).total.sum()
        return total


def gradient(team: Team, bands: tuple[int, ...] = ()) -> Tensor:
    """Of J_total, as DDP leaves it in each process."""
    image = draw((1, 3, HEIGHT, WIDTH), 3).float() / 4 + 0.5
    measured = _Measured(team, image, bands)
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


def picture(team: Team) -> Tensor:
    """After 20 steps, before it is rounded to 8 bits."""
    last = _Last()
    config = load_config(
        "default",
        [
            *("schedule.steps=20", "image.size=285", "trainer.accelerator=cpu"),
            *("encoder.name=vgg19_slim", "trainer.precision=32-true"),
        ],
    )
    inputs = Inputs(
        make_picture((48, 285), 1),
        [make_picture((40, 280), 2)],
        None,
        names=("photo", "painting"),
    )
    optimise(
        config,
        read_sources(config, inputs=inputs),
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
        found = [gradient(team), gradient(team, (64, 32, 16, 8, 4)), picture(team)]
    if path is not None:
        torch.save(found, path)


if __name__ == "__main__":
    main()
