from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
import torch
from conftest import SLIM_WIDTHS, doubled, draw, random_tensors
from pruning import calibrate, select_channels, slim_down
from torch import Tensor

from overpaint.encoder.calibration import Calibration
from overpaint.encoder.layers import SLIM_CONVOLUTIONS, SLIM_LAYER_NAMES
from overpaint.encoder.vgg import Vgg19Features
from overpaint.losses.normalizations import NORMALIZATIONS
from overpaint.losses.objective import Objective

pytestmark = pytest.mark.usefixtures("one_thread")

RELUS = SLIM_LAYER_NAMES[1::2]


def pictures(count: int = 6, edge: int = 32, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, edge // 4, edge // 4, generator=generator)
    fine = torch.rand(count, 3, edge, edge, generator=generator)
    return 0.8 * torch.nn.functional.interpolate(coarse, edge, mode="bilinear") + 0.2 * fine


def relative_errors(
    teacher: Mapping[str, Tensor],
    slim: Mapping[str, Tensor],
    channels: Mapping[str, Sequence[int]],
    images: Tensor,
) -> dict[str, float]:
    with torch.no_grad():
        true, seen = Vgg19Features(RELUS, teacher)(images), Vgg19Features(RELUS, slim)(images)
    errors = {}
    for layer in SLIM_CONVOLUTIONS:
        kept = true[layer.relu][:, list(channels[layer.conv])]
        error = (seen[layer.relu] - kept).square().sum() / kept.square().sum()
        errors[layer.relu] = float(error)
    return errors


def unexplained(maps: Tensor, chosen: list[int]) -> float:
    """Share of the sum of squares of (C, M) maps that no combination of the chosen gives."""
    basis = maps[chosen].T
    rest = maps.T - basis @ torch.linalg.lstsq(basis, maps.T).solution
    return float(rest.square().sum() / maps.square().sum())


def test_channels_that_repeat_others_are_left_out() -> None:
    maps = draw((3, 50), seed=0)[[0, 1, 0, 2, 1, 2]]
    chosen = select_channels(maps @ maps.T, 3)
    assert unexplained(maps, chosen) < 1e-20
    assert len({tuple(maps[i].tolist()) for i in chosen}) == 3


def test_channels_that_combine_others_are_left_out() -> None:
    maps = draw((4, 8), seed=1) @ torch.eye(8, dtype=torch.float64)
    maps = torch.cat([maps, draw((5, 4), seed=2) @ maps])
    assert unexplained(maps, select_channels(maps @ maps.T, 4)) < 1e-20


@pytest.mark.parametrize("count", [1, 6, 10])
def test_chosen_channels_are_distinct_and_rising(count: int) -> None:
    maps = draw((10, 40), seed=3)
    chosen = select_channels(maps @ maps.T, count)
    assert len(chosen) == count
    assert chosen == sorted(set(chosen))


def test_more_channels_than_there_are_directions_can_be_asked_for() -> None:
    maps = torch.zeros(5, 8, dtype=torch.float64)
    maps[0, 0] = 1
    assert select_channels(maps @ maps.T, 5) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("count", [0, 6])
def test_no_more_channels_than_there_are_can_be_kept(count: int) -> None:
    with pytest.raises(ValueError, match=f"{count} of 5"):
        select_channels(torch.eye(5, dtype=torch.float64), count)


def test_the_choice_explains_more_than_any_of_many_random_ones() -> None:
    loudness = 0.8 ** torch.arange(40, dtype=torch.float64)[:, None]
    maps = draw((40, 12), seed=4) @ draw((12, 300), seed=5) + 0.1 * draw((40, 300), seed=6)
    maps = (loudness * maps)[torch.randperm(40, generator=torch.Generator().manual_seed(0))]
    ours = unexplained(maps, select_channels(maps @ maps.T, 10))
    generator = torch.Generator().manual_seed(1)
    others = [torch.randperm(40, generator=generator)[:10].tolist() for _ in range(50)]
    assert ours < 0.5 * min(unexplained(maps, other) for other in others)


def test_a_network_whose_channels_are_all_there_twice_is_halved_without_loss() -> None:
    teacher, images = doubled(random_tensors()), pictures(40)
    slim, channels = slim_down(teacher, SLIM_WIDTHS, images)
    errors = relative_errors(teacher, slim, channels, pictures(seed=7))
    assert max(errors.values()) < 1e-2  # the ridge's


def test_refitting_beats_cutting_kernels_out() -> None:
    widths = [3 * width // 4 for width in SLIM_WIDTHS]
    teacher, images = random_tensors(), pictures(24)
    slim, channels = slim_down(teacher, widths, images)
    cut, inputs = {}, [0, 1, 2]
    for layer in SLIM_CONVOLUTIONS:
        kept = channels[layer.conv]
        cut[f"{layer.conv}.weight"] = teacher[f"{layer.conv}.weight"][kept][:, inputs]
        cut[f"{layer.conv}.bias"] = teacher[f"{layer.conv}.bias"][kept]
        inputs = kept
    refitted = relative_errors(teacher, slim, channels, images)
    plain = relative_errors(teacher, cut, channels, images)
    assert refitted["relu1_1"] < 1e-6  # nothing is missing from the picture itself
    for layer in RELUS[1:]:
        assert refitted[layer] < 0.5 * plain[layer], layer


def test_the_same_arguments_give_the_same_bytes() -> None:
    images = pictures(edge=96)  # more positions than are sampled
    runs = [slim_down(random_tensors(), SLIM_WIDTHS, images, seed=seed) for seed in (0, 0, 1)]
    assert runs[0][1] == runs[1][1]
    assert all(torch.equal(value, runs[1][0][name]) for name, value in runs[0][0].items())
    assert not torch.equal(runs[0][0]["conv1_2.weight"], runs[2][0]["conv1_2.weight"])


def test_a_network_calibrated_by_itself_needs_nothing() -> None:
    network = Vgg19Features(SLIM_LAYER_NAMES, random_tensors())
    for layer, one in calibrate(network, network, pictures(2)).items():
        width = SLIM_WIDTHS[SLIM_LAYER_NAMES.index(layer) // 2]
        assert one == Calibration(1.0, 1.0, width, 1.0)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_calibrated_losses_are_those_of_the_whole_network_but_for_the_balance(
    normalization: str,
) -> None:
    """With each channel twice, features are exactly twice and Gram matrices four times as large."""
    narrow = random_tensors()
    layers = {"relu1_1": 1.0, "conv2_1": 0.5, "relu3_1": 2.0}
    names = ("relu2_2", *layers)
    wide, bare = Vgg19Features(names, doubled(narrow)), Vgg19Features(names, narrow)
    found = calibrate(wide, bare, pictures(3, seed=1), balance=(1.5,) * 5)
    slim = Vgg19Features(names, narrow, calibration=found)
    photo, painting, image = pictures(3, seed=2).split(1)

    def losses(encoder: Vgg19Features, balance: float) -> dict[str, float]:
        objective = Objective(
            encoder,
            photo,
            [painting],
            content_layers={"relu2_2": 1.0},
            style_layers=layers,
            content_weight=3.0,
            style_weight=5.0 / balance,
            normalization=normalization,
        )
        terms = objective(image).named()
        return {
            name: value.item() / (balance if name.startswith("style") else 1)
            for name, value in terms.items()
        }

    with torch.no_grad():
        assert losses(slim, 1.5) == pytest.approx(losses(wide, 1.0), rel=1e-4)


def test_each_block_has_its_balance() -> None:
    network = Vgg19Features(SLIM_LAYER_NAMES, random_tensors())
    balance = (2.0, 3.0, 5.0, 7.0, 11.0)
    found = calibrate(network, network, pictures(2), balance=balance)
    for layer in SLIM_CONVOLUTIONS:
        for name in (layer.conv, layer.relu):
            assert found[name].balance == balance[layer.block - 1]
