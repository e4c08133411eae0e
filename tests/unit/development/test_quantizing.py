from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from conftest import random_vgg_tensors
from quantizing import Method, k_means, pack, quantize
from torch import Tensor

from overpaint.encoder.layers import CONVOLUTIONS
from overpaint.encoder.packed import unpacked
from overpaint.encoder.vgg import Vgg19Features

pytestmark = pytest.mark.usefixtures("one_thread")


def kernel(outputs: int = 8, inputs: int = 32, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    scale = torch.logspace(-2, 0, outputs).view(-1, 1, 1, 1)  # channels of very different sizes
    return scale * torch.randn((outputs, inputs, 3, 3), generator=generator)


def error(method: Method, given: Tensor) -> float:
    packed = quantize(given, torch.zeros(len(given)), method)
    assert packed.codes.shape == given.shape
    return float((packed.weight() - given).square().sum())


def test_few_values_are_kept_as_they_are() -> None:
    values = np.repeat(np.linspace(-3, 2, 256, dtype=np.float32), 3)
    np.testing.assert_array_equal(k_means(values), values[::3])
    padded = k_means(np.float32([2, 1, 2]))
    assert padded.shape == (256,)
    np.testing.assert_array_equal(padded[:2], [1, 2])
    np.testing.assert_array_equal(padded[2:], 2)


def test_a_codebook_is_the_best_there_is() -> None:
    """257 values and 256 places: the nearest two are merged, by how often they occur."""
    values = np.float32(np.arange(257) ** 1.5)
    found = k_means(np.append(values, values[0]))  # the first one twice
    merged = (2 * values[0] + values[1]) / 3
    np.testing.assert_allclose(found, [merged, *values[2:]], rtol=1e-6)


def test_a_code_is_the_nearest_value() -> None:
    given = kernel()
    packed = quantize(given, torch.zeros(8), Method("codebook", 2))
    rows = given.reshape(2, -1, 1)
    nearest = (rows[:, :500] - packed.codebooks[:, None]).abs().argmin(-1)
    assert torch.equal(packed.codes.reshape(2, -1)[:, :500].long(), nearest)


def test_more_codebooks_lose_less_and_k_means_less_than_even_steps() -> None:
    given = kernel()
    errors = [error(Method("codebook", count), given) for count in (1, 2, 8)]
    assert errors[2] < 0.5 * errors[1] < 0.5 * errors[0]
    assert error(Method("codebook", None), given) == pytest.approx(errors[2])
    assert errors[2] < 0.7 * error(Method("even", None), given)


def test_a_layer_of_few_values_gets_one_codebook() -> None:
    given = (kernel() * 8).round() / 8  # some tens of distinct values
    assert Method("codebook", 8).groups(given) == 1
    assert error(Method("codebook", 8), given) == 0
    assert Method("codebook", 8).groups(kernel()) == 8


@pytest.fixture(scope="module")
def teacher() -> dict[str, Tensor]:
    stored = random_vgg_tensors()
    return {
        f"{layer.conv}.{kind}": stored[f"features.{layer.index}.{kind}"].float()
        for layer in CONVOLUTIONS
        for kind in ("weight", "bias")
    }


@pytest.mark.slow
def test_corrected_biases_bring_each_channels_mean_back(teacher: dict[str, Tensor]) -> None:
    pictures = torch.rand((2, 3, 32, 32), generator=torch.Generator().manual_seed(1))
    layers = ("conv1_1", "conv2_1", "conv3_2")
    true = Vgg19Features(layers, teacher)(pictures)
    off = {}
    for corrected in (False, True):
        kernels = pack(teacher, Method("codebook", 1, corrected), pictures)
        seen = Vgg19Features(layers, unpacked(kernels))(pictures)
        for layer in layers:
            difference = (seen[layer] - true[layer]).mean((0, 2, 3)).abs().max()
            off[corrected, layer] = float(difference / true[layer].std())
    for layer in layers:
        assert off[True, layer] < 1e-5 < off[False, layer], layer


def test_methods_have_names_of_their_own() -> None:
    methods = [
        Method(kind, count, corrected)
        for kind, count, corrected in itertools.product(
            ("even", "codebook"), (1, 32, None), (False, True)
        )
    ]
    assert len({str(method) for method in methods}) == len(methods)
