from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import torch

from overpaint import connection as network
from overpaint.encoder import choosing as encoders
from overpaint.encoder.choosing import find_encoder, load_encoder
from overpaint.encoder.layers import CONVOLUTIONS, LAYER_NAMES, EncoderName, convolutions_up_to
from overpaint.encoder.slim import BUILT_IN, read_slim
from overpaint.encoder.vgg import Vgg19Features
from overpaint.encoder.weights import VARIABLE, load_weights
from overpaint.errors import ConfigError, WeightsError, WeightsUnavailableError

RELU2_1 = convolutions_up_to(["relu2_1"])


def test_vgg19_is_taken_from_the_file_named(vgg_file: Path) -> None:
    found = find_encoder("vgg19", str(vgg_file), RELU2_1)
    assert (found.name, found.path, found.fallback) == ("vgg19", vgg_file, None)
    assert found.calibration == {}
    assert found.tensors["conv2_1.weight"].shape == (128, 64, 3, 3)


def test_vgg19_slim_is_the_built_in_file_or_the_one_named(slim_file: Path) -> None:
    built_in = find_encoder("vgg19_slim", "auto", RELU2_1)
    assert (built_in.name, built_in.path, built_in.fallback) == ("vgg19_slim", BUILT_IN, None)
    assert find_encoder("vgg19_slim", str(slim_file), RELU2_1).path == slim_file


def test_vgg19_slim_never_looks_for_the_full_one(
    no_network: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoders, "load_weights", lambda *a: pytest.fail("looked for VGG-19"))
    find_encoder("vgg19_slim", "auto", RELU2_1)
    assert no_network == []


def test_without_vgg19_and_a_network_auto_falls_back_and_says_so_in_one_line(
    no_network: list[object], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "overpaint"):
        found = find_encoder("vgg19", "auto", RELU2_1)
    assert (found.name, found.path) == ("vgg19_slim", BUILT_IN)
    assert found.fallback
    assert "does not answer" in found.fallback
    assert no_network  # it did try
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    message = record.getMessage()
    assert "\n" not in message
    for part in ("WARNING", "vgg19_slim instead of VGG-19", found.fallback, "weights=imagenet"):
        assert part in message


def test_imagenet_never_falls_back(no_network: list[object]) -> None:
    with pytest.raises(WeightsUnavailableError, match="could not be had"):
        find_encoder("vgg19", "imagenet", RELU2_1)


def test_a_file_that_is_named_and_wrong_is_no_reason_to_fall_back(
    no_network: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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


def test_layers_that_the_slim_network_lacks_are_no_reason_to_fall_back(
    no_network: list[object],
) -> None:
    with pytest.raises(WeightsUnavailableError, match=r"could not be had.*ends with relu5_1"):
        find_encoder("vgg19", "auto", CONVOLUTIONS)


def test_a_damaged_built_in_file_is_told_beside_the_reason_it_was_needed(
    no_network: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"hello")
    monkeypatch.setattr(encoders, "BUILT_IN", damaged)
    with pytest.raises(WeightsError, match=r"could not be had.*Nor can.*is damaged"):
        find_encoder("vgg19", "auto", RELU2_1)


def test_a_download_that_breaks_off_is_a_reason_to_fall_back(
    no_network: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise ConnectionResetError("reset by peer")

    monkeypatch.setattr("overpaint.encoder.weights.answers", lambda url: True)
    monkeypatch.setattr(torch.hub, "download_url_to_file", broken)
    assert "reset by peer" in str(find_encoder("vgg19", "auto", RELU2_1).fallback)


def test_a_host_that_stays_silent_is_given_up_soon(
    no_network: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    given_up = threading.Event()

    def silent(*args: object, timeout: float) -> socket.socket:
        given_up.wait(10)
        return socket.socket()  # an answer, if it was waited for

    monkeypatch.setattr(network, "ANSWER_TIMEOUT_S", 0.05)
    monkeypatch.setattr(socket, "create_connection", silent)
    found = find_encoder("vgg19", "auto", RELU2_1)
    given_up.set()
    assert found.name == "vgg19_slim"


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
    assert encoder(picture(16, 16))["relu5_1"].shape == (1, 256, 1, 1)


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
