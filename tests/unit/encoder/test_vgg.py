from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import random_tensors
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from overpaint.encoder.calibration import Calibration
from overpaint.encoder.layers import LAYER_NAMES, convolutions_up_to
from overpaint.encoder.vgg import Vgg19Features, mirrored, normalized
from overpaint.encoder.weights import VARIABLE, load_weights
from overpaint.errors import ConfigError

pytestmark = pytest.mark.usefixtures("one_thread")

MakeEncoder = Callable[..., Vgg19Features]


def narrow(*layers: str, **options: object) -> Vgg19Features:
    """A network of a few channels, up to relu5_1."""
    return Vgg19Features(layers, random_tensors(), **options)  # type: ignore[arg-type]


def picture(height: int = 32, width: int = 40, seed: int = 0) -> Tensor:
    return torch.rand((1, 3, height, width), generator=torch.Generator().manual_seed(seed))


def torchvision_maps(vgg_file: Path, image: Tensor, pooling: str) -> dict[str, Tensor]:
    """Every map of torchvision's network, copied before its in-place ReLUs rewrite it."""
    from torchvision import models

    with torch.device("meta"):  # its classifier alone would take half a gigabyte
        network = models.vgg19(weights=None).features
    state = {name.removeprefix("features."): value for name, value in load_file(vgg_file).items()}
    network.load_state_dict({name: value.float() for name, value in state.items()}, assign=True)
    preset = models.VGG19_Weights.IMAGENET1K_V1.transforms()
    x = (image - torch.tensor(preset.mean).view(3, 1, 1)) / torch.tensor(preset.std).view(3, 1, 1)
    maps = {}
    block, position = 1, 0
    for layer in network:
        if isinstance(layer, nn.MaxPool2d):
            block, position = block + 1, 0
            x = nn.AvgPool2d(2)(x) if pooling == "avg" else layer(x)
            continue
        is_convolution = isinstance(layer, nn.Conv2d)
        position += is_convolution
        x = layer(x)
        maps[f"{'conv' if is_convolution else 'relu'}{block}_{position}"] = x.clone()
    return maps


@torch.no_grad()
@pytest.mark.parametrize("pooling", ["max", "avg"])
def test_all_maps_equal_those_of_torchvision(
    make_encoder: MakeEncoder, vgg_file: Path, pooling: str
) -> None:
    image = picture()
    expected = torchvision_maps(vgg_file, image, pooling)
    features = make_encoder(*LAYER_NAMES, pooling=pooling)(image)
    assert list(features) == list(expected)
    for name, value in features.items():
        torch.testing.assert_close(value, expected[name], msg=lambda text, name=name: name + text)


@torch.no_grad()
@pytest.mark.parametrize("layer", ["conv1_1", "relu1_2", "conv2_2", "relu3_1"])
def test_asking_for_more_layers_changes_no_map(layer: str) -> None:
    everything = LAYER_NAMES[: LAYER_NAMES.index("relu3_1") + 1]
    alone = narrow(layer)(picture())
    assert list(alone) == [layer]
    assert torch.equal(alone[layer], narrow(*everything)(picture())[layer])


@torch.no_grad()
@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("layers", [("conv1_2",), ("relu3_1", "relu1_1"), ("conv5_1", "relu2_2")])
def test_layers_asked_for_are_those_of_an_encoder_built_for_them(
    layers: tuple[str, ...], whole: bool
) -> None:
    image = picture(37, 50)
    found = narrow("relu4_2", "relu5_1", whole=whole)(image, layers)
    built = narrow(*layers, whole=whole)(image)
    assert set(found) == set(layers)
    assert list(found) == list(built)
    for name in layers:
        assert torch.equal(found[name], built[name])


@torch.no_grad()
def test_layers_may_come_from_an_iterator_and_leave_the_defaults_alone() -> None:
    encoder = narrow("relu2_1")
    assert list(encoder(picture(), iter(["conv1_1", "relu1_1"]))) == ["conv1_1", "relu1_1"]
    assert list(encoder(picture())) == ["relu2_1"]


def test_nothing_beyond_the_deepest_layer_asked_for_is_computed() -> None:
    encoder, used = narrow("relu5_1"), []
    for name, module in encoder.convolutions.items():
        module.register_forward_hook(lambda *_, name=name: used.append(name))
    encoder(picture(), ["relu2_1", "conv1_1"])
    assert used == ["conv1_1", "conv1_2", "conv2_1"]


def test_a_layer_beyond_what_was_built_is_refused_and_the_last_one_named() -> None:
    with pytest.raises(ValueError, match="no relu3_1; it ends with relu2_2"):
        narrow("conv2_2")(picture(), ["relu1_1", "conv3_1"])


def test_the_relu_of_the_last_convolution_is_there() -> None:
    assert list(narrow("conv2_2")(picture(), ["relu2_2"])) == ["relu2_2"]


def test_an_unknown_layer_asked_for_is_answered_with_the_closest_name() -> None:
    with pytest.raises(ConfigError, match="'conv51'; did you mean 'conv5_1'"):
        narrow("relu5_1")(picture(), ["relu1_1", "conv51"])


def test_an_image_must_be_large_enough_for_the_layers_asked_for_only() -> None:
    encoder, small = narrow("relu5_1"), picture(3, 40)
    assert encoder(small, ["relu2_1"])["relu2_1"].shape[-2:] == (1, 20)
    with pytest.raises(ValueError, match=r"\(3, 40\) pixels is too small .*relu3_1.*needs 4$"):
        encoder(small, ["relu3_1"])


@torch.no_grad()
def test_conv_maps_are_before_the_relu_and_relu_maps_after_it() -> None:
    names = LAYER_NAMES[: LAYER_NAMES.index("relu3_2") + 1]
    features = narrow(*names)(picture())
    for conv, relu in zip(names[::2], names[1::2], strict=True):
        assert (features[conv] < 0).any(), conv
        assert torch.equal(features[relu], features[conv].clamp(min=0)), relu


@torch.no_grad()
def test_maps_come_in_the_order_of_the_network_whatever_was_asked() -> None:
    features = narrow("relu2_1", "conv1_1", "relu2_1", "relu1_2")(picture())
    assert list(features) == ["conv1_1", "relu1_2", "relu2_1"]


@torch.no_grad()
def test_each_block_halves_the_edges_rounding_down(make_encoder: MakeEncoder) -> None:
    features = make_encoder(*(f"relu{block}_1" for block in range(1, 6)))(picture(37, 50))
    assert {name: tuple(value.shape) for name, value in features.items()} == {
        "relu1_1": (1, 64, 37, 50),
        "relu2_1": (1, 128, 18, 25),
        "relu3_1": (1, 256, 9, 12),
        "relu4_1": (1, 512, 4, 6),
        "relu5_1": (1, 512, 2, 3),
    }


@torch.no_grad()
def test_images_of_a_batch_do_not_touch_each_other() -> None:
    encoder = narrow("relu2_2")
    first, second = picture(seed=1), picture(seed=2)
    together = encoder(torch.cat([first, second]))["relu2_2"]
    torch.testing.assert_close(together[:1], encoder(first)["relu2_2"])
    torch.testing.assert_close(together[1:], encoder(second)["relu2_2"])


def single_kernel(layer: str) -> Mapping[str, Tensor]:
    """Weights that copy the first channel through; with zero biases."""
    tensors = {}
    for convolution in convolutions_up_to([layer]):
        kernel = torch.zeros(convolution.out_channels, convolution.in_channels, 3, 3)
        kernel[0, 0, 1, 1] = 1
        tensors[f"{convolution.conv}.weight"] = kernel
        tensors[f"{convolution.conv}.bias"] = torch.zeros(convolution.out_channels)
    return tensors


@torch.no_grad()
@pytest.mark.parametrize(("pooling", "pooled"), [("max", 4.0), ("avg", 2.5)])
def test_pooling_takes_the_largest_or_the_mean_of_four(pooling: str, pooled: float) -> None:
    encoder = Vgg19Features(["relu2_1"], single_kernel("relu2_1"), pooling=pooling)  # type: ignore[arg-type]
    red = torch.tensor([[1.0, 2.0], [3.0, 4.0]]) * 0.229 + 0.485  # back to sRGB
    image = torch.stack([red, red, red])[None]
    assert encoder(image)["relu2_1"][0, 0].item() == pytest.approx(pooled, rel=1e-5)


@torch.no_grad()
def test_the_red_channel_comes_first_and_is_normalised_as_torchvision_does() -> None:
    encoder = Vgg19Features(["conv1_1"], single_kernel("conv1_1"))
    image = torch.tensor([1.0, 0.25, 0.5]).view(1, 3, 1, 1)
    assert encoder(image)["conv1_1"][0, 0].item() == pytest.approx((1 - 0.485) / 0.229, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_normalizing_is_that_of_imagenet_unless_told_otherwise(dtype: torch.dtype) -> None:
    image = torch.tensor([0.485 + 0.229, 0.456, 0.406 - 2 * 0.225], dtype=dtype).view(1, 3, 1, 1)
    expected = torch.tensor([1.0, 0.0, -2.0], dtype=dtype).view(1, 3, 1, 1)
    torch.testing.assert_close(normalized(image), expected, atol=1e-6, rtol=1e-5)
    halved = normalized(image, torch.zeros(1, 3, 1, 1), torch.full((1, 3, 1, 1), 2.0))
    torch.testing.assert_close(halved, image / 2)


def test_the_encoder_is_frozen_and_in_evaluation_mode() -> None:
    encoder = narrow("relu2_1")
    assert list(encoder.parameters())
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert not any(module.training for module in encoder.modules())


def test_the_encoder_stays_in_evaluation_mode_inside_a_module_that_trains() -> None:
    outer = nn.ModuleDict({"encoder": narrow("relu2_1"), "other": nn.Linear(1, 1)})
    outer.train()
    assert outer["other"].training
    assert not any(module.training for module in outer["encoder"].modules())
    assert outer["encoder"].train() is outer["encoder"]


def test_a_calibration_is_kept_and_there_is_none_by_default() -> None:
    given = {"relu1_1": Calibration(2, 3, 5)}
    assert narrow("relu1_1", calibration=given).calibration == given
    assert narrow("relu1_1").calibration == {}


def test_gradients_reach_the_image_and_not_the_encoder() -> None:
    encoder, image = narrow("conv1_2", "relu2_1"), picture().requires_grad_()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    sum(value.square().sum() for value in encoder(image).values()).backward()
    assert image.grad is not None
    assert image.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in encoder.parameters())
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


def test_the_image_is_left_as_it_was() -> None:
    image = picture()
    narrow("conv1_1", "relu2_1")(image)
    assert torch.equal(image, picture())


@pytest.mark.parametrize(
    ("layer", "convolutions"), [("conv1_1", 1), ("relu2_1", 3), ("conv3_2", 6), ("relu4_1", 9)]
)
def test_nothing_deeper_than_needed_is_built(layer: str, convolutions: int) -> None:
    built = [m for m in narrow("relu1_1", layer).modules() if isinstance(m, nn.Conv2d)]
    assert len(built) == convolutions


@pytest.mark.parametrize(
    ("layer", "edge"),
    [("relu1_2", 1), ("relu2_1", 2), ("conv4_2", 8), ("relu5_1", 16)],
)
def test_an_image_below_the_minimum_edge_is_refused(layer: str, edge: int) -> None:
    encoder = narrow(layer)
    assert encoder.minimum_edge == edge
    assert encoder(picture(edge, edge))[layer].shape[-2:] == (1, 1)
    if edge > 1:
        size = rf"\({edge - 1}, 40\)"
        with pytest.raises(ValueError, match=f"{size} pixels is too small .*needs {edge}$"):
            encoder(picture(edge - 1, 40))


def test_an_unknown_layer_is_named() -> None:
    with pytest.raises(ConfigError, match="conv5_5"):
        narrow("relu1_1", "conv5_5")


def test_a_missing_tensor_is_named() -> None:
    weights = {name: value for name, value in single_kernel("relu2_1").items() if "2_1" not in name}
    with pytest.raises(KeyError, match=r"conv2_1\.weight"):
        Vgg19Features(["relu2_1"], weights)


GOLDEN = "NEURAL_STYLE_REFERENCE"


# What eight bits a value cost, relative to the norm of a map or Gram matrix.
BOX_TOLERANCE = 0.02


@pytest.mark.weights
@pytest.mark.parametrize(("source", "tolerance"), [(VARIABLE, 1e-3), ("box", BOX_TOLERANCE)])
@torch.no_grad()
def test_real_features_agree_with_an_independent_network(
    real_weights: Path, source: str, tolerance: float
) -> None:
    path = str(real_weights) if source == "box" else os.environ.get(source)
    if not path:
        pytest.skip(f"{source} names no file of VGG-19")
    if not os.environ.get(GOLDEN):
        pytest.skip(f"{GOLDEN} names no file of golden features")
    golden = np.load(os.environ[GOLDEN])
    maps = [name for name in golden if name in LAYER_NAMES]
    grams = [f"relu{block}_1" for block in range(1, 6)]
    layers = [*maps, *grams]
    weights = load_weights(path, convolutions_up_to(layers))
    image = torch.from_numpy(golden["image"]).permute(2, 0, 1)[None].float() / 255
    features = Vgg19Features(layers, weights.tensors)(image)
    compared = {name: features[name][0].double().numpy() for name in maps}
    for name in grams:
        flat = features[name][0].double().flatten(1).numpy()
        compared[f"gram_{name}"] = flat @ flat.T / flat.shape[1]
    assert len(compared) == len(golden.files) - 1
    for name, value in compared.items():
        difference = np.linalg.norm(value - golden[name]) / np.linalg.norm(golden[name])
        assert difference < tolerance, name


def test_a_visitor_sees_each_map_and_decides_what_the_next_layer_reads() -> None:
    encoder, image = narrow("conv1_2", "relu1_2", "relu2_1"), picture()
    plain = encoder(image)
    seen: dict[str, Tensor] = {}

    def note(layer: str, features: Tensor) -> Tensor:
        seen[layer] = features.clone()
        return features

    for name, value in encoder(image, visit=note).items():
        assert torch.equal(value, plain[name])
        assert torch.equal(seen[name], plain[name])
    assert list(seen) == list(encoder.layers)

    seen.clear()
    encoder(image, ["relu1_2"], visit=note)  # and none that was not asked for
    assert list(seen) == ["relu1_2"]

    def raised(layer: str, features: Tensor) -> Tensor:
        return features + 1 if layer == "conv1_2" else features

    changed = encoder(image, visit=raised)
    torch.testing.assert_close(changed["relu1_2"], (plain["conv1_2"] + 1).relu())
    assert not torch.allclose(changed["relu2_1"], plain["relu2_1"])


@pytest.mark.parametrize("pooling", ["max", "avg"])
def test_a_deep_layer_holds_the_last_rows_and_columns_of_a_whole_image(pooling: str) -> None:
    def gradient(whole: bool) -> Tensor:
        image = picture(47, 47).requires_grad_()
        encoder = narrow("relu4_2", pooling=pooling, whole=whole)
        encoder(image)["relu4_2"].sum().backward()
        assert image.grad is not None
        return image.grad.abs().sum((0, 1))

    dropped, kept = gradient(whole=False), gradient(whole=True)
    for edge in (slice(-7, None), (slice(None), slice(-7, None))):  # the last rows; columns
        assert kept[edge].mean() > 1.5 * dropped[edge].mean()


def test_a_whole_image_that_divides_evenly_is_read_as_it_is() -> None:
    image = picture(32, 48)
    for name, value in narrow("relu1_1", "relu5_1", whole=True)(image).items():
        assert torch.equal(value, narrow("relu1_1", "relu5_1")(image)[name])


def test_a_whole_image_is_mirrored_at_its_last_row_and_column() -> None:
    image = picture(37, 50)
    wide = torch.cat([image, image[..., -7:-1].flip(3)], 3)
    padded = torch.cat([wide, wide[:, :, -4:-1].flip(2)], 2)
    found = narrow("relu1_1", "relu4_1", whole=True)(image)
    for name, value in narrow("relu1_1", "relu4_1")(padded).items():
        torch.testing.assert_close(found[name], value)


def test_the_edges_of_a_whole_image_are_rounded_up() -> None:
    features = narrow("relu1_1", "relu4_1", whole=True)(picture(37, 50))
    assert features["relu1_1"].shape[-2:] == (40, 56)
    assert features["relu4_1"].shape[-2:] == (5, 7)


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("beyond", [0, 1, 5])
def test_mirroring_is_padding_by_reflection_in_values_and_gradients(dim: int, beyond: int) -> None:
    image = torch.rand((2, 3, 6, 7), dtype=torch.float64, requires_grad=True)
    pad = (0, 0, 0, beyond) if dim == 2 else (0, beyond, 0, 0)
    ways = mirrored(image, dim, beyond), F.pad(image, pad, mode="reflect")
    assert torch.equal(*ways)
    weights = torch.rand_like(ways[0])
    gradients = [torch.autograd.grad((way * weights).sum(), image)[0] for way in ways]
    torch.testing.assert_close(*gradients)


def test_reading_a_whole_image_needs_nothing_whose_gradient_adds_in_any_order() -> None:
    """On CUDA devices; what PyTorch calls so there is refused by name in its source."""
    image = torch.rand((1, 3, 17, 18), requires_grad=True)
    total = sum(x.sum() for x in narrow("relu1_1", "relu3_1", whole=True)(image).values())
    names, waiting = set(), [total.grad_fn]
    while waiting:
        node = waiting.pop()
        names.add(node.name())
        waiting += [one for one, _ in node.next_functions if one is not None]
    assert not any("Pad" in name or "Index" in name or "Upsample" in name for name in names), names
    assert "FlipBackward0" in names
