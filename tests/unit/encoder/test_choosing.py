from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import torch

from overpaint.encoder import choosing as encoders
from overpaint.encoder.choosing import find_encoder, load_encoder
from overpaint.encoder.layers import CONVOLUTIONS, LAYER_NAMES, EncoderName, convolutions_up_to
from overpaint.encoder.packed import BOX
from overpaint.encoder.slim import BUILT_IN, read_slim
from overpaint.encoder.vgg import Vgg19Features
from overpaint.encoder.weights import VARIABLE, load_weights
from overpaint.errors import ConfigError, WeightsError, WeightsUnavailableError

RELU2_1 = convolutions_up_to(["relu2_1"])


def test_vgg19_is_taken_from_the_file_named(vgg_file: Path) -> None:
    found = find_encoder("vgg19", str(vgg_file), RELU2_1)
    assert (found.name, found.path) == ("vgg19", vgg_file)
    assert found.calibration == {}
    assert found.tensors["conv2_1.weight"].shape == (128, 64, 3, 3)


def test_vgg19_slim_is_the_built_in_file_or_the_one_named(slim_file: Path) -> None:
    built_in = find_encoder("vgg19_slim", "auto", RELU2_1)
    assert (built_in.name, built_in.path) == ("vgg19_slim", BUILT_IN)
    assert find_encoder("vgg19_slim", str(slim_file), RELU2_1).path == slim_file


def test_vgg19_slim_never_looks_for_the_full_one(
    no_network: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoders, "load_weights", lambda *a: pytest.fail("looked for VGG-19"))
    find_encoder("vgg19_slim", "auto", RELU2_1)
    assert no_network == []


def test_auto_is_the_whole_vgg19_in_the_package_and_asks_nobody(
    no_network: list[object], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "overpaint"):
        found = find_encoder("vgg19", "auto", CONVOLUTIONS)
    assert (found.name, found.path, found.calibration) == ("vgg19", BOX, {})
    assert found.tensors["conv5_4.weight"].shape == (512, 512, 3, 3)
    assert caplog.records == []
    assert no_network == []


def test_imagenet_is_not_replaced_by_anything(no_network: list[object]) -> None:
    with pytest.raises(WeightsUnavailableError, match="could not be had"):
        find_encoder("vgg19", "imagenet", RELU2_1)
    assert no_network  # it did try


def test_a_file_that_is_named_and_wrong_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"hello")
    with pytest.raises(WeightsError, match="cannot be read"):
        find_encoder("vgg19", str(damaged), RELU2_1)
    monkeypatch.setenv(VARIABLE, str(damaged))
    with pytest.raises(WeightsError, match="cannot be read"):
        find_encoder("vgg19", "auto", RELU2_1)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "gone.pth"))
    with pytest.raises(WeightsError, match="names"):
        find_encoder("vgg19", "auto", RELU2_1)


@pytest.mark.parametrize("name", ["vgg19", "vgg19_slim"])
def test_a_file_of_the_other_kind_is_refused_with_the_way_out(
    name: EncoderName, vgg_file: Path, slim_file: Path
) -> None:
    wrong = {"vgg19": slim_file, "vgg19_slim": vgg_file}[name]
    other = {"vgg19": "vgg19_slim", "vgg19_slim": "vgg19"}[name]
    with pytest.raises(WeightsError, match=rf"encoder\.name={other}\."):
        find_encoder(name, str(wrong), RELU2_1)


def picture(height: int, width: int) -> torch.Tensor:
    return torch.rand((1, 3, height, width), generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_a_loaded_encoder_returns_the_default_layers_and_any_other(vgg_file: Path) -> None:
    encoder, image = load_encoder("vgg19", weights=vgg_file), picture(16, 32)
    defaults = {"relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu4_2", "relu5_1"}
    assert set(encoder(image)) == defaults
    expected = Vgg19Features(
        ["conv3_2"], load_weights(str(vgg_file), convolutions_up_to(["conv3_2"])).tensors
    )
    found = encoder(image, ["conv3_2"])
    assert torch.equal(found["conv3_2"], expected(image)["conv3_2"])
    assert encoder.calibration == {}


@pytest.mark.parametrize(
    ("deepest", "defaults"),
    [
        ("conv1_1", ["conv1_1"]),
        ("relu2_1", ["relu1_1", "relu2_1"]),
        ("conv4_2", ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "conv4_2"]),
        ("relu5_4", ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu4_2", "relu5_1", "relu5_4"]),
    ],
)
def test_a_loaded_encoder_reaches_as_deep_as_asked(
    vgg_file: Path, deepest: str, defaults: list[str]
) -> None:
    encoder = load_encoder("vgg19", weights=str(vgg_file), deepest=deepest)
    assert list(encoder(picture(16, 16))) == defaults
    beyond = LAYER_NAMES[LAYER_NAMES.index(deepest) + 1 :]
    if beyond:
        with pytest.raises(ValueError, match="ends with"):
            encoder(picture(16, 16), beyond[-1:])


@torch.no_grad()
@pytest.mark.parametrize(("pooling", "pooled"), [("max", torch.amax), ("avg", torch.mean)])
def test_a_loaded_encoder_pools_as_asked(
    pooling: Literal["max", "avg"], pooled: Callable[..., torch.Tensor]
) -> None:
    encoder, image = load_encoder("vgg19_slim", pooling=pooling), picture(8, 8)
    maps = encoder(image, ["relu1_2", "conv2_1"])
    squares = maps["relu1_2"].unflatten(3, (4, 2)).unflatten(2, (4, 2))
    tensors = read_slim(BUILT_IN)[0]
    expected = torch.nn.functional.conv2d(
        pooled(squares, (3, 5)),
        tensors["conv2_1.weight"].float(),
        tensors["conv2_1.bias"].float(),
        padding=1,
    )
    torch.testing.assert_close(maps["conv2_1"], expected, rtol=1e-4, atol=1e-4)


def test_a_loaded_encoder_takes_an_image_as_a_whole() -> None:
    found = load_encoder("vgg19_slim")(picture(17, 40))
    assert found["relu5_1"].shape[-2:] == (2, 3)


def test_the_slim_encoder_brings_its_calibration() -> None:
    encoder = load_encoder("vgg19_slim")
    assert encoder.calibration == read_slim(BUILT_IN)[1].calibration
    assert encoder(picture(16, 16))["relu5_1"].shape == (1, 320, 1, 1)


@pytest.mark.parametrize("name", ["vgg19", "vgg19_slim"])
def test_an_unknown_deepest_layer_is_answered_with_the_closest_name(name: EncoderName) -> None:
    with pytest.raises(ConfigError, match="'relu51'; did you mean 'relu5_1'"):
        load_encoder(name, deepest="relu51")


@pytest.mark.parametrize("deepest", ["conv5_2", "relu5_4"])
def test_the_slim_encoder_is_not_deeper_than_it_is(deepest: str) -> None:
    with pytest.raises(ConfigError, match=f"'{deepest}' is not in vgg19_slim.* ends with relu5_1"):
        load_encoder("vgg19_slim", deepest=deepest)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": "vgg19-slim"}, "unknown network 'vgg19-slim'; did you mean 'vgg19_slim'"),
        ({"name": "vgg19_slim", "pooling": "Max"}, "unknown pooling 'Max'; did you mean 'max'"),
    ],
)
def test_a_network_or_pooling_that_is_not_there_is_said(options: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_encoder(**options)  # type: ignore[arg-type]
