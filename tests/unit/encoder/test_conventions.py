from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from overpaint.encoder.conventions import to_torchvision
from overpaint.encoder.layers import convolutions_up_to
from overpaint.encoder.packed import BOX, read_packed
from overpaint.encoder.vgg import Vgg19Features
from overpaint.encoder.weights import load_weights

pytestmark = pytest.mark.weights

RELU2_1 = convolutions_up_to(["relu2_1"])
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CAFFE_BGR_MEAN = (103.939, 116.779, 123.68)


def own() -> dict[str, Tensor]:
    """Torchvision's names; what the box holds of blocks 1 and 2."""
    tensors = load_weights(str(BOX), RELU2_1).tensors
    return {
        f"features.{layer.index}.{kind}": tensors[f"{layer.conv}.{kind}"]
        for layer in RELU2_1
        for kind in ("weight", "bias")
    }


def caffe() -> dict[str, Tensor]:
    """The same network as Caffe has it: of BGR from 0 to 255, less a mean."""
    state = own()
    weight, bias = state["features.0.weight"], state["features.0.bias"]
    rgb = weight / (255 * torch.tensor(STD).view(1, 3, 1, 1))
    shift = torch.tensor(CAFFE_BGR_MEAN).flip(0) - 255 * torch.tensor(MEAN)
    state["features.0.bias"] = bias + rgb.sum((2, 3)) @ shift
    state["features.0.weight"] = rgb.flip(1).contiguous()
    return state


def picture() -> Tensor:
    return torch.rand((1, 3, 40, 48), generator=torch.Generator().manual_seed(0))


def seen_in_caffe(state: dict[str, Tensor]) -> Tensor:
    """relu2_1 of a network that is fed as Caffe's are, computed apart from the package."""
    x = 255 * picture().flip(1) - torch.tensor(CAFFE_BGR_MEAN).view(1, 3, 1, 1)
    for index in (0, 2, 5):
        if index == 5:
            x = F.max_pool2d(x, 2)
        weight, bias = state[f"features.{index}.weight"], state[f"features.{index}.bias"]
        x = F.relu(F.conv2d(x, weight, bias, padding=1))
    return x


def seen(path: Path) -> Tensor:
    encoder = Vgg19Features(["relu2_1"], load_weights(str(path), RELU2_1).tensors)
    return encoder(picture())["relu2_1"]


def test_a_caffe_style_file_sees_what_caffe_sees(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "caffe.safetensors"
    save_file(caffe(), path)
    with caplog.at_level(logging.INFO, "overpaint"):
        found = seen(path)
    expected = seen_in_caffe(caffe())
    inside = (..., slice(2, -2), slice(2, -2))  # at the borders Caffe's zeros are another colour
    assert (found - expected)[inside].norm() < 1e-4 * expected[inside].norm()
    assert (found - expected).norm() < 1e-3 * expected.norm()
    (record,) = caplog.records
    assert record.levelname == "INFO"
    assert "BGR from 0 to 255" in record.getMessage()
    assert str(path) in record.getMessage()


def test_what_is_made_for_this_input_already_stays_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "own.safetensors"
    save_file(own(), path)
    with caplog.at_level(logging.INFO, "overpaint"):
        tensors = load_weights(str(path), RELU2_1).tensors
    assert torch.equal(tensors["conv1_1.weight"], own()["features.0.weight"])
    assert torch.equal(tensors["conv1_1.bias"], own()["features.0.bias"])
    assert caplog.records == []


@pytest.mark.parametrize(("flipped", "words"), [(False, "RGB from 0 to 255"), (True, "BGR order")])
def test_half_of_the_convention_is_recognised_too(flipped: bool, words: str) -> None:
    known = read_packed(BOX)[0]["conv1_1"].weight()
    bias = torch.zeros(64)
    given = known.flip(1) if flipped else known / (255 * torch.tensor(STD).view(1, 3, 1, 1))
    converted = to_torchvision(given, bias, known)
    assert converted is not None
    torch.testing.assert_close(converted[0], known)
    assert words in converted[2]


@pytest.mark.parametrize("scale", [0.2, 11.0])
def test_another_network_stays_as_it_is_whatever_its_scale(scale: float) -> None:
    """Torchvision's own VGG-19, which is trained anew, has first kernels as small as Caffe's."""
    known = read_packed(BOX)[0]["conv1_1"].weight()
    other = scale * torch.randn(known.shape, generator=torch.Generator().manual_seed(0))
    assert to_torchvision(other, torch.zeros(64), known) is None
