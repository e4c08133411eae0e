"""Grey pictures that say where: black is nowhere, white is wholly."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from PIL import Image, ImageChops

from overpaint.errors import ImageError
from overpaint.pictures.decoding import decoded_mask
from overpaint.pictures.deep.picture import Picture
from overpaint.pictures.io import read_bytes, size_of

# By how much the aspect of a mask may differ from its picture's: scaled down, both are rounded.
_ASPECT = 0.02


@dataclass(frozen=True)
class RegionMask:
    """Where a painting goes, and where in it that is from; masks are of mode L."""

    mask: Image.Image
    painting: int | None
    """Its number among the paintings; None: the photo stays."""
    within: Image.Image | None = None
    """None: all of the painting."""
    weight: float = 1.0


@dataclass(frozen=True)
class Masks:
    """All that is said about places, of mode L and in any sizes, or in those of the pictures."""

    regions: tuple[RegionMask, ...] = ()
    style: Image.Image | None = None
    """How much of the style weight counts at a place."""
    content: Image.Image | None = None
    """How much of the content weight."""

    def by_setting(self) -> dict[str, Image.Image]:
        """Each mask under the setting that names it."""
        found = {"content.weight_map": self.content, "style.weight_map": self.style}
        for i, region in enumerate(self.regions):
            found[f"regions[{i}].content_mask"] = region.mask
            found[f"regions[{i}].style_mask"] = region.within
        return {setting: mask for setting, mask in found.items() if mask is not None}

    def at(self, size: tuple[int, int], paintings: Sequence[tuple[int, int]]) -> Masks:
        """The same in the sizes of the pictures.

        Args:
            size: (height, width) of the result.
            paintings: of each painting.
        """

        def brought(mask: Image.Image | None, size: tuple[int, int]) -> Image.Image | None:
            return None if mask is None else _resized(mask, size)

        return Masks(
            tuple(
                replace(
                    region,
                    mask=_resized(region.mask, size),
                    within=None
                    if region.painting is None
                    else brought(region.within, paintings[region.painting]),
                )
                for region in self.regions
            ),
            style=brought(self.style, size),
            content=brought(self.content, size),
        )


NO_MASKS = Masks()


@dataclass(frozen=True)
class MaskFiles:
    """Reads masks, each file once, and checks each against its picture.

    Args:
        names: setting to file.
        hashes: takes in the SHA-256 of each file that is read, by its name.
        in_memory: setting to the mask itself, mode L, where there is no file.
        max_pixels: that a file may have; by default as many as Pillow lets pass.
    """

    names: Mapping[str, str]
    hashes: dict[str, str]
    in_memory: Mapping[str, Image.Image] = field(default_factory=dict)
    max_pixels: int | None = None

    def read(self, setting: str, whose: str, picture: Picture) -> Image.Image | None:
        """The mask of a setting, if there is one.

        Args:
            setting: that names it.
            whose: the picture's file, for messages.
            picture: that it is a mask of.

        Raises:
            ImageError: if it cannot be read, is black, or of another aspect than the picture.
        """
        if setting not in self.names:
            return None
        name = self.names[setting]
        mask = self.in_memory.get(setting)
        if mask is None:
            data = read_bytes(name)
            mask = decoded_mask(data, name, max_pixels=self.max_pixels)
            self.hashes[name] = hashlib.sha256(data).hexdigest()
        if not mask.getbbox():
            raise ImageError(f"{setting}: '{name}' is black everywhere; paint white what is meant.")
        ratio = mask.width * picture.height / (mask.height * picture.width)
        if not 1 / (1 + _ASPECT) <= ratio <= 1 + _ASPECT:
            raise ImageError(
                f"{setting}: '{name}' is {mask.width}x{mask.height}, of another aspect than "
                f"'{whose}', {picture.width}x{picture.height}; draw it over that picture."
            )
        return mask


def covered(regions: Sequence[RegionMask]) -> Image.Image:
    """How much of each place regions cover together, mode L, in the size of the first mask."""
    total = regions[0].mask
    for region in regions[1:]:
        total = ImageChops.add(total, _resized(region.mask, size_of(total)))
    return total


def _resized(mask: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Resamples to a (height, width) without the overshoot that Lanczos has at edges."""
    if size_of(mask) == size:
        return mask
    return mask.resize((size[1], size[0]), Image.Resampling.BILINEAR)
