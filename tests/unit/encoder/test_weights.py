from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from overpaint.encoder.layers import CONVOLUTIONS, convolutions_up_to
from overpaint.encoder.packed import BOX
from overpaint.encoder.weights import VARIABLE, load_weights
from overpaint.errors import WeightsError

RELU1_1 = convolutions_up_to(["relu1_1"])
RELU2_1 = convolutions_up_to(["relu2_1"])


def small_state(dtype: torch.dtype = torch.float32, seed: int = 0) -> dict[str, Tensor]:
    """Torchvision's names and shapes of conv1_1, conv1_2 and conv2_1."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {0: (64, 3, 3, 3), 2: (64, 64, 3, 3), 5: (128, 64, 3, 3)}
    state = {}
    for index, shape in shapes.items():
        state[f"features.{index}.weight"] = torch.randn(shape, generator=generator).to(dtype)
        state[f"features.{index}.bias"] = torch.randn(shape[0], generator=generator).to(dtype)
    return state


def save(state: Mapping[str, Any], path: Path) -> Path:
    if path.suffix.lower() == ".safetensors":
        save_file(dict(state), path)
    else:
        torch.save(dict(state), path)
    return path


@pytest.mark.parametrize("name", ["vgg.safetensors", "vgg.pth", "VGG.SafeTensors"])
def test_tensors_are_read_under_the_names_of_their_layers(tmp_path: Path, name: str) -> None:
    state = small_state()
    path = save(state, tmp_path / name)
    loaded = load_weights(str(path), RELU2_1)
    expected = {"conv1_1": 0, "conv1_2": 2, "conv2_1": 5}
    assert len(loaded.tensors) == 6
    for layer, index in expected.items():
        for kind in ("weight", "bias"):
            assert torch.equal(loaded.tensors[f"{layer}.{kind}"], state[f"features.{index}.{kind}"])
    assert loaded.path == path


def test_a_whole_set_of_features_is_read(vgg_file: Path) -> None:
    tensors = load_weights(str(vgg_file), CONVOLUTIONS).tensors
    stored = load_file(vgg_file)
    assert len(tensors) == 32
    assert torch.equal(tensors["conv5_4.weight"], stored["features.34.weight"].float())
    assert torch.equal(tensors["conv3_4.bias"], stored["features.16.bias"])


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_whole_vgg_19_is_read_past_its_classifier(tmp_path: Path, suffix: str) -> None:
    state = small_state()
    classifier = {"classifier.0.weight": torch.zeros(4, 4), "classifier.0.bias": torch.zeros(4)}
    path = save({**state, **classifier}, tmp_path / f"whole{suffix}")
    tensors = load_weights(str(path), RELU2_1).tensors
    assert torch.equal(tensors["conv2_1.bias"], state["features.5.bias"])
    assert not any("classifier" in name for name in tensors)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_features_only_file_may_lack_the_prefix(tmp_path: Path, suffix: str) -> None:
    state = small_state()
    bare = {name.removeprefix("features."): value for name, value in state.items()}
    path = save(bare, tmp_path / f"bare{suffix}")
    tensors = load_weights(str(path), RELU2_1).tensors
    assert torch.equal(tensors["conv2_1.weight"], state["features.5.weight"])


def test_a_pth_file_of_the_old_format_is_read(tmp_path: Path) -> None:
    state, path = small_state(), tmp_path / "old.pth"
    torch.save(state, path, _use_new_zipfile_serialization=False)
    tensors = load_weights(str(path), RELU1_1).tensors
    assert torch.equal(tensors["conv1_1.weight"], state["features.0.weight"])


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_other_float_types_become_float32(tmp_path: Path, suffix: str, dtype: torch.dtype) -> None:
    state = small_state(dtype)
    loaded = load_weights(str(save(state, tmp_path / f"half{suffix}")), RELU1_1)
    assert {value.dtype for value in loaded.tensors.values()} == {torch.float32}
    kernel = loaded.tensors["conv1_1.weight"].double()
    assert torch.allclose(kernel, state["features.0.weight"].double(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_only_the_convolutions_asked_for_are_read(tmp_path: Path, suffix: str) -> None:
    state = small_state()
    del state["features.5.weight"]  # not needed for relu1_1, so need not be there
    state["features.2.weight"] = torch.full((1,), torch.nan)  # nor be right
    tensors = load_weights(str(save(state, tmp_path / f"part{suffix}")), RELU1_1).tensors
    assert sorted(tensors) == ["conv1_1.bias", "conv1_1.weight"]


def test_the_sha256_is_that_of_the_whole_file(tmp_path: Path) -> None:
    path = save(small_state(), tmp_path / "vgg.safetensors")
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    assert load_weights(str(path), RELU1_1).sha256 == expected


def refused(path: Path, match: str, convolutions: Any = RELU2_1) -> str:
    """Expects a WeightsError that names the file; returns its message."""
    with pytest.raises(WeightsError, match=match) as caught:
        load_weights(str(path), convolutions)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere.pth", r"encoder\.weights: no such file: '.*nowhere\.pth'")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    refused(tmp_path, f"no such file: '{re.escape(str(tmp_path))}'")


@pytest.mark.parametrize(
    ("content", "suffix"),
    [
        (b"", ".safetensors"),
        (b"<!DOCTYPE html>\n<html>404</html>", ".safetensors"),
        (b"", ".pth"),
        (b"hello", ".pth"),  # also a valid pickle opcode: looks up a memo that is not there
        (b"a", ".pth"),  # and one that pops from an empty stack
        (b"X\x01\x00\x00\x00\xff", ".pth"),  # and text that is no UTF-8
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 574\n", ".pth"),
        (b"PK\x03\x04 no archive", ".pth"),
    ],
    ids=["empty", "html", "empty pickle", "memo", "stack", "utf-8", "lfs", "zip"],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"damaged{suffix}"
    path.write_bytes(content)
    refused(path, "cannot be read as weights")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("kept", [0.001, 0.999])
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str, kept: float) -> None:
    path = save(small_state(), tmp_path / f"cut{suffix}")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    refused(path, "cannot be read as weights")


class Bomb:
    """Unpickled carelessly, it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_runs_code_is_refused_and_not_run(tmp_path: Path, zipped: bool) -> None:
    path, trap = tmp_path / "bomb.pth", tmp_path / "trap"
    state = {**small_state(), "extra": Bomb(trap)}
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    refused(path, "cannot be read as weights")
    assert not trap.exists()


@pytest.mark.parametrize(
    ("state", "kind"), [([torch.zeros(1)], "list"), (torch.zeros(3), "Tensor"), (7, "int")]
)
def test_a_state_that_is_no_mapping_is_refused(tmp_path: Path, state: Any, kind: str) -> None:
    path = tmp_path / "odd.pth"
    torch.save(state, path)
    refused(path, f"holds a {kind}, not a state dict")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_missing_key_is_named(tmp_path: Path, suffix: str) -> None:
    state = small_state()
    del state["features.2.bias"]
    message = refused(
        save(state, tmp_path / f"gap{suffix}"), r"is no VGG-19: it has no 'features\.2\.bias'"
    )
    assert "features.0.weight" in message  # says what is there instead


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_file_without_tensors_is_no_vgg(tmp_path: Path, suffix: str) -> None:
    refused(save({}, tmp_path / f"void{suffix}"), r"'features\.0\.weight' \(it has nothing\)")


def test_keys_that_are_no_text_do_not_confuse(tmp_path: Path) -> None:
    path = tmp_path / "numbers.pth"
    torch.save({0: torch.zeros(1), "b": torch.zeros(1)}, path)
    refused(path, r"has no 'features\.0\.weight' \(it has 0, b")


@pytest.mark.parametrize(
    ("key", "shape", "expected"),
    [
        ("features.0.weight", (64, 3, 5, 5), (64, 3, 3, 3)),
        ("features.2.weight", (64, 32, 3, 3), (64, 64, 3, 3)),
        ("features.5.bias", (64,), (128,)),
        ("features.5.bias", (), (128,)),
    ],
)
def test_a_tensor_of_the_wrong_shape_is_named(
    tmp_path: Path, key: str, shape: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    path = save({**small_state(), key: torch.zeros(shape)}, tmp_path / "shape.safetensors")
    refused(path, re.escape(f"'{key}' is {shape}, expected {expected}"))


def test_a_value_that_is_no_tensor_is_named(tmp_path: Path) -> None:
    path = save({**small_state(), "features.2.weight": 3.5}, tmp_path / "value.pth")
    refused(path, r"'features\.2\.weight' is float, expected \(64, 64, 3, 3\)")


@pytest.mark.parametrize("value", [torch.nan, -torch.inf])
def test_a_value_that_is_not_finite_is_named(tmp_path: Path, value: float) -> None:
    state = small_state()
    state["features.5.weight"][7, 3, 1, 2] = value
    path = save(state, tmp_path / "nan.safetensors")
    refused(path, r"'features\.5\.weight' holds values that are not finite")


def test_auto_takes_the_file_of_the_variable_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = save(small_state(seed=2), tmp_path / "mine.safetensors")
    monkeypatch.setenv(VARIABLE, str(named))
    assert load_weights("auto", RELU1_1).path == named


@pytest.mark.parametrize("variable", [None, ""])
def test_auto_takes_the_file_in_the_package_if_no_variable_is_set(
    monkeypatch: pytest.MonkeyPatch, variable: str | None
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    if variable is not None:
        monkeypatch.setenv(VARIABLE, variable)
    loaded = load_weights("auto", RELU1_1)
    assert loaded.path == BOX
    assert loaded.sha256 == hashlib.sha256(BOX.read_bytes()).hexdigest()


def test_a_variable_that_names_no_file_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "gone.pth"))
    with pytest.raises(WeightsError, match=rf"{VARIABLE} names '.*gone\.pth', which is no file"):
        load_weights("auto", RELU1_1)
