"""Picture files to upright 8-bit sRGB pictures, and back."""

from __future__ import annotations

import errno
import io
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from overpaint.errors import ImageError, NotEnoughMemoryError, WriteError, brief
from overpaint.files import write_bytes
from overpaint.pictures.decoding import decoded, quiet_pillow
from overpaint.pictures.formats import SAVE_OPTIONS

_LARGEST_FILE = 1 << 31  # bytes; more than any picture that is not refused for its pixels
_BLOCK = 1 << 20
_USUAL_SIZES = 8192  # longer edges up to this are worth a thought


def read_picture(path: str | Path) -> Image.Image:
    """Reads the first frame of a picture as it is meant to look.

    Turned by its EXIF orientation, converted from its ICC profile to sRGB, laid over white where it
    is transparent, 16-bit grey scaled to 8. Damaged metadata is told in a line and left out.

    Args:
        path: a JPEG, PNG, WebP, TIFF, BMP or GIF file, AVIF or HEIC where Pillow reads them; or a
            pipe, which is read once.

    Returns:
        A picture of mode RGB.

    Raises:
        ImageError: if the file is missing, empty, damaged, no picture, or too large to decode.
        NotEnoughMemoryError: if there is not enough memory to decode it.
    """
    return decoded(read_bytes(path), path)


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


def size_of(image: Image.Image) -> tuple[int, int]:
    """The (height, width) of a picture; Pillow itself says (width, height)."""
    return image.height, image.width


def resize(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Resamples to a (height, width) with a Lanczos filter."""
    if size_of(image) == size:
        return image
    return image.resize((size[1], size[0]), Image.Resampling.LANCZOS)


def require_edge(
    image: Image.Image, size: tuple[int, int], minimum: int, path: str | Path, *, enough: int
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
    with quiet_pillow():
        try:
            with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
                with suppress(OSError, SyntaxError):  # pixels cut short; texts may be before them
                    picture.load()
                return {
                    str(key): str(one) for key, one in picture.info.items() if isinstance(one, str)
                }
        except UnidentifiedImageError:
            raise ImageError(f"'{path}': not a PNG, or a damaged one.") from None
        except Exception as error:  # on damaged files Pillow's readers raise nearly anything
            raise ImageError(f"'{path}': its texts cannot be read ({brief(error)}).") from error


def save_picture(
    image: Image.Image, path: str | Path, text: Mapping[str, str] | None = None
) -> None:
    """Writes a picture in the format of the file's ending, whole or not at all.

    Args:
        image: a picture of mode RGB.
        path: ends in .png, .jpg, .jpeg, .webp, .tif or .tiff.
        text: keywords and texts for PNG's own text chunks; other formats go without.

    Raises:
        ImageError: if the ending is not one of these.
        WriteError: if the file cannot be written, or the picture is too large for the format.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SAVE_OPTIONS:
        raise ImageError(f"'{path}': cannot write '{suffix}'; use .png, .jpg, .webp or .tif.")
    options = dict(SAVE_OPTIONS[suffix])
    if suffix == ".png":
        options["pnginfo"] = info = PngInfo()
        for keyword, value in (text or {}).items():
            info.add_itxt(keyword, value, zip=True)
    data = io.BytesIO()  # on a full disk, Pillow's encoders would say "encoder error -2"
    try:
        image.save(data, Image.registered_extensions()[suffix], **options)
    except (OSError, ValueError) as error:  # each format has a size limit
        raise WriteError(errno.EFBIG, str(error), str(path)) from error
    write_bytes(path, data.getvalue())
