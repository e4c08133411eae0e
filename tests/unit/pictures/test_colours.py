"""The photo in the painting's colours."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from overpaint.pictures.colour.recoloring import recolored


def coloured(seed: int, mean: tuple[float, ...], spread: float, size: int = 64) -> Tensor:
    """(1, 3, size, size): colours around a mean, each channel mixed into the others."""
    generator = torch.Generator().manual_seed(seed)
    mixing = spread * (torch.eye(3) + 0.3 * torch.randn(3, 3, generator=generator))
    noise = torch.randn(3, size * size, generator=generator).clamp(-2, 2)
    colours = mixing @ noise + torch.tensor(mean)[:, None]
    return colours.view(1, 3, size, size).clamp(0, 1)


def moments(image: Tensor) -> tuple[Tensor, Tensor]:
    colours = image[0].flatten(1)
    return colours.mean(1), torch.cov(colours)


PHOTO = coloured(1, (0.6, 0.5, 0.4), 0.15)
PAINTING = coloured(2, (0.4, 0.5, 0.55), 0.08, size=48)


def test_the_colours_have_the_paintings_mean_and_covariance() -> None:
    for found, wanted in zip(moments(recolored(PHOTO, [PAINTING])), moments(PAINTING), strict=True):
        assert (found - wanted).abs().max() < 0.06 * wanted.abs().max()


def test_a_photo_with_the_colours_already_stays_as_it_is() -> None:
    torch.testing.assert_close(recolored(PHOTO, [PHOTO]), PHOTO, atol=0.01, rtol=0)


def test_the_map_is_the_least_move_of_all_that_give_the_same_moments() -> None:
    mean, covariance = moments(PHOTO)
    goal_mean, goal = moments(PAINTING)
    colours = PHOTO[0].flatten(1) - mean[:, None]
    by_cholesky = torch.linalg.cholesky(goal) @ torch.linalg.inv(torch.linalg.cholesky(covariance))
    other = (by_cholesky @ colours + goal_mean[:, None]).view_as(PHOTO)
    least = (recolored(PHOTO, [PAINTING]) - PHOTO).square().mean()
    assert least < 0.98 * (other - PHOTO).square().mean()


def test_the_moments_of_several_paintings_are_averaged_by_their_shares() -> None:
    other = coloured(3, (0.5, 0.4, 0.5), 0.1)
    both = moments(recolored(PHOTO, [PAINTING, other], [3, 1]))[0]
    wanted = 0.75 * moments(PAINTING)[0] + 0.25 * moments(other)[0]
    torch.testing.assert_close(both, wanted, atol=0.005, rtol=0)
    equal = recolored(PHOTO, [PAINTING, other])
    assert torch.equal(equal, recolored(PHOTO, [PAINTING, other], [2, 2]))


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_a_photo_of_one_colour_takes_the_paintings_mean(level: float) -> None:
    found = recolored(torch.full((1, 3, 8, 8), level), [PAINTING])
    wanted = moments(PAINTING)[0].view(1, 3, 1, 1).expand_as(found)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def test_the_noise_of_flat_colours_is_not_stretched_to_the_paintings_range() -> None:
    grey = coloured(1, (0.5, 0.5, 0.5), 0.2)[:, :1].expand(1, 3, 64, 64)
    noise = 0.004 * torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(5))
    loud = coloured(4, (0.5, 0.5, 0.5), 0.25)
    chroma = recolored((grey + noise).clamp(0, 1), [loud]) - recolored(grey, [loud])
    assert chroma.std() < 0.1
    assert chroma.std() < 0.5 * loud.std()


def test_values_stay_in_range_and_the_photo_is_not_changed() -> None:
    photo, before = PHOTO.clone(), PHOTO.clone()
    bright = coloured(6, (0.95, 0.9, 0.9), 0.4)
    found = recolored(photo, [bright])
    assert found.min() >= 0
    assert found.max() <= 1
    assert torch.equal(photo, before)
    assert found.dtype == photo.dtype


def test_a_large_photo_is_recoloured_by_bands_of_rows_as_if_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = recolored(PHOTO, [PAINTING])
    monkeypatch.setattr("overpaint.pictures.deep.picture._BAND", 64 * 10)
    torch.testing.assert_close(recolored(PHOTO, [PAINTING]), whole, atol=2e-6, rtol=0)


@pytest.mark.parametrize("band", [64 * 10, 1 << 20])
def test_parts_of_photo_and_painting_are_all_that_counts(
    monkeypatch: pytest.MonkeyPatch, band: int
) -> None:
    monkeypatch.setattr("overpaint.pictures.deep.picture._BAND", band)
    where, within = torch.zeros(1, 1, 64, 64), torch.zeros(1, 1, 48, 48)
    where[..., 5:30, :40] = 1
    within[..., 20:, 8:] = 1
    found = recolored(PHOTO, [PAINTING], where=where, within=within)
    expected = recolored(PHOTO[..., 5:30, :40], [PAINTING[..., 20:, 8:]])
    torch.testing.assert_close(found[..., 5:30, :40], expected, atol=2e-6, rtol=0)


def test_a_part_of_which_nothing_is_left_is_the_whole() -> None:
    found = recolored(PHOTO, [PAINTING], where=torch.zeros(1, 1, 64, 64))
    assert torch.equal(found, recolored(PHOTO, [PAINTING]))
