"""An objective that is measured in bands is the same objective."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from conftest import draw, quickly, random_tensors
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from overpaint.encoder.layers import SLIM_LAYER_NAMES, minimum_edge
from overpaint.encoder.vgg import Vgg19Features
from overpaint.losses.objective import LossTerms, Objective

pytestmark = pytest.mark.usefixtures("one_thread")

layers = st.lists(st.sampled_from(SLIM_LAYER_NAMES), min_size=1, max_size=4, unique=True)
a_height = st.one_of(st.just(0), st.integers(1, 40))  # 0: the block is computed whole
TENSORS = random_tensors()


def pictures(size: tuple[int, int], number: int, seed: int, dtype: torch.dtype) -> Tensor:
    return draw((number, 3, *size), seed).mul_(0.3).add_(0.5).float().to(dtype)


def measured(
    encoder: Vgg19Features, image: Tensor, heights: Sequence[int] | None, **settings: object
) -> tuple[LossTerms, Tensor]:
    """The terms of images and their gradient; photo and painting are of odd sizes of their own."""
    photo = pictures(tuple(image.shape[-2:]), 1, 1, image.dtype)
    painting = 0.6 * pictures((37, 45), 1, 2, image.dtype)
    objective = Objective(
        encoder.to(image.dtype),
        photo,
        [painting, painting.flip(3)],
        bands=heights or (),
        tv_weight=2.0,
        **settings,  # type: ignore[arg-type]
    )
    terms = objective(image.requires_grad_())
    return terms, torch.autograd.grad(terms.total.sum(), image)[0]


def apart(one: Tensor, other: Tensor) -> float:
    one, other = one.detach().double(), other.detach().double()
    return float((one - other).norm() / other.norm())


@quickly
@given(
    height=st.integers(16, 75),
    width=st.integers(16, 40),
    batch=st.integers(1, 2),
    heights=st.tuples(*[a_height] * 5),
    content=layers,
    style=layers,
    pooling=st.sampled_from(["max", "avg"]),
    whole=st.booleans(),
    statistics=st.sampled_from(["gram", "covariance"]),
    channels_last=st.booleans(),
)
def test_losses_and_gradient_are_those_of_the_whole(
    height: int,
    width: int,
    batch: int,
    heights: tuple[int, ...],
    content: list[str],
    style: list[str],
    pooling: str,
    whole: bool,
    statistics: str,
    channels_last: bool,
) -> None:
    encoder = Vgg19Features([*content, *style], TENSORS, pooling=pooling, whole=whole)  # type: ignore[arg-type]
    image = pictures((height, width), batch, 3, torch.float64)
    if channels_last:
        image = image.to(memory_format=torch.channels_last)
    settings: dict[str, object] = {
        "content_layers": dict.fromkeys(content, 1.0),
        "style_layers": dict.fromkeys(style, 0.5),
        "statistics": statistics,
    }
    exact, gradient = measured(encoder, image, None, **settings)
    terms, found = measured(encoder, image, heights, **settings)
    for name, value in exact.named().items():
        torch.testing.assert_close(terms.named()[name], value, rtol=1e-12, atol=0)
    assert apart(found, gradient) < 1e-12
    assert found.stride() == gradient.stride()


@pytest.mark.parametrize("size", [(64, 48), (61, 47), (96, 33)])
@pytest.mark.parametrize("pooling", ["max", "avg"])
@pytest.mark.parametrize(
    ("normalization", "statistics"),
    [("relative", "gram"), ("relative", "covariance"), ("gatys", "gram"), ("paper", "gram")],
)
def test_in_float32_bands_are_equal_to_a_millionth_or_to_the_rounding_of_the_whole(
    size: tuple[int, int], pooling: str, normalization: str, statistics: str
) -> None:
    """Gradients of covariances are differences of large numbers: float32 is off by 1e-6 itself."""
    encoder = Vgg19Features(["relu5_1"], TENSORS, pooling=pooling, whole=True)  # type: ignore[arg-type]
    image = pictures(size, 1, 3, torch.float32)
    settings = {"normalization": normalization, "statistics": statistics}
    plain, gradient = measured(encoder, image, None, **settings)
    banded, found = measured(encoder, image, (16, 8, 6, 4, 2), **settings)
    exact, true = measured(encoder, image.detach().double(), None, **settings)
    rounding = apart(plain.total, exact.total), apart(gradient, true)
    assert apart(banded.total, plain.total) < max(1e-6, 2 * rounding[0])
    assert apart(found, gradient) < max(1e-6, 2 * rounding[1])


def test_bands_in_bfloat16_are_as_near_to_float32_as_the_whole_is() -> None:
    encoder = Vgg19Features(["relu5_1"], TENSORS, whole=True)
    encoder = encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    image = pictures((96, 64), 1, 3, torch.float32).to(memory_format=torch.channels_last)
    exact, gradient = measured(encoder, image, None)
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        plain, rounded = measured(encoder, image, None)
        banded, found = measured(encoder, image, (16, 8, 6, 4, 2))
    assert apart(banded.total, exact.total) < max(0.01, 2 * apart(plain.total, exact.total))
    assert apart(found, gradient) < 1.25 * apart(rounded, gradient)
    assert found.dtype == torch.float32


def test_the_photo_is_kept_in_the_dtype_of_its_features() -> None:
    encoder = Vgg19Features(["relu5_1"], TENSORS)
    photo = pictures((32, 32), 1, 1, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        kept = [
            Objective(encoder, photo, [photo], bands=bands).content_targets["relu4_2"]
            for bands in ((), (8, 4, 4, 2, 0))
        ]
    for one in kept:
        assert one.value.dtype == torch.bfloat16
        assert one.scale.dtype == torch.float32
    assert apart(kept[0].value.float(), kept[1].value.float()) < 0.01


def test_small_layers_need_a_picture_of_their_least_edge() -> None:
    encoder = Vgg19Features(["relu5_1"], TENSORS)
    photo = pictures((minimum_edge(["relu5_1"]), 15), 1, 1, torch.float32)
    with pytest.raises(ValueError, match="is too small"):
        Objective(encoder, photo, [photo], bands=(8,) * 5)
