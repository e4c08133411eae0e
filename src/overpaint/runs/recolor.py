"""A finished picture in the colours of its photo. PyTorch is not needed."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from overpaint.errors import ConfigError, ImageError
from overpaint.files import file_sha256, named_file, require_writable
from overpaint.pictures.carried import carried
from overpaint.pictures.colour.keeping import recolored_after
from overpaint.pictures.decoding import decoded_whole
from overpaint.pictures.deep.picture import Picture
from overpaint.pictures.formats import SAVE_OPTIONS
from overpaint.pictures.io import (
    fit_size,
    read_bytes,
    read_png_text,
    read_whole,
    resize,
    save_picture,
    size_of,
)
from overpaint.pictures.quiet import ANY_SIZE
from overpaint.records.provenance import recolored_text
from overpaint.records.reading import read_run

logger = logging.getLogger(__name__)

_OFF = 2  # pixels by which the shape of a result may be off its photo's, by rounding


def recolor(
    result: str | Path, photo: str | Path | None, output: str | Path, *, keep: str = "luminance"
) -> Path:
    """Brings a finished picture to the colours of a photo.

    Args:
        result: a picture, or the folder of a run, whose `result.png` it is then.
        photo: of any size; None for the photo of the run.
        output: the file to write, .png, .jpg, .webp or .tif. What a run wrote into the PNG of its
            result stands in a PNG again; bits per channel, resolution and EXIF are the result's.
        keep: `luminance`: the lightness of the result, the chroma of the photo, which then has the
            same shape; `statistics` or `histogram`: as of the setting `color.keep`.

    Returns:
        The path of the file.

    Raises:
        ConfigError: if there is no photo, or it is not of the result's shape, `keep` is unknown, or
            the file cannot be one.
        ImageError: if a picture cannot be read.
        WriteError: if the file cannot be written.
    """
    if "" in (result, photo):
        raise ConfigError("recolor: a name is empty; name a picture and a photo.")
    picture = Path(os.path.expanduser(result))
    if os.path.isdir(picture):
        photo = _photo_of(picture) if photo is None else photo
        if not os.path.isfile(picture / "result.png"):
            raise ConfigError(f"recolor: '{result}' is a folder without a result.png; name a file.")
        picture = picture / "result.png"
    if photo is None:
        raise ConfigError("recolor: name the photo behind the result, or the folder of its run.")
    photo = Path(os.path.expanduser(photo))
    path = _named(output, (picture, photo))
    data = read_bytes(picture)
    painted = decoded_whole(data, picture, max_pixels=ANY_SIZE)
    original = read_whole(photo, max_pixels=ANY_SIZE)
    if keep == "luminance":
        _require_shape(painted, original, picture, photo)
    original = resize(original, _size_for(painted, original, keep))
    recolored = recolored_after(painted, original, keep)
    text = {**_text_of(picture), **recolored_text(keep, photo.name)}
    beside = carried(data, picture)
    save_picture(recolored, path, text, resolution=beside.resolution, exif=beside.exif)
    logger.info("Recoloured: %s (%s of '%s')", path, keep, photo)
    return path


def _photo_of(run: Path) -> Path:
    """The photo that a run read.

    Raises:
        ConfigError: if it is not known, or not there any more.
    """
    record = read_run(run)
    content = record.settings.get("content")
    name: Any = content.get("image") if isinstance(content, Mapping) else None
    if not isinstance(name, str) or record.result is None:
        raise ConfigError(f"recolor: '{run}' holds no result of a run; name a picture and a photo.")
    way_out = "name it: overpaint recolor RUN PHOTO"
    if not os.path.isfile(name):
        raise ConfigError(f"recolor: the photo of the run, '{name}', is gone; {way_out}")
    expected = record.outcome.inputs.get("content.image")
    try:
        found = file_sha256(name)
    except OSError as error:
        raise ConfigError(f"recolor: '{name}' cannot be read ({error.strerror}).") from None
    if expected not in (None, found):
        raise ConfigError(
            f"recolor: '{name}' is not the photo that the run read (sha256 {found[:12]}, not "
            f"{str(expected)[:12]}); {way_out}"
        )
    return Path(name)


def _size_for(painted: Picture, original: Picture, keep: str) -> tuple[int, int]:
    """The (height, width) at which a photo gives its colours: the result's, or none larger."""
    if keep == "luminance":
        return size_of(painted)
    long_edge = min(max(painted.size), max(original.size))
    return fit_size(size_of(original), long_edge)


def _require_shape(painted: Picture, original: Picture, picture: Path, photo: Path) -> None:
    """Says that a photo lies pixel for pixel under a result.

    Raises:
        ConfigError: if their shapes differ.
    """
    wanted = fit_size(size_of(original), max(painted.size))
    if any(abs(a - b) > _OFF for a, b in zip(wanted, size_of(painted), strict=True)):
        raise ConfigError(
            f"recolor: '{photo}' is {original.width}x{original.height} and '{picture}' "
            f"{painted.width}x{painted.height}, which is another shape; name the photo that was "
            "painted, or use --keep statistics or histogram."
        )


def _text_of(picture: Path) -> dict[str, str]:
    """What a run wrote into a PNG; empty for other files, and for a pipe, which is read by now."""
    if not picture.is_file():
        return {}
    try:
        return read_png_text(picture)
    except ImageError:
        return {}


def _named(output: str | Path, sources: tuple[Path, ...]) -> Path:
    """The file to write.

    Raises:
        ConfigError: if it cannot be one, or is one of the pictures read.
    """
    path = named_file(output, SAVE_OPTIONS, "recolor")
    for source in sources:
        if os.path.exists(path) and os.path.exists(source) and os.path.samefile(path, source):
            raise ConfigError(f"recolor: '{output}' is '{source}' itself and would be overwritten.")
    require_writable(path, f"recolor: '{output}'")
    return path
