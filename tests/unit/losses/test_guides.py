from __future__ import annotations

import numpy as np
import torch
from conftest import draw
from PIL import Image
from torch import Tensor

from overpaint.losses.guides import (
    build_guides,
    kept_photo,
    recolored_where,
    shares_of,
)
from overpaint.pictures.colour.recoloring import recolored
from overpaint.pictures.masks import NO_MASKS, Masks, RegionMask


def grey(*levels: int) -> Image.Image:
    """A mask of one row."""
    return Image.fromarray(np.array([levels], np.uint8))


def row(x: Tensor) -> list[float]:
    return [round(value, 3) for value in x.flatten().tolist()]


def test_shares_of_a_place_are_at_most_all_of_it() -> None:
    regions = (RegionMask(grey(255, 255, 51, 0), 0), RegionMask(grey(0, 255, 51, 0), 1))
    shares = shares_of(Masks(regions))
    assert row(shares[0]) == [1, 0.5, 0.2, 0]
    assert row(shares[1]) == [0, 0.5, 0.2, 0]


def test_the_photo_stays_where_no_painting_goes() -> None:
    painted, stays = RegionMask(grey(255, 255, 51, 0), 0), RegionMask(grey(0, 255, 0, 0), None)
    kept = kept_photo(Masks((painted, stays)))
    assert kept is not None
    assert row(kept) == [0, 0.5, 0.8, 1]


def test_nothing_of_the_photo_stays_where_regions_cover_all_of_it() -> None:
    assert kept_photo(Masks((RegionMask(grey(255, 255), 0),))) is None
    assert kept_photo(Masks(style=grey(0, 255))) is None


def test_regions_without_a_painting_or_weight_are_no_part_of_the_loss() -> None:
    regions = (
        RegionMask(grey(255, 0), 1, weight=3.0),
        RegionMask(grey(0, 255), None),
        RegionMask(grey(0, 255), 0, weight=0.0),
    )
    guides = build_guides(Masks(regions, content=grey(51, 255)), 2)
    assert guides is not None
    (region,) = guides.regions
    assert (region.shares, region.weight, region.within) == ([0.0, 1.0], 3.0, None)
    assert row(region.mask) == [1, 0]
    assert guides.content is not None
    assert row(guides.content) == [0.2, 1]
    assert guides.style is None


def test_without_masks_there_are_no_guides() -> None:
    assert build_guides(NO_MASKS, 1) is None


def test_each_region_starts_in_the_colours_of_its_painting_and_the_rest_in_its_own() -> None:
    photo, one, other = (draw((1, 3, 8, 12), seed).float().sigmoid() for seed in (1, 2, 3))
    left = np.zeros((8, 12), np.uint8)
    left[:, :4] = 255
    middle = np.roll(left, 4, 1)
    regions = (RegionMask(Image.fromarray(left), 0), RegionMask(Image.fromarray(middle), 1))
    start = recolored_where(photo, [one, other], Masks(regions))
    torch.testing.assert_close(start[..., :4], recolored(photo[..., :4], [one]))
    torch.testing.assert_close(start[..., 4:8], recolored(photo[..., 4:8], [other]))
    torch.testing.assert_close(start[..., 8:], photo[..., 8:])


def test_a_part_of_a_painting_gives_its_own_colours() -> None:
    photo, painting = (draw((1, 3, 8, 12), seed).float().sigmoid() for seed in (1, 2))
    within = np.zeros((8, 12), np.uint8)
    within[:3] = 255
    everywhere = Image.new("L", (12, 8), 255)
    masks = Masks((RegionMask(everywhere, 0, Image.fromarray(within)),))
    expected = recolored(photo, [painting[:, :, :3]])
    torch.testing.assert_close(recolored_where(photo, [painting], masks), expected)
