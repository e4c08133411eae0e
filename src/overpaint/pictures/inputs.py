"""The pictures of one run: read, checked against the encoder's needs, and brought to size."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from PIL import Image, ImageOps

from overpaint.pictures.carried import Carried, carried
from overpaint.pictures.colour.keeping import brought_to
from overpaint.pictures.decoding import decoded_whole
from overpaint.pictures.deep.picture import Picture
from overpaint.pictures.io import fit_size, read_bytes, require_edge, resize, size_of
from overpaint.pictures.masks import NO_MASKS, Masks, RegionMask

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SizedInputs:
    """Pictures at the sizes, and in the colours, in which they are compared."""

    content: Picture
    styles: Sequence[Picture]
    """The paintings; with regions and the photo's colours, one for each region that has one."""
    start: Picture | None
    """The picture to start from, as large as the photo, if there is one."""
    colours: Picture | None = None
    """The photo, where the others are grey and what is painted shall have its colours."""
    masks: Masks = NO_MASKS
    """In the sizes of their pictures, with the numbers of these paintings."""

    @property
    def photo(self) -> Picture:
        """The photo in its own colours."""
        return self.colours or self.content


@dataclass(frozen=True)
class Inputs:
    """The pictures of one run, in the sizes of their files; a large JPEG perhaps smaller."""

    content: Picture
    styles: Sequence[Picture]
    start: Picture | None
    """The picture to start from, if there is one."""
    names: tuple[str, ...]
    """Of photo and paintings, for messages: their files, if they have any."""
    hashes: Mapping[str, str] = field(default_factory=dict)
    """The SHA-256 of each file that was read, in hexadecimal, by its name."""
    keep: str = "none"
    """What of the photo's colours is kept: a value of `color.keep`."""
    match_lightness: bool = False
    """Whether paintings without colours become as light as the photo."""
    carried: Carried = field(default_factory=Carried)
    """What results may keep of the photo's metadata."""
    masks: Masks = NO_MASKS
    """What is said of places."""

    def at(self, long_edge: int, *, style_scale: float = 1.0) -> SizedInputs:
        """The same pictures for a result of a size.

        Args:
            long_edge: of the result, in pixels; its aspect is the photo's.
            style_scale: longer edge of each painting as a share of that.
        """
        size, *sizes = self.sizes(long_edge, style_scale=style_scale)
        photo = resize(self.content, size)
        styles = [resize(style, own) for style, own in zip(self.styles, sizes, strict=True)]
        start = None if self.start is None else _fill(self.start, size)
        masks = self.masks.at(size, sizes)
        if self.keep == "none":
            return SizedInputs(photo, styles, start, masks=masks)
        is_grey = self.keep == "luminance"
        if start is not None and (is_grey or any(self.start is style for style in self.styles)):
            start = self._in_its_colours(photo, start)
        if masks.regions:
            styles, masks = self._by_region(photo, styles, masks)
        else:
            styles = [self._in_its_colours(photo, style) for style in styles]
        return SizedInputs(
            content=brought_to(photo, photo, "luminance") if is_grey else photo,
            styles=styles,
            start=start,
            colours=photo if is_grey else None,
            masks=masks,
        )

    def _by_region(
        self, photo: Picture, styles: Sequence[Picture], masks: Masks
    ) -> tuple[list[Picture], Masks]:
        """A painting for each region, in the photo's colours there, and masks that number them."""
        own: list[Picture] = []
        regions = []
        for region in masks.regions:
            if region.painting is None:
                regions.append(region)
                continue
            regions.append(replace(region, painting=len(own)))
            own.append(self._in_its_colours(photo, styles[region.painting], region))
        return own, replace(masks, regions=tuple(regions))

    def _in_its_colours(
        self, photo: Picture, painting: Picture, region: RegionMask | None = None
    ) -> Picture:
        return brought_to(
            photo,
            painting,
            self.keep,
            match_lightness=self.match_lightness,
            where=None if region is None else region.mask,
            within=None if region is None else region.within,
        )

    def sizes(self, long_edge: int, *, style_scale: float = 1.0) -> list[tuple[int, int]]:
        """(height, width) of the photo and of each painting as `at` brings them to size."""
        style_edge = max(1, round(long_edge * style_scale))
        styles = [fit_size(size_of(style), style_edge) for style in self.styles]
        return [fit_size(size_of(self.content), long_edge), *styles]

    def smallest_edge(self, minimum: int, *, style_scale: float = 1.0) -> int:
        """The least `long_edge` for `at` that leaves `minimum` pixels to every edge, unrounded."""
        scaled = [(1.0, self.content), *((style_scale, style) for style in self.styles)]
        return max(
            math.ceil(minimum * max(image.size) / (min(image.size) * scale))
            for scale, image in scaled
        )


def load_inputs(
    content: str,
    styles: Sequence[str],
    *,
    start: str | None = None,
    edge: int | None = None,
    max_pixels: int | None = None,
) -> Inputs:
    """Reads the pictures of one run, each file once.

    Args:
        content: file of the photo; its aspect is the result's.
        styles: files of the paintings.
        start: file of a picture to start from.
        edge: longer edge in pixels that no picture is to be larger than; a JPEG of many times that
            is decoded to a few times that.
        max_pixels: that a file may have.

    Raises:
        ImageError: if a file cannot be read.
        NotEnoughMemoryError: if there is not enough memory for one.
    """
    pictures: dict[str, Picture] = {}
    hashes: dict[str, str] = {}
    kept = Carried()
    for name in dict.fromkeys([content, *styles, *([start] if start is not None else [])]):
        data = read_bytes(name)  # a pipe gives them only once
        pictures[name] = decoded_whole(data, name, edge=edge, max_pixels=max_pixels)
        hashes[name] = hashlib.sha256(data).hexdigest()
        if name == content:
            kept = carried(data, name)
    return Inputs(
        pictures[content],
        [pictures[path] for path in styles],
        None if start is None else pictures[start],
        names=(content, *styles),
        hashes=hashes,
        carried=kept,
    )


def require_edges(
    inputs: Inputs, sized: SizedInputs, minimum: int, *, style_scale: float = 1.0
) -> None:
    """Checks that photo and paintings are large enough for the encoder.

    Args:
        inputs: the pictures as they were read.
        sized: the same at the size of the result.
        minimum: pixels that the encoder needs on each edge.
        style_scale: as it was given to `Inputs.at`.

    Raises:
        ImageError: if one is too small once resized.
    """
    enough = inputs.smallest_edge(minimum, style_scale=style_scale)
    sizes = inputs.sizes(max(sized.content.size), style_scale=style_scale)
    pictures = (inputs.content, *inputs.styles)
    for picture, size, name in zip(pictures, sizes, inputs.names, strict=True):
        require_edge(picture, size, minimum, name, enough=enough)
    if sized.content.width > inputs.content.width:
        logger.info(
            "%s is %dx%d and is enlarged to %dx%d; a smaller image.size costs less.",
            *(inputs.names[0], *inputs.content.size, *sized.content.size),
        )


def _fill(image: Picture, size: tuple[int, int]) -> Picture:
    """Resizes to cover a (height, width) and crops what stands out, centred."""
    wide = size[1], size[0]
    if isinstance(image, Image.Image):
        return ImageOps.fit(image, wide, Image.Resampling.LANCZOS)
    scale = min(image.width / wide[0], image.height / wide[1])
    left, top = ((have - scale * take) / 2 for have, take in zip(image.size, wide, strict=True))
    return image.resampled(wide, (left, top, image.width - left, image.height - top))
