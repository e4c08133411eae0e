from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import REPOSITORY, with_a_flipped_bit
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from overpaint.encoder.layers import CONVOLUTIONS, convolutions_up_to
from overpaint.encoder.packed import (
    BOX,
    ENTRY,
    PackedInfo,
    PackedKernel,
    read_packed,
    save_packed,
    unpacked,
)
from overpaint.encoder.slim import load_slim
from overpaint.encoder.weights import load_weights
from overpaint.errors import WeightsError
from overpaint.files import file_sha256

INFO = PackedInfo("0" * 64, "at random", {"seed": 0}, {"features": {"relu1_1": 0.5}}, "none")


def random_kernels(seed: int = 0, groups: int = 2) -> dict[str, PackedKernel]:
    generator = torch.Generator().manual_seed(seed)
    kernels = {}
    for layer in CONVOLUTIONS:
        shape = (layer.out_channels, layer.in_channels, 3, 3)
        kernels[layer.conv] = PackedKernel(
            torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8),
            torch.randn((groups, 256), generator=generator),
            torch.randn(layer.out_channels, generator=generator),
        )
    return kernels


@pytest.fixture(scope="module")
def packed_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("packed") / "random.safetensors"
    save_packed(random_kernels(), INFO, path)
    return path


def test_a_file_gives_back_what_was_saved(packed_file: Path) -> None:
    kernels, info = read_packed(packed_file)
    assert info == INFO
    expected = random_kernels()
    assert list(kernels) == [layer.conv for layer in CONVOLUTIONS]
    for name, kernel in kernels.items():
        for part in ("codes", "codebooks", "bias"):
            assert torch.equal(getattr(kernel, part), getattr(expected[name], part))


def test_the_same_values_give_the_same_bytes(tmp_path: Path, packed_file: Path) -> None:
    save_packed(dict(reversed(random_kernels().items())), INFO, tmp_path / "a.safetensors")
    save_packed(random_kernels(seed=1), INFO, tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == packed_file.read_bytes()
    assert (tmp_path / "b.safetensors").read_bytes() != packed_file.read_bytes()


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_a_code_means_the_value_in_the_codebook_of_its_channels_group(groups: int) -> None:
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(0, 256, (4, 2, 3, 3), generator=generator, dtype=torch.uint8)
    books = torch.randn((groups, 256), generator=generator)
    weight = PackedKernel(codes, books, torch.zeros(4)).weight()
    assert weight.dtype == torch.float32
    for index in torch.cartesian_prod(*(torch.arange(edge) for edge in codes.shape)).tolist():
        channel = index[0]
        expected = books[channel * groups // 4, int(codes[tuple(index)])]
        assert weight[tuple(index)] == expected


def test_the_first_convolutions_can_be_unpacked_alone(packed_file: Path) -> None:
    loaded = load_weights(str(packed_file), convolutions_up_to(["relu2_1"]))
    assert sorted(loaded.tensors) == [
        f"conv{layer}.{kind}" for layer in ("1_1", "1_2", "2_1") for kind in ("bias", "weight")
    ]
    expected = random_kernels()["conv2_1"]
    assert torch.equal(loaded.tensors["conv2_1.weight"], expected.weight())
    assert torch.equal(loaded.tensors["conv2_1.bias"], expected.bias)
    assert (loaded.name, loaded.path) == ("vgg19", packed_file)
    assert loaded.sha256 == file_sha256(packed_file)


def refused(path: Path, match: str) -> None:
    with pytest.raises(WeightsError, match=match) as caught:
        read_packed(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def said_by(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="pt") as file:
        return dict(json.loads(file.metadata()[ENTRY]))


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.999])
def test_a_truncated_file_is_refused(tmp_path: Path, packed_file: Path, kept: float) -> None:
    path, whole = tmp_path / "cut.safetensors", packed_file.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    refused(path, "is damaged or no packed VGG-19")
    with pytest.raises(WeightsError, match="cannot be read"):
        load_weights(str(path), CONVOLUTIONS)


@pytest.mark.parametrize("place", [0.3, 0.7, -2])
def test_a_flipped_bit_among_the_values_is_noticed(
    tmp_path: Path, packed_file: Path, place: float
) -> None:
    path = with_a_flipped_bit(packed_file, tmp_path / "flipped.safetensors", place)
    refused(path, "not those that were written")
    with pytest.raises(WeightsError, match="not those that were written"):
        load_weights(str(path), convolutions_up_to(["relu1_1"]))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("conv2_1.codes", torch.zeros(128, 64, 3, 2, dtype=torch.uint8), r"\(128, 64, 3, 2\)"),
        ("conv2_1.codes", torch.zeros(128, 64, 3, 3), "torch.float32"),
        ("conv2_1.codebooks", torch.zeros(2, 255), r"expected torch.float32 \(2, 256\)"),
        ("conv2_1.codebooks", torch.zeros(256), r"is torch.float32 \(256,\)"),
        ("conv2_1.codebooks", torch.zeros(3, 256), "128 channels of conv2_1 .* 3 codebooks"),
        ("conv2_1.codebooks", torch.full((2, 256), torch.inf), "not finite"),
        ("conv2_1.bias", torch.zeros(127), r"\(127,\)"),
    ],
)
def test_a_tensor_that_does_not_belong_there_is_named(
    tmp_path: Path, packed_file: Path, name: str, value: Tensor, message: str
) -> None:
    path = tmp_path / "odd.safetensors"
    tensors = {**load_file(packed_file), name: value}
    save_file(tensors, path, {ENTRY: json.dumps(said_by(packed_file))})
    refused(path, message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda said: said.update(format="packed VGG-19, 9"), "its format is 'packed VGG-19, 9'"),
        (lambda said: said.pop("licence"), "licence"),
        (lambda said: said.update(method="another"), "not those that were written"),
    ],
)
def test_what_a_file_says_of_itself_is_checked(
    tmp_path: Path, packed_file: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    said = said_by(packed_file)
    change(said)
    path = tmp_path / "said.safetensors"
    save_file(load_file(packed_file), path, {ENTRY: json.dumps(said)})
    refused(path, message)


@pytest.mark.parametrize("lost", ["metadata", "codes"])
def test_a_file_that_has_lost_a_part_is_refused_as_the_packed_one_it_was(
    tmp_path: Path, packed_file: Path, lost: str
) -> None:
    path, tensors = tmp_path / "lost.safetensors", load_file(packed_file)
    if lost == "codes":
        del tensors["conv1_1.codes"]
        save_file(tensors, path, {ENTRY: json.dumps(said_by(packed_file))})
    else:
        save_file(tensors, path)
    with pytest.raises(WeightsError, match="no packed VGG-19") as caught:
        load_weights(str(path), CONVOLUTIONS)
    assert "vgg19_slim" not in str(caught.value)


def test_a_packed_file_is_no_slim_one_and_the_way_out_is_named(packed_file: Path) -> None:
    with pytest.raises(WeightsError, match=r"no slim VGG-19.*encoder\.name=vgg19\."):
        load_slim(packed_file, convolutions_up_to(["relu1_1"]))


def test_a_file_of_another_kind_and_a_missing_one_are_refused(
    vgg_file: Path, tmp_path: Path
) -> None:
    refused(vgg_file, "no packed VGG-19 .*has no 'overpaint' entry")
    refused(tmp_path / "none.safetensors", "no such file")


@pytest.mark.weights
def test_the_box_holds_the_whole_network_and_says_where_it_is_from() -> None:
    kernels, info = read_packed(BOX)
    assert unpacked(kernels).keys() == {
        f"{layer.conv}.{kind}" for layer in CONVOLUTIONS for kind in ("weight", "bias")
    }
    assert "CC BY 4.0" in info.licence
    assert "Visual Geometry Group, University of Oxford" in info.licence
    assert BOX.stat().st_size <= 20_500_000
    assert set(info.errors) == {"features", "grams"}
    for by_layer in info.errors.values():
        assert list(by_layer) == [layer.relu for layer in CONVOLUTIONS]


@pytest.mark.weights
def test_the_box_says_the_errors_that_the_documentation_states() -> None:
    info = read_packed(BOX)[1]
    text = (REPOSITORY / "docs" / "encoder.md").read_text(encoding="utf-8")
    for layer in CONVOLUTIONS:
        features, grams = (100 * info.errors[kind][layer.relu] for kind in ("features", "grams"))
        assert f"| `{layer.relu}` | {features:.2f} | {grams:.2f} |" in text
