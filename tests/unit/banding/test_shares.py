"""Which rows of a picture each process measures, and that their sums are those of the whole."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from conftest import draw, quickly, random_tensors
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from overpaint.banding.bands import Rows
from overpaint.banding.shares import Part, Share, divided, halo
from overpaint.encoder.layers import SLIM_LAYER_NAMES, minimum_edge
from overpaint.encoder.vgg import Vgg19Features
from overpaint.losses.guides import Guides, Region
from overpaint.losses.objective import LossTerms, Objective

pytestmark = pytest.mark.usefixtures("one_thread")
TENSORS = random_tensors()


@pytest.mark.parametrize(
    ("layers", "rows"),
    [(["relu1_1"], 1), (["relu1_2"], 2), (["conv2_1"], 4), (["relu4_1", "relu1_1"], 32)],
)
def test_the_halo_is_what_the_deepest_layer_reads(layers: list[str], rows: int) -> None:
    """conv2_1 reads 1 row beyond its own, which is 2 rows and conv1_1, conv1_2: 4 of the image."""
    assert halo(layers) == rows


def test_the_halo_of_the_default_layers_is_70_rows_to_where_poolings_begin() -> None:
    assert halo(["relu5_1", "relu4_2"]) == 80


@quickly
@given(
    layer=st.sampled_from(SLIM_LAYER_NAMES),
    height=st.integers(16, 3000),
    processes=st.integers(2, 9),
)
def test_each_row_counts_in_one_part(layer: str, height: int, processes: int) -> None:
    parts, multiple = divided([layer], height, processes), minimum_edge([layer])
    if not parts:
        return
    assert len(parts) == processes
    assert [part.first for part in parts] == [0, *(part.last for part in parts[:-1])]
    assert parts[-1].last == height
    for part in parts:
        assert part.last - part.first >= multiple
        assert part.first % multiple == part.top % multiple == 0
        assert part.bottom == height or part.bottom % multiple == 0
        assert part.top == max(0, part.first - halo([layer]))
        assert part.bottom == min(height, part.last + halo([layer]))
        assert part.bottom - part.top < height
    rows = [part.bottom - part.top for part in parts]
    if max(rows) > 4 * halo([layer]):
        assert max(rows) - min(rows) <= 3 * multiple, "the work is not even"


@pytest.mark.parametrize(("height", "processes"), [(96, 2), (160, 3), (40, 8), (16, 2), (15, 2)])
def test_a_low_picture_is_not_divided(height: int, processes: int) -> None:
    assert divided(["relu5_1"], height, processes) == ()


def test_rows_that_count_are_found_in_maps_that_are_halved() -> None:
    part = Part(first=128, last=256, top=48, bottom=336, height=500)
    assert part.rows(0, 288, None) == Rows(0, 128, 80, 128)
    assert part.rows(3, 36, None) == Rows(0, 16, 10, 16)


def test_rows_of_a_band_count_where_they_are_of_the_part() -> None:
    part = Part(first=32, last=64, top=16, bottom=80, height=96)
    across = part.rows(0, 64, Rows(8, 16, 3, 64))
    assert across == Rows(0, 8, 11, 32)
    assert part.rows(0, 64, Rows(0, 8, 0, 64)).count == 0
    assert part.rows(0, 64, Rows(56, 8, 2, 64)).count == 0


def test_the_parts_of_a_map_are_all_of_it() -> None:
    parts = divided(["relu5_1"], 500, 3)
    rows = torch.arange(500 // 8)
    assert torch.equal(torch.cat([rows[part.own(3)] for part in parts]), rows)


def test_the_lowest_part_has_the_rows_that_are_mirrored_below_it() -> None:
    part = Part(first=64, last=93, top=48, bottom=93, height=93)
    assert part.rows(4, 3, None) == Rows(0, 2, 1, 2)


def in_processes(number: int, work: Callable[[Share], Any]) -> list[Any]:
    """What each of some processes, played by threads, makes of its share."""
    barrier, given = threading.Barrier(number, timeout=60), [[Tensor()]] * number

    def share(place: int) -> Share:
        def total(sums: Sequence[Tensor]) -> Sequence[Tensor]:
            """The gradient is that of the own sums, as each process has."""
            given[place] = [one.detach() for one in sums]
            barrier.wait()
            added = [torch.stack(one).sum(0) for one in zip(*given, strict=True)]
            barrier.wait()
            return [one + (all_ - one).detach() for one, all_ in zip(sums, added, strict=True)]

        return Share(place, number, total)

    with ThreadPoolExecutor(number) as pool:
        return [*pool.map(work, map(share, range(number)))]


def a_mask(size: tuple[int, int], seed: int) -> Tensor:
    return torch.rand((1, 1, *size), generator=torch.Generator().manual_seed(seed))


def everything(size: tuple[int, int], painting: tuple[int, int]) -> Guides:
    """A region of a part of a painting, one of all of it, what stays of the photo, both maps."""
    mask = a_mask(size, 1)
    mask[:, :, : size[0] // 3] = 0  # some processes have nothing of it
    first = Region(mask, [1.0], a_mask(painting, 2), weight=2.0)
    second = Region((1 - mask) / 2, [1.0])
    kept = (1 - mask) / 2
    return Guides((first, second), style=a_mask(size, 3), content=a_mask(size, 4), kept=kept)


def measured(
    encoder: Vgg19Features,
    image: Tensor,
    share: Share | None,
    *,
    is_guided: bool = False,
    **settings: Any,
) -> tuple[LossTerms, Tensor]:
    photo = draw(tuple(image.shape), 1).mul(0.3).add(0.5).to(image)
    painting = draw((1, 3, image.shape[2] - 3, 41), 2).mul(0.2).add(0.4).to(image)
    height, width = image.shape[-2:]
    guides = everything((height, width), (height - 3, 41)) if is_guided else None
    objective = Objective(
        encoder.to(image.dtype),
        photo,
        [painting],
        share=share,
        guides=guides,
        tv_weight=2.0,
        **settings,
    )
    image = image.clone().requires_grad_()
    terms = objective(image)
    return terms, torch.autograd.grad(terms.total.sum(), image)[0]


layers = st.lists(st.sampled_from(SLIM_LAYER_NAMES), min_size=1, max_size=3, unique=True)


@quickly
@given(
    height=st.integers(40, 300),
    width=st.integers(16, 24),
    processes=st.integers(2, 4),
    bands=st.one_of(st.none(), st.tuples(*[st.integers(0, 40)] * 5)),
    content=layers,
    style=layers,
    pooling=st.sampled_from(["max", "avg"]),
    whole=st.booleans(),
    statistics=st.sampled_from(["gram", "covariance"]),
    channels_last=st.booleans(),
    is_guided=st.booleans(),
)
def test_losses_and_gradients_of_the_parts_are_those_of_the_whole(
    height: int,
    width: int,
    processes: int,
    bands: tuple[int, ...] | None,
    content: list[str],
    style: list[str],
    pooling: Any,
    whole: bool,
    statistics: str,
    channels_last: bool,
    is_guided: bool,
) -> None:
    encoder = Vgg19Features([*content, *style], TENSORS, pooling=pooling, whole=whole)
    encoder = encoder.double()
    image = draw((1, 3, height, width), 3).mul(0.3).add(0.5)
    if channels_last:
        image = image.to(memory_format=torch.channels_last)
    settings: dict[str, Any] = {
        "content_layers": dict.fromkeys(content, 1.0),
        "style_layers": dict.fromkeys(style, 0.5),
        "statistics": statistics,
        "is_guided": is_guided,
    }
    exact, gradient = measured(encoder, image, None, **settings)
    if bands is not None:
        settings["bands"] = bands
    found = in_processes(processes, lambda share: measured(encoder, image, share, **settings))
    for terms, _ in found:
        for name, value in exact.named().items():
            torch.testing.assert_close(terms.named()[name], value, rtol=1e-10, atol=1e-14)
    own = [gradient for _, gradient in found]
    is_divided = bool(divided([*content, *style], height, processes))
    summed = torch.stack(own).sum(0) if is_divided else own[0]
    assert float((summed - gradient).norm() / gradient.norm()) < 1e-10
