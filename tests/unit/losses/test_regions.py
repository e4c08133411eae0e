"""Regions and weight maps in the objective."""

from __future__ import annotations

import pytest
import torch
from conftest import draw, quickly, random_tensors
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from overpaint.encoder.layers import SLIM_LAYER_NAMES
from overpaint.encoder.vgg import Vgg19Features
from overpaint.losses.guides import Guides, Region
from overpaint.losses.objective import LossTerms, Objective
from overpaint.losses.regions import guidance
from overpaint.losses.summing import Summing

pytestmark = pytest.mark.usefixtures("one_thread")

TENSORS = random_tensors()
layers = st.lists(st.sampled_from(SLIM_LAYER_NAMES), min_size=1, max_size=4, unique=True)
a_height = st.one_of(st.just(0), st.integers(1, 40))
BOTH = pytest.mark.parametrize("statistics", ["gram", "covariance"])


def pictures(size: tuple[int, int], number: int, seed: int, dtype: torch.dtype) -> Tensor:
    return draw((number, 3, *size), seed).mul_(0.3).add_(0.5).float().to(dtype)


def a_mask(size: tuple[int, int], seed: int) -> Tensor:
    """Soft, and black at the left."""
    mask = torch.rand((1, 1, *size), generator=torch.Generator().manual_seed(seed))
    mask[..., : size[1] // 3] = 0
    return mask


def measured(
    encoder: Vgg19Features, image: Tensor, guides: Guides | None, **settings: object
) -> tuple[LossTerms, Tensor]:
    photo = pictures((image.shape[-2], image.shape[-1]), 1, 1, image.dtype)
    painting = 0.6 * pictures((37, 45), 1, 2, image.dtype)
    objective = Objective(
        encoder.to(image.dtype),
        photo,
        [painting, painting.flip(2).square()],
        guides=guides,
        tv_weight=2.0,
        **settings,  # type: ignore[arg-type]
    )
    image = image.detach().requires_grad_()
    terms = objective(image)
    return terms, torch.autograd.grad(terms.total.sum(), image)[0]


def all_of_it(size: tuple[int, int]) -> Guides:
    """Says of places what is so without a word."""
    ones = torch.ones(1, 1, *size)
    region = Region(ones, [1.0, 1.0], torch.ones(1, 1, 37, 45))
    return Guides((region,), style=ones, content=ones)


def everything(size: tuple[int, int]) -> Guides:
    """Two regions, one of a part of a painting, beside what stays of the photo, and both maps."""
    mask = a_mask(size, 1)
    first = Region(mask, [1.0, 0.0], a_mask((37, 45), 2), weight=2.0)
    second = Region((1 - mask) / 2, [0.0, 1.0])
    kept = (1 - mask) / 2
    return Guides((first, second), style=a_mask(size, 3), content=a_mask(size, 4), kept=kept)


def apart(one: Tensor, other: Tensor) -> float:
    one, other = one.detach().double(), other.detach().double()
    return float((one - other).norm() / other.norm())


@BOTH
@pytest.mark.parametrize("size", [(64, 48), (61, 47)])
def test_one_mask_of_ones_is_no_mask(statistics: str, size: tuple[int, int]) -> None:
    encoder = Vgg19Features(["relu5_1"], TENSORS, whole=True)
    image = pictures(size, 2, 3, torch.float64)
    plain, gradient = measured(encoder, image, None, statistics=statistics)
    terms, found = measured(encoder, image, all_of_it(size), statistics=statistics)
    for name, value in plain.named().items():
        torch.testing.assert_close(terms.named()[name], value, rtol=1e-6, atol=0)
    assert apart(found, gradient) < 1e-6


@pytest.mark.parametrize(
    ("normalization", "statistics"),
    [("relative", "gram"), ("relative", "covariance"), ("gatys", "gram"), ("paper", "gram")],
)
def test_in_float32_one_mask_of_ones_is_no_mask_to_a_millionth(
    normalization: str, statistics: str
) -> None:
    encoder = Vgg19Features(["relu5_1"], TENSORS, whole=True)
    image = pictures((64, 48), 1, 3, torch.float32)
    settings = {"normalization": normalization, "statistics": statistics}
    plain, _ = measured(encoder, image, None, **settings)
    terms, _ = measured(encoder, image, all_of_it((64, 48)), **settings)
    assert apart(terms.total, plain.total) < 1e-6


@quickly
@given(
    height=st.integers(16, 75),
    width=st.integers(16, 40),
    heights=st.tuples(*[a_height] * 5),
    content=layers,
    style=layers,
    whole=st.booleans(),
    statistics=st.sampled_from(["gram", "covariance"]),
)
def test_in_bands_regions_are_the_same(
    height: int,
    width: int,
    heights: tuple[int, ...],
    content: list[str],
    style: list[str],
    whole: bool,
    statistics: str,
) -> None:
    encoder = Vgg19Features([*content, *style], TENSORS, whole=whole)
    image = pictures((height, width), 2, 3, torch.float64)
    guides = everything((height, width))
    settings: dict[str, object] = {
        "content_layers": dict.fromkeys(content, 1.0),
        "style_layers": dict.fromkeys(style, 0.5),
        "statistics": statistics,
    }
    exact, gradient = measured(encoder, image, guides, **settings)
    terms, found = measured(encoder, image, guides, bands=heights, **settings)
    for name, value in exact.named().items():
        torch.testing.assert_close(terms.named()[name], value, rtol=1e-12, atol=1e-300)
    assert apart(found, gradient) < 1e-12


@BOTH
def test_in_float32_bands_are_equal_to_a_millionth(statistics: str) -> None:
    encoder = Vgg19Features(["relu5_1"], TENSORS, whole=True)
    image = pictures((96, 64), 1, 3, torch.float32)
    guides = everything((96, 64))
    plain, _ = measured(encoder, image, guides, statistics=statistics)
    banded, _ = measured(encoder, image, guides, statistics=statistics, bands=(16, 8, 6, 4, 2))
    assert apart(banded.total, plain.total) < 1e-6


@BOTH
def test_the_gradient_is_that_which_differences_show(statistics: str) -> None:
    encoder = Vgg19Features(["relu2_1"], TENSORS, pooling="avg", whole=True).double()
    image = pictures((8, 8), 1, 3, torch.float64)
    photo, painting = (pictures((8, 8), 1, seed, torch.float64) for seed in (1, 2))
    objective = Objective(
        encoder,
        photo,
        [painting],
        content_layers={"relu2_1": 1.0},
        style_layers={"relu1_1": 1.0, "relu2_1": 0.5},
        statistics=statistics,
        guides=Guides((Region(a_mask((8, 8), 1), [1.0]),), kept=a_mask((8, 8), 2)),
    )
    assert torch.autograd.gradcheck(
        lambda x: objective(x).total, (image.requires_grad_(),), eps=1e-7, atol=1e-4
    )


@BOTH
def test_a_region_feels_as_much_style_as_a_picture_of_its_own(statistics: str) -> None:
    """Of 1x1 positions that see nothing else: two halves, each with half of the whole's loss."""
    encoder = Vgg19Features(["relu1_1"], TENSORS)
    settings: dict[str, object] = {
        "content_layers": {"relu1_1": 1.0},
        "style_layers": {"relu1_1": 1.0},
        "content_weight": 0.0,
        "statistics": statistics,
    }
    size = (40, 40)
    half = torch.zeros(1, 1, *size)
    half[..., :20] = 1
    once = pictures((40, 20), 1, 3, torch.float64)
    twice = torch.cat([once, once.flip(3)], 3)  # mirrored: statistics of both halves are one
    regions = (Region(half, [1.0, 0.0]), Region(1 - half, [1.0, 0.0]))
    whole, _ = measured(encoder, twice, None, image_weights=[1.0, 0.0], **settings)
    parts, _ = measured(encoder, twice, Guides(regions), **settings)
    torch.testing.assert_close(parts.style, whole.style, rtol=0.1, atol=0)


def test_nothing_is_painted_where_the_photo_is_kept() -> None:
    encoder = Vgg19Features(["relu5_1"], TENSORS, whole=True)
    image = pictures((64, 48), 1, 3, torch.float64)
    kept = torch.zeros(1, 1, 64, 48)
    kept[:, :, :20] = 1
    region = Region(1 - kept, [1.0, 0.0])
    _, gradient = measured(encoder, image, Guides((region,), kept=kept))
    assert not gradient[:, :, :20].any()
    assert gradient[:, :, 20:].any()


def test_weights_of_a_position_are_the_average_over_its_pixels() -> None:
    encoder = Vgg19Features(["relu3_1"], TENSORS, whole=True)
    mask = a_mask((10, 13), 1)  # mirrored to (12, 16)
    maps = guidance(Summing(encoder, ("relu1_1", "conv2_1", "relu3_1")), mask)
    assert torch.equal(maps["relu1_1"][:10, :13], mask[0, 0])
    torch.testing.assert_close(maps["conv2_1"][1, 3], mask[0, 0, 2:4, 6:8].mean())
    assert maps["relu3_1"].shape == (3, 4)
    torch.testing.assert_close(maps["relu3_1"][1, 2], mask[0, 0, 4:8, 8:12].mean())


def test_a_map_that_halves_a_weight_halves_its_loss() -> None:
    encoder = Vgg19Features(["relu5_1"], TENSORS, whole=True)
    image = pictures((64, 48), 1, 3, torch.float64)
    half = torch.full((1, 1, 64, 48), 0.5)
    plain, _ = measured(encoder, image, None)
    style, _ = measured(encoder, image, Guides(style=half))
    content, _ = measured(encoder, image, Guides(content=half))
    torch.testing.assert_close(style.style, plain.style / 2, rtol=1e-9, atol=0)
    torch.testing.assert_close(style.content, plain.content)
    torch.testing.assert_close(content.content, plain.content / 2, rtol=1e-9, atol=0)
    torch.testing.assert_close(content.style, plain.style)


def test_a_part_of_a_painting_is_what_counts_of_it() -> None:
    """A painting beside another one, masked, is the painting alone, beyond the borders' zeros."""
    encoder = Vgg19Features(["relu1_1"], TENSORS)
    image = pictures((32, 32), 1, 3, torch.float64)
    one, other = (pictures((200, 200), 1, seed, torch.float64) for seed in (5, 6))
    mask = torch.zeros(1, 1, 200, 400)
    mask[..., :200] = 1
    ones = torch.ones(1, 1, 32, 32)
    settings: dict[str, object] = {
        "content_layers": {"relu1_1": 1.0},
        "style_layers": {"relu1_1": 1.0},
    }

    def style(painting: Tensor, within: Tensor | None) -> Tensor:
        guides = Guides((Region(ones, [1.0], within),))
        objective = Objective(encoder.double(), image, [painting], guides=guides, **settings)  # type: ignore[arg-type]
        return objective(image).style

    beside = torch.cat([one, 0.2 * other], 3)
    torch.testing.assert_close(style(beside, mask), style(one, None), rtol=0.1, atol=0)
    assert apart(style(beside, None), style(one, None)) > 1


@pytest.mark.parametrize("statistics", ["gram", "covariance"])
def test_a_region_lost_between_positions_costs_nothing_and_stays_finite(statistics: str) -> None:
    encoder = Vgg19Features(["relu5_1"], TENSORS)  # drops what is left over by a pooling
    mask = torch.zeros(1, 1, 47, 47)
    mask[..., 46:, 46:] = 1
    image = pictures((47, 47), 1, 3, torch.float64)
    region = Region(mask, [1.0, 0.0])
    terms, gradient = measured(encoder, image, Guides((region,)), statistics=statistics)
    assert all(torch.isfinite(value).all() for value in terms.named().values())
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("statistics", ["gram", "covariance"])
def test_a_part_of_a_painting_that_is_lost_at_a_size_is_all_of_it(statistics: str) -> None:
    encoder = Vgg19Features(["relu5_1"], TENSORS, whole=True)
    image = pictures((48, 48), 1, 3, torch.float64)
    ones = torch.ones(1, 1, 48, 48)
    lost, whole = (
        measured(
            encoder, image, Guides((Region(ones, [1.0, 0.0], within),)), statistics=statistics
        )[0]
        for within in (torch.zeros(1, 1, 37, 45), None)
    )
    assert torch.equal(lost.total, whole.total)
