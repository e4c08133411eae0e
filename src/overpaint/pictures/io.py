"""Picture files to upright sRGB pictures, and back."""

from __future__ import annotations

import errno
import io
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import overload

from PIL import Image, UnidentifiedImageError

from overpaint.errors import ImageError, NotEnoughMemoryError, WriteError, brief
from overpaint.files import write_bytes
from overpaint.pictures.decoding import decoded, decoded_whole
from overpaint.pictures.deep.picture import DeepPicture, Picture, in_8_bits
from overpaint.pictures.encoding import Beside, encoded
from overpaint.pictures.formats import DEEP_SUFFIXES, SAVE_OPTIONS
from overpaint.pictures.quiet import ANY_SIZE, pixels_at_most, quiet_pillow

_LARGEST_FILE = 1 << 31  # bytes; more than any picture that is not refused for its pixels
_BLOCK = 1 << 20
_SEARCHED = 150_000_000  # pixels; in a larger PNG texts behind them are not looked for
_USUAL_SIZES = 8192  # longer edges up to this are worth a thought


def read_picture(path: str | Path, *, max_pixels: int | None = None) -> Image.Image:
    """Reads the first frame of a picture as it is meant to look.

    Turned by its EXIF orientation, converted from its ICC profile to sRGB, laid over white where it
    is transparent, in 8 bits per channel. Damaged metadata is told in a line and left out.

    Args:
        path: a JPEG, PNG, WebP, TIFF, BMP or GIF file, AVIF or HEIC where Pillow reads them; or a
            pipe, which is read once.
        max_pixels: that it may have; by default as many as Pillow lets pass.

    Returns:
        A picture of mode RGB.

    Raises:
        ImageError: if the file is missing, empty, damaged, no picture, or too large to decode.
        NotEnoughMemoryError: if there is not enough memory to decode it.
    """
    return decoded(read_bytes(path), path, max_pixels=max_pixels)


def read_result(path: str | Path) -> Image.Image:
    """Reads a picture that a run made or has accepted, which may be of any size.

    Arguments and errors are otherwise those of `read_picture`.
    """
    return read_picture(path, max_pixels=ANY_SIZE)


def read_whole(
    path: str | Path, *, edge: int | None = None, max_pixels: int | None = None
) -> Picture:
    """The same, of 16 bits per channel if the file or its colours ask for it.

    Arguments and errors are those of `decoded_whole`.
    """
    return decoded_whole(read_bytes(path), path, edge=edge, max_pixels=max_pixels)


def read_bytes(path: str | Path) -> bytes:
    """Reads a file or a pipe to its end.

    Raises:
        ImageError: if that cannot be done, or it is larger than a picture can be.
    """
    content = io.BytesIO()
    try:
        with open(path, "rb") as file:
            while block := file.read(_BLOCK):
                content.write(block)
                if content.tell() > _LARGEST_FILE:
                    raise ImageError(f"'{path}': over 2 GiB, too large for a picture.")
    except FileNotFoundError:
        raise ImageError(f"'{path}': no such file (from {Path.cwd()}).") from None
    except OSError as error:
        raise ImageError(f"'{path}': cannot be read ({error.strerror or error}).") from error
    except MemoryError:
        raise NotEnoughMemoryError(
            f"'{path}': there is not enough memory to read the file; scale the picture down, "
            "or close other programs."
        ) from None
    return content.getvalue()


def fit_size(size: tuple[int, int], long_edge: int) -> tuple[int, int]:
    """Scales a (height, width) so that the longer one equals `long_edge`, keeping the aspect."""
    scale = long_edge / max(size)
    height, width = (max(1, round(edge * scale)) for edge in size)
    return height, width


def size_of(image: Picture) -> tuple[int, int]:
    """The (height, width) of a picture; Pillow itself says (width, height)."""
    return image.height, image.width


@overload
def resize(image: Image.Image, size: tuple[int, int]) -> Image.Image: ...


@overload
def resize(image: Picture, size: tuple[int, int]) -> Picture: ...


def resize(image: Picture, size: tuple[int, int]) -> Picture:
    """Resamples to a (height, width) with a Lanczos filter."""
    if size_of(image) == size:
        return image
    if isinstance(image, DeepPicture):
        return image.resampled((size[1], size[0]))
    return image.resize((size[1], size[0]), Image.Resampling.LANCZOS)


def require_edge(
    image: Picture, size: tuple[int, int], minimum: int, path: str | Path, *, enough: int
) -> None:
    """Checks that a picture, resized to `size`, is large enough for the encoder.

    Args:
        image: as it was read.
        size: (height, width) that it becomes.
        minimum: pixels that the encoder needs on each edge.
        path: of the picture, for the message.
        enough: the `image.size` that would do.

    Raises:
        ImageError: if an edge is under `minimum` pixels; names the file and the way out.
    """
    if min(size) < minimum:
        larger = f"use image.size={enough}, " if enough <= _USUAL_SIZES else ""
        raise ImageError(
            f"'{path}': {image.width}x{image.height} becomes {size[1]}x{size[0]} pixels, but the "
            f"chosen layers need {minimum} on each edge; {larger}crop the picture, or choose "
            "shallower layers."
        )


def read_png_text(path: str | Path) -> dict[str, str]:
    """Reads the texts in a PNG: keyword to text, of its tEXt, zTXt and iTXt chunks.

    Pillow keeps each of them under a megabyte, unpacked.

    Raises:
        ImageError: if the file is missing, no PNG, or its texts are damaged.
    """
    data = read_bytes(path)
    with quiet_pillow(), pixels_at_most(ANY_SIZE):
        try:
            with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
                if picture.width * picture.height <= _SEARCHED:
                    with suppress(OSError, SyntaxError):  # cut short; texts may be before that
                        picture.load()
                return {
                    str(key): str(one) for key, one in picture.info.items() if isinstance(one, str)
                }
        except UnidentifiedImageError:
            raise ImageError(f"'{path}': not a PNG, or a damaged one.") from None
        except Exception as error:  # on damaged files Pillow's readers raise nearly anything
            raise ImageError(f"'{path}': its texts cannot be read ({brief(error)}).") from error


def save_picture(
    picture: Picture,
    path: str | Path,
    text: Mapping[str, str] | None = None,
    *,
    resolution: tuple[float, float] | None = None,
    exif: bytes | None = None,
) -> None:
    """Writes a picture in the format of the file's ending, whole or not at all.

    Args:
        picture: of mode RGB, or of 16 bits per channel, which JPEG and WebP get in 8.
        path: ends in .png, .jpg, .jpeg, .webp, .tif or .tiff.
        text: keywords and texts for PNG's own text chunks; other formats go without.
        resolution: pixels an inch, across and down; WebP goes without.
        exif: a block of EXIF.

    Raises:
        ImageError: if the ending is not one of these.
        WriteError: if the file cannot be written, or the picture is too large for the format.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SAVE_OPTIONS:
        raise ImageError(f"'{path}': cannot write '{suffix}'; use .png, .jpg, .webp or .tif.")
    if suffix not in DEEP_SUFFIXES:
        picture = in_8_bits(picture)
    try:
        data = encoded(picture, suffix, Beside(text, resolution, exif))
    except (OSError, ValueError) as error:  # each format has a size limit
        raise WriteError(errno.EFBIG, str(error), str(path)) from error
    write_bytes(path, data)
