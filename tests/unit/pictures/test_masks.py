from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import make_picture
from PIL import Image

from overpaint.errors import ImageError
from overpaint.files import file_sha256
from overpaint.pictures.decoding import as_mask
from overpaint.pictures.masks import NO_MASKS, MaskFiles, Masks, RegionMask, covered


def half(size: tuple[int, int], level: int = 255) -> Image.Image:
    """White at the left, of a (width, height)."""
    levels = np.zeros((size[1], size[0]), np.uint8)
    levels[:, : size[0] // 2] = level
    return Image.fromarray(levels)


def test_masks_come_to_the_sizes_of_their_pictures_without_overshoot() -> None:
    region = RegionMask(half((64, 48)), 1, half((30, 40), 128), weight=2.0)
    sized = Masks((region,), style=half((8, 6))).at((24, 32), [(5, 5), (20, 15)])
    (found,) = sized.regions
    assert (found.mask.size, found.painting, found.weight) == ((32, 24), 1, 2.0)
    assert found.within is not None
    assert found.within.size == (15, 20)
    assert sized.style is not None
    assert (sized.style.size, sized.content) == ((32, 24), None)
    assert found.within.getextrema() == (0, 128)
    assert np.asarray(found.mask)[:, :15].min() == 255


def test_no_masks_stay_none_at_any_size() -> None:
    assert NO_MASKS.at((24, 32), [(5, 5)]) == NO_MASKS


def test_what_regions_cover_is_at_most_all() -> None:
    right = half((64, 48)).transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize((32, 24))
    regions = [RegionMask(half((64, 48)), 0), RegionMask(right, None), RegionMask(right, 0)]
    assert np.asarray(covered(regions)).min() > 200
    assert np.asarray(covered(regions[:1]))[:, 32:].max() == 0


def test_a_mask_is_grey_whatever_its_file_is(tmp_path: Path) -> None:
    path, photo = tmp_path / "mask.jpg", make_picture((64, 48), seed=1)
    half((32, 24)).convert("RGB").save(path, quality=95)
    hashes: dict[str, str] = {}
    mask = MaskFiles({"it": str(path)}, hashes).read("it", "photo.png", photo)
    assert mask is not None
    assert (mask.mode, mask.size) == ("L", (32, 24))
    assert hashes == {str(path): file_sha256(path)}


def test_a_mask_scaled_down_from_its_picture_has_its_aspect(tmp_path: Path) -> None:
    photo = make_picture((451, 300), seed=1)
    for width in range(40, 460, 7):
        half((width, round(width * 300 / 451))).save(tmp_path / "mask.png")
        files = MaskFiles({"it": str(tmp_path / "mask.png")}, {})
        assert files.read("it", "photo.png", photo) is not None


@pytest.mark.parametrize("size", [(451, 310), (440, 300), (300, 451), (100, 100)])
def test_a_mask_of_another_aspect_is_none_of_this_picture(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    half(size).save(tmp_path / "mask.png")
    files = MaskFiles({"it": str(tmp_path / "mask.png")}, {})
    with pytest.raises(ImageError, match=f"it: .* is {size[0]}x{size[1]}, of another aspect than"):
        files.read("it", "photo.png", make_picture((451, 300), seed=1))


def test_a_mask_that_nobody_named_is_none() -> None:
    assert MaskFiles({}, {}).read("it", "photo.png", make_picture((8, 8), seed=1)) is None


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
def test_what_is_transparent_in_a_mask_is_not_meant(tmp_path: Path, form: str) -> None:
    """White strokes on a transparent layer, as drawing programs save them."""
    strokes = Image.new("RGBA", (64, 48), (255, 255, 255, 0))
    strokes.putalpha(half((64, 48)))
    strokes.save(tmp_path / "mask", form, lossless=True)
    files = MaskFiles({"mask": str(tmp_path / "mask")}, {})
    found = files.read("mask", "photo.png", make_picture((64, 48), 1))
    assert found is not None
    assert np.array_equal(np.asarray(found), np.asarray(half((64, 48))))
    assert np.array_equal(np.asarray(as_mask(strokes)), np.asarray(found))
