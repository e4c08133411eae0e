from __future__ import annotations

import math

import pytest
import torch
from judging.colours import chroma_difference, foreign_tints, oklab, palette_distance
from judging.faults import border, checkerboard, clipped, noise
from judging.structure import blurred, edges_kept, ghosts, layout_kept, scaled
from judging.wasserstein import MOST_POINTS, directions, sliced_wasserstein
from torch import Tensor

pytestmark = pytest.mark.usefixtures("one_thread")

HEIGHT, WIDTH = 96, 128


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def clouds(seed: int, sharpness: int = 16) -> Tensor:
    """A picture of soft shapes, within [0.1, 0.9]."""
    coarse = torch.rand(1, 3, sharpness * 3 // 4, sharpness, generator=generator(seed))
    smooth = torch.nn.functional.interpolate(coarse, (HEIGHT, WIDTH), mode="bicubic")
    return (0.1 + 0.8 * smooth).clamp(0.1, 0.9)


def test_directions_are_the_same_unit_vectors_each_time() -> None:
    sides = directions(5)
    torch.testing.assert_close(sides.norm(dim=0), torch.ones(64))
    assert torch.equal(sides, directions(5))


def test_the_distance_of_a_cloud_moved_is_how_far_it_moved_along_each_direction() -> None:
    points = torch.randn(3000, 4, generator=generator(0))
    moved = points[torch.randperm(3000, generator=generator(1))] + torch.tensor([3.0, 0, -1, 2])
    expected = (torch.tensor([3.0, 0, -1, 2]) @ directions(4)).square().mean()
    assert sliced_wasserstein(points, points.flip(0)) == pytest.approx(0, abs=1e-10)
    assert sliced_wasserstein(points, moved) == pytest.approx(float(expected), rel=1e-4)


def test_the_distance_of_two_gaussians_is_that_of_the_closed_form() -> None:
    """(mean - mean)^2 + (deviation - deviation)^2; the clouds differ in their number of points."""
    a = 1 + 2 * torch.randn(MOST_POINTS, 1, generator=generator(0))
    b = -1 + 0.5 * torch.randn(3 * MOST_POINTS, 1, generator=generator(1))
    assert sliced_wasserstein(a, b) == pytest.approx(2**2 + 1.5**2, rel=0.03)


@pytest.mark.parametrize(
    ("colour", "expected"),
    [
        ((1, 1, 1), (1, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((1, 0, 0), (0.62796, 0.22486, 0.12585)),
        ((0, 0, 1), (0.45201, -0.03246, -0.31153)),
    ],
)
def test_oklab_has_the_published_values(
    colour: tuple[float, ...], expected: tuple[float, ...]
) -> None:
    found = oklab(torch.tensor(colour, dtype=torch.float32).view(1, 3, 1, 1)).flatten()
    torch.testing.assert_close(found, torch.tensor(expected).float(), atol=2e-4, rtol=0)


def test_a_palette_is_what_colours_there_are_and_not_where() -> None:
    painting = clouds(0)
    shuffled = painting.flatten(2)[..., torch.randperm(HEIGHT * WIDTH, generator=generator(1))]
    assert palette_distance(shuffled.view_as(painting), painting) == pytest.approx(0, abs=1e-3)
    near, far = (palette_distance(painting * share, painting) for share in (0.95, 0.6))
    assert 0.5 < near < far / 4


def test_the_chroma_of_another_light_is_the_same_and_of_another_place_is_not() -> None:
    photo = clouds(0)
    grey = photo.mean(1, keepdim=True).expand(1, 3, -1, -1)
    assert chroma_difference(grey, 0.5 * grey) == pytest.approx(0, abs=0.01)
    assert chroma_difference(photo, photo) == 0
    assert chroma_difference(photo.flip(3), photo) > 1


def test_tints_are_foreign_if_neither_source_has_them() -> None:
    photo = torch.tensor([0.5, 0.5, 0.5]).view(1, 3, 1, 1).expand(1, 3, HEIGHT, WIDTH)
    painting = torch.tensor([0.2, 0.3, 0.7]).view(1, 3, 1, 1).expand(1, 3, HEIGHT, WIDTH)
    picture = torch.cat([photo[..., :64], painting[..., 64:]], -1)
    assert foreign_tints(picture, photo, painting) == 0
    picture[:, :, :24] = torch.tensor([0.8, 0.2, 0.6]).view(1, 3, 1, 1)
    assert foreign_tints(picture, photo, painting) == pytest.approx(0.25)


def test_a_blur_keeps_what_is_even_and_weighs_as_a_gaussian() -> None:
    even = torch.full((1, 2, 9, 7), 0.3)
    torch.testing.assert_close(blurred(even, 2.0), even)
    point = torch.zeros(1, 1, 21, 21)
    point[..., 10, 10] = 1
    spread = blurred(point, 2.0)[0, 0]
    assert float(spread[10, 12] / spread[10, 10]) == pytest.approx(math.exp(-0.5), rel=1e-5)


def test_edges_are_kept_by_other_colours_but_not_by_another_picture() -> None:
    photo = clouds(0)
    assert edges_kept(photo, photo) == pytest.approx(1, abs=1e-3)
    assert edges_kept(1 - photo, photo) > 0.7
    assert edges_kept(photo.flip(3), photo) < 0.3
    mixed = [edges_kept(torch.lerp(photo, clouds(1), share), photo) for share in (0.3, 0.7)]
    assert 1 > mixed[0] > mixed[1]


def test_a_layout_is_compared_position_by_position() -> None:
    maps = {"a": torch.randn(1, 8, 4, 5, generator=generator(0))}
    moved = {"a": maps["a"].roll(2, 3)}
    assert layout_kept(maps, maps, ["a"]) == pytest.approx(1)
    assert layout_kept(moved, maps, ["a"]) < 0.3


def test_the_photos_lines_over_other_paint_are_ghosts() -> None:
    photo = (clouds(0) + 0.1 * (clouds(2, 96) - 0.5)).clamp(0, 1)
    lines = photo - blurred(photo, 1.0)
    moved = clouds(1)
    assert ghosts(photo, photo) < 0.05
    assert ghosts(moved, photo) < 0.15
    assert ghosts(blurred(moved, 1.0) + lines, photo) > 0.4


def test_values_at_the_ends_count_beyond_those_of_the_sources() -> None:
    photo, painting = clouds(0), clouds(1)
    painting[..., :32] = 1
    picture = clouds(2)
    picture[..., :32] = 0
    assert clipped(picture, photo, painting) == 0
    picture[..., :64] = 0
    assert clipped(picture, photo, painting) == pytest.approx(0.25, abs=0.01)


def test_noise_is_told_from_the_detail_that_a_source_has() -> None:
    photo, painting = clouds(0), clouds(1, 96)
    grain = 0.2 * (torch.rand(photo.shape, generator=generator(3)) - 0.5)
    assert noise(painting, photo, painting) == 0
    assert noise(photo, photo, painting) == 0
    assert 3 < noise(photo + grain, photo, clouds(1)) < noise(photo + 3 * grain, photo, clouds(1))


def test_a_checkerboard_is_found_and_white_noise_is_none() -> None:
    photo, painting = clouds(0), clouds(1)
    rows, columns = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    board = 0.02 * ((rows + columns) % 2 * 2 - 1)
    grain = 0.2 * (torch.rand(photo.shape, generator=generator(3)) - 0.5)
    noisy = photo + grain
    assert checkerboard(noisy, noisy, painting) == 0
    assert checkerboard(noisy, photo, painting) < 3
    assert checkerboard(noisy + board, noisy, painting) > 4


def test_a_band_along_the_border_is_found() -> None:
    photo = clouds(0)
    framed = photo.clone()
    for edge in (framed[..., :4], framed[..., -4:], framed[:, :, :4], framed[:, :, -4:]):
        edge.copy_(edge * 0.5)
    assert border(photo, photo) == 0
    assert border(framed, photo) > 5


def test_only_larger_pictures_are_scaled_down() -> None:
    picture = clouds(0)
    assert scaled(picture, 200) is picture
    assert scaled(picture, 64).shape == (1, 3, 48, 64)
