"""The pictures of one run: read, checked against the encoder's needs, and brought to size."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageOps

from neural_style.images import fit_size, load_picture, require_edge, resize, size_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Inputs:
    """Pictures of mode RGB, at the sizes at which they are compared."""

    content: Image.Image
    styles: list[Image.Image]
    style_start: Image.Image
    """The first style picture, cropped to the result's shape."""
    file_start: Image.Image | None
    """The picture to start from, likewise."""


def load_inputs(
    content: str,
    styles: Sequence[str],
    *,
    start: str | None = None,
    long_edge: int,
    minimum_edge: int = 1,
) -> Inputs:
    """Reads the pictures of one run.

    Args:
        content: file of the photo; its aspect is the result's.
        styles: files of the paintings.
        start: file of a picture to start from.
        long_edge: longer edge in pixels of the result, and of each painting.
        minimum_edge: pixels that the encoder needs on each edge.

    Raises:
        ImageError: if a file cannot be read, or is too small once resized.
    """
    photo = load_picture(content)
    size = fit_size(size_of(photo), long_edge)
    require_edge(photo, size, minimum_edge, content)
    if max(size_of(photo)) < long_edge:
        logger.info(
            "%s is %dx%d and is enlarged to %dx%d; a smaller image.size costs less.",
            *(content, photo.width, photo.height, size[1], size[0]),
        )
    paintings = [load_picture(path) for path in styles]
    for painting, path in zip(paintings, styles, strict=True):
        require_edge(painting, fit_size(size_of(painting), long_edge), minimum_edge, path)
    return Inputs(
        content=resize(photo, size),
        styles=[resize(p, fit_size(size_of(p), long_edge)) for p in paintings],
        style_start=_fill(paintings[0], size),
        file_start=None if start is None else _fill(load_picture(start), size),
    )


def _fill(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Resizes to cover a (height, width) and crops what stands out, centred."""
    return ImageOps.fit(image, (size[1], size[0]), Image.Resampling.LANCZOS)
