from __future__ import annotations

import itertools

import pytest

from overpaint.encoder.layers import CONVOLUTIONS, LAYER_NAMES, convolutions_up_to, minimum_edge

# Of torchvision's `vgg19().features`: number in the Sequential, channels in, channels out.
TORCHVISION = [
    (0, 3, 64),
    (2, 64, 64),
    (5, 64, 128),
    (7, 128, 128),
    (10, 128, 256),
    (12, 256, 256),
    (14, 256, 256),
    (16, 256, 256),
    (19, 256, 512),
    (21, 512, 512),
    (23, 512, 512),
    (25, 512, 512),
    (28, 512, 512),
    (30, 512, 512),
    (32, 512, 512),
    (34, 512, 512),
]


def test_the_table_agrees_with_torchvision() -> None:
    table = [(layer.index, layer.in_channels, layer.out_channels) for layer in CONVOLUTIONS]
    assert table == TORCHVISION


def test_the_table_has_as_many_parameters_as_vgg19_before_its_classifier() -> None:
    count = sum(9 * c.in_channels * c.out_channels + c.out_channels for c in CONVOLUTIONS)
    assert count == 20_024_384


def test_layers_are_named_by_block_and_position() -> None:
    positions = [(layer.block, layer.position) for layer in CONVOLUTIONS]
    counts = {1: 2, 2: 2, 3: 4, 4: 4, 5: 4}
    assert positions == [(b, i) for b, n in counts.items() for i in range(1, n + 1)]


def test_each_convolution_is_followed_by_its_relu() -> None:
    assert LAYER_NAMES[:4] == ("conv1_1", "relu1_1", "conv1_2", "relu1_2")
    assert LAYER_NAMES[-2:] == ("conv5_4", "relu5_4")
    assert len(LAYER_NAMES) == len(set(LAYER_NAMES)) == 32


@pytest.mark.parametrize(
    ("layers", "deepest"),
    [
        (["conv1_1"], 0),
        (["relu1_1"], 0),
        (["relu4_2", "relu1_1"], 21),
        (["conv1_1", "conv4_2"], 21),
        (["relu5_4"], 34),
    ],
)
def test_convolutions_reach_to_the_deepest_layer(layers: list[str], deepest: int) -> None:
    found = convolutions_up_to(layers)
    assert [layer.index for layer in found] == [i for i, _, _ in TORCHVISION if i <= deepest]


def test_channels_of_neighbouring_convolutions_fit() -> None:
    for before, after in itertools.pairwise(CONVOLUTIONS):
        assert after.in_channels == before.out_channels


def test_an_iterator_of_layers_is_enough() -> None:
    assert convolutions_up_to(iter(["relu1_2"]))[-1].relu == "relu1_2"


@pytest.mark.parametrize(
    ("layers", "message"),
    [([], "empty"), (["relu6_1"], "'relu6_1'; did you mean"), (["relu1_1", "relu"], "'relu'")],
)
def test_no_layers_and_unknown_layers_are_refused(layers: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        convolutions_up_to(layers)


@pytest.mark.parametrize(
    ("layers", "edge"),
    [
        (["relu1_2"], 1),
        (["conv2_1"], 2),
        (["relu3_4"], 4),
        (["relu4_2"], 8),
        (["relu1_1", "conv5_1", "relu2_1"], 16),
        (["relu5_4"], 16),
    ],
)
def test_each_pooling_before_the_deepest_layer_doubles_the_smallest_edge(
    layers: list[str], edge: int
) -> None:
    assert minimum_edge(layers) == edge
