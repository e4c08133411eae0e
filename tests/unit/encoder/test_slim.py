from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import SLIM_WIDTHS, random_tensors, slim_info, with_a_flipped_bit
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from overpaint.encoder.calibration import Calibration
from overpaint.encoder.layers import SLIM_CONVOLUTIONS, SLIM_LAYER_NAMES, convolutions_up_to
from overpaint.encoder.slim import BUILT_IN, ENTRY, load_slim, read_slim, save_slim
from overpaint.errors import WeightsError

REPOSITORY = Path(__file__).resolve().parents[3]


def said_by(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="pt") as file:
        return dict(json.loads(file.metadata()[ENTRY]))


def rewritten(path: Path, target: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy whose metadata was changed."""
    said = said_by(path)
    change(said)
    save_file(load_file(path), target, {ENTRY: json.dumps(said)})
    return target


def test_a_file_gives_back_what_was_saved(tmp_path: Path) -> None:
    path, tensors, info = tmp_path / "a.safetensors", random_tensors(), slim_info()
    save_slim(tensors, info, path)
    stored, read = read_slim(path)
    assert read == info
    assert read.widths == SLIM_WIDTHS
    assert sorted(stored) == sorted(tensors)
    for name, value in stored.items():
        assert torch.equal(value, tensors[name].half())


def test_the_same_values_give_the_same_bytes(tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.safetensors" for name in "abc"]
    save_slim(random_tensors(), slim_info(), paths[0])
    save_slim(dict(reversed(random_tensors().items())), slim_info(), paths[1])
    save_slim(random_tensors(seed=1), slim_info(), paths[2])
    assert paths[0].read_bytes() == paths[1].read_bytes() != paths[2].read_bytes()


def test_the_first_convolutions_can_be_read_alone(slim_file: Path) -> None:
    weights = load_slim(slim_file, convolutions_up_to(["relu2_1"]))
    assert sorted(weights.tensors) == [
        f"conv{layer}.{kind}" for layer in ("1_1", "1_2", "2_1") for kind in ("bias", "weight")
    ]
    assert {value.dtype for value in weights.tensors.values()} == {torch.float32}
    assert weights.name == "vgg19_slim"
    assert weights.path == slim_file
    assert weights.sha256 == hashlib.sha256(slim_file.read_bytes()).hexdigest()
    assert weights.calibration["relu1_1"] == Calibration(2.0, 4.0, 64)


def refused(path: Path, match: str) -> None:
    with pytest.raises(WeightsError, match=match) as caught:
        load_slim(path, SLIM_CONVOLUTIONS)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    refused(tmp_path / "none.safetensors", "no such file")


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html>", bytes(range(256)) * 8])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd.safetensors"
    path.write_bytes(content)
    refused(path, "is damaged or no slim VGG-19")


@pytest.mark.parametrize("kept", [0.001, 0.999])
def test_a_truncated_file_is_refused(tmp_path: Path, slim_file: Path, kept: float) -> None:
    path, whole = tmp_path / "cut.safetensors", slim_file.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    refused(path, "is damaged or no slim VGG-19")


@pytest.mark.parametrize("place", [0.3, 0.7, -2])
def test_a_flipped_bit_among_the_values_is_noticed(
    tmp_path: Path, slim_file: Path, place: float
) -> None:
    path = with_a_flipped_bit(slim_file, tmp_path / "flipped.safetensors", place)
    refused(path, "not those that were written")


def test_a_full_vgg_19_is_no_slim_one_and_the_way_out_is_named(vgg_file: Path) -> None:
    refused(vgg_file, r"no slim VGG-19 \(its metadata has no .*encoder\.name=vgg19\.")


def test_a_missing_tensor_is_named(tmp_path: Path, slim_file: Path) -> None:
    tensors = load_file(slim_file)
    del tensors["conv3_2.bias"]
    path = tmp_path / "gap.safetensors"
    save_file(tensors, path, {ENTRY: json.dumps(said_by(slim_file))})
    refused(path, r"conv3_2\.bias")


@pytest.mark.parametrize(
    ("name", "value", "got"),
    [
        ("conv2_1.weight", torch.zeros(6, 5, 3, 3).half(), r"torch.float16 \(6, 5, 3, 3\)"),
        ("conv2_1.bias", torch.zeros(7).half(), r"torch.float16 \(7,\)"),
        ("conv4_1.bias", torch.zeros(10), r"torch.float32 \(10,\)"),
    ],
)
def test_a_tensor_of_another_shape_or_type_is_named(
    tmp_path: Path, slim_file: Path, name: str, value: torch.Tensor, got: str
) -> None:
    path = tmp_path / "shape.safetensors"
    save_file({**load_file(slim_file), name: value}, path, {ENTRY: json.dumps(said_by(slim_file))})
    refused(path, rf"'{re.escape(name)}' is {got}, expected torch.float16")


def test_values_that_are_not_finite_are_refused(tmp_path: Path, slim_file: Path) -> None:
    tensors = load_file(slim_file)
    tensors["conv1_2.bias"][1] = torch.inf
    path = tmp_path / "inf.safetensors"
    save_file(tensors, path, {ENTRY: json.dumps(said_by(slim_file))})
    refused(path, r"'conv1_2\.bias' holds values that are not finite")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda said: said.update(format="slim VGG-19, 2"), "its format is 'slim VGG-19, 2'"),
        (lambda said: said.pop("format"), "format"),
        (lambda said: said["channels"].pop("conv3_1"), "conv3_1"),
        (lambda said: said["channels"].update(conv3_1=7), "int"),
        (lambda said: said["calibration"].pop("relu4_2"), "relu4_2"),
        (lambda said: said["calibration"]["relu4_2"].update(content=-1.0), r"relu4_2 holds -1\.0"),
        (lambda said: said["calibration"]["relu4_2"].update(style=float("nan")), "holds nan"),
        (lambda said: said["calibration"]["relu4_2"].update(odd=1), "odd"),
        (lambda said: said["channels"]["conv1_1"].append(60), r"conv1_1\.weight"),
        (lambda said: said["channels"].update(conv1_1=[1, 2, 3, 64]), "no rising indices"),
        (lambda said: said["channels"].update(conv1_1=[1, 3, 2, 4]), "no rising indices"),
        (lambda said: said["channels"].update(conv1_1=[1, 2, 2, 4]), "no rising indices"),
        (lambda said: said["calibration"]["relu4_2"].update(style=10**400), "int too large"),
        (lambda said: said["calibration"]["relu4_2"].update(style=4.5), "not those that were"),
        (lambda said: said["making"].update(seed=1), "not those that were"),
        (lambda said: said.pop("sha256"), "sha256"),
        (lambda said: said.pop("licence"), "licence"),
    ],
)
def test_what_a_file_says_must_be_complete_and_true(
    tmp_path: Path, slim_file: Path, change: Callable[[dict[str, Any]], None], match: str
) -> None:
    refused(rewritten(slim_file, tmp_path / "said.safetensors", change), match)


@pytest.mark.parametrize("said", ["", "[]", "{"])
def test_an_entry_that_is_no_description_is_refused(
    tmp_path: Path, slim_file: Path, said: str
) -> None:
    path = tmp_path / "entry.safetensors"
    save_file(load_file(slim_file), path, {ENTRY: said})
    refused(path, "damaged|no slim")


def test_the_built_in_file_is_what_the_project_promises() -> None:
    tensors, info = read_slim(BUILT_IN)
    assert BUILT_IN.stat().st_size <= 6_500_000
    assert set(info.calibration) == set(SLIM_LAYER_NAMES)
    assert "CC BY 4.0" in info.licence
    assert re.fullmatch("[0-9a-f]{64}", info.teacher_sha256)
    for layer in SLIM_CONVOLUTIONS:
        kept = info.channels[layer.conv]
        assert len(kept) == tensors[f"{layer.conv}.bias"].shape[0]
        assert list(kept) == sorted(set(kept))
        assert kept[0] >= 0
        assert kept[-1] < layer.out_channels
        for name in (layer.conv, layer.relu):
            assert info.calibration[name].channels == layer.out_channels
            assert info.calibration[name].content >= 1  # fewer channels, smaller sums
    assert info.making["errors_after_distillation"]
    assert dataclasses.asdict(info)["making"]["seed"] == 0


def test_the_built_in_file_is_tracked_by_git_and_not_ignored() -> None:
    """The wheel leaves out what Git ignores, and all other weights are."""
    if not (REPOSITORY / ".git").exists():
        pytest.skip("no Git checkout")

    def git(*words: str) -> int:
        name = "src/overpaint/encoder/data/vgg19_slim.safetensors"
        command = ["git", *words, name]
        return subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=False).returncode

    assert git("ls-files", "--error-unmatch") == 0
    assert git("check-ignore", "--no-index", "--quiet") == 1
