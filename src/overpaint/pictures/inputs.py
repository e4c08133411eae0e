"""The pictures of one run: read, checked against the encoder's needs, and brought to size."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageOps

from overpaint.pictures.io import fit_size, load_picture, require_edge, resize, size_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Inputs:
    """Pictures of mode RGB, as they were read or at the sizes at which they are compared."""

    content: Image.Image
    styles: list[Image.Image]
    start: Image.Image | None
    """The picture to start from, if there is one."""

    def at(self, long_edge: int, *, style_scale: float = 1.0) -> Inputs:
        """The same pictures for a result of a size.

        Args:
            long_edge: of the result, in pixels; its aspect is the photo's.
            style_scale: longer edge of each painting as a share of that.
        """
        size = fit_size(size_of(self.content), long_edge)
        style_edge = max(1, round(long_edge * style_scale))
        return Inputs(
            content=resize(self.content, size),
            styles=[resize(style, fit_size(size_of(style), style_edge)) for style in self.styles],
            start=None if self.start is None else _fill(self.start, size),
        )

    def smallest_edge(self, minimum: int, *, style_scale: float = 1.0) -> int:
        """The least `long_edge` for `at` that leaves `minimum` pixels to every edge."""
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
    long_edge: int,
    style_scale: float = 1.0,
    minimum_edge: int = 1,
) -> Inputs:
    """Reads the pictures of one run, in the sizes of their files.

    Args:
        content: file of the photo; its aspect is the result's.
        styles: files of the paintings.
        start: file of a picture to start from.
        long_edge: longer edge of the result in pixels.
        style_scale: longer edge of each painting as a share of that.
        minimum_edge: pixels that the encoder needs on each edge at that size.

    Raises:
        ImageError: if a file cannot be read, or is too small once resized.
    """
    inputs = Inputs(
        load_picture(content),
        [load_picture(path) for path in styles],
        None if start is None else load_picture(start),
    )
    sized = inputs.at(long_edge, style_scale=style_scale)
    require_edge(inputs.content, size_of(sized.content), minimum_edge, content)
    for original, style, path in zip(inputs.styles, sized.styles, styles, strict=True):
        require_edge(original, size_of(style), minimum_edge, path)
    if max(size_of(inputs.content)) < long_edge:
        logger.info(
            "%s is %dx%d and is enlarged to %dx%d; a smaller image.size costs less.",
            *(content, *inputs.content.size, *sized.content.size),
        )
    return inputs


def _fill(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Resizes to cover a (height, width) and crops what stands out, centred."""
    return ImageOps.fit(image, (size[1], size[0]), Image.Resampling.LANCZOS)
