"""What was measured of a painting serves the next photo, if it would come out the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from conftest import random_tensors
from torch import Tensor, nn

import overpaint.building.objective
from overpaint.building.objective import StyleTargets, build_objective
from overpaint.encoder.layers import SLIM_LAYER_NAMES
from overpaint.encoder.vgg import Vgg19Features
from overpaint.losses.objective import Objective
from overpaint.settings.schema import Config

MakeConfig = Callable[..., Config]


@pytest.fixture
def encoder() -> Vgg19Features:
    return Vgg19Features(SLIM_LAYER_NAMES, random_tensors())


def picture(seed: int, height: int = 40, width: int = 48) -> Tensor:
    return torch.rand((1, 3, height, width), generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each objective that is made, whether its paintings were measured."""
    found: list[bool] = []

    def make(*arguments: object, style_targets: nn.ModuleDict | None, **options: object) -> object:
        found.append(style_targets is None)
        return Objective(*arguments, style_targets=style_targets, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(overpaint.building.objective, "Objective", make)
    return found


def test_the_losses_are_the_same_with_what_was_kept(
    encoder: Vgg19Features, make_config: MakeConfig, measured: list[bool]
) -> None:
    config, known = make_config(), StyleTargets()
    build_objective(config, encoder, picture(1), [picture(2)], known=known)
    again = build_objective(config, encoder, picture(3), [picture(2)], known=known)
    alone = build_objective(config, encoder, picture(3), [picture(2)])
    assert measured == [True, False, True]
    for name, value in alone(picture(4)).named().items():
        assert torch.equal(again(picture(4)).named()[name], value)


def test_paintings_are_not_read_where_they_are_known() -> None:
    seen: list[int] = []

    class Counting(Vgg19Features):
        def forward(self, image: Tensor, *arguments: object, **options: object) -> object:  # type: ignore[override]
            seen.append(image.shape[-1])
            return super().forward(image, *arguments, **options)  # type: ignore[arg-type]

    encoder = Counting(SLIM_LAYER_NAMES, random_tensors())
    layers = {"relu1_1": 1.0}
    options = {"content_layers": layers, "style_layers": layers}
    first = Objective(encoder, picture(1), [picture(2, width=50)], **options)  # type: ignore[arg-type]
    Objective(
        encoder,
        picture(1),
        [picture(2, width=50)],
        style_targets=first.style_targets,
        **options,  # type: ignore[arg-type]
    )
    assert seen == [48, 50, 48]


@pytest.mark.parametrize(
    "other",
    [
        lambda config, content, style: (config, picture(1, 48, 48), style),
        lambda config, content, style: (config, content, picture(9)),
        lambda config, content, style: (config, content, picture(2, 48, 40)),
        lambda config, content, style: (
            replace(config, style=replace(config.style, statistics="gram")),
            content,
            style,
        ),
        lambda config, content, style: (
            replace(config, style=replace(config.style, layers={"relu1_1": 1.0})),
            content,
            style,
        ),
    ],
    ids=["size of photo", "painting", "shape of painting", "statistics", "layers"],
)
def test_anything_else_is_measured(
    other: Callable[..., tuple[Config, Tensor, Tensor]],
    encoder: Vgg19Features,
    make_config: MakeConfig,
    measured: list[bool],
) -> None:
    known, given = StyleTargets(), (make_config(), picture(1), picture(2))
    for config, content, style in (given, other(*given), given):
        build_objective(config, encoder, content, [style], known=known)
    assert measured == [True, True, False]


def test_no_more_are_kept_than_were_wanted_lately(
    encoder: Vgg19Features,
    make_config: MakeConfig,
    measured: list[bool],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(overpaint.building.objective, "_KEPT", 2)
    config, known = make_config(), StyleTargets()
    for seed in (2, 3, 2, 4, 2, 3):
        build_objective(config, encoder, picture(1), [picture(seed)], known=known)
    assert measured == [True, True, False, True, False, True]
