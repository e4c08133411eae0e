"""Picture files to upright 8-bit sRGB pictures, and back."""

from __future__ import annotations

import io
import logging
import struct
import warnings
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from overpaint.errors import ImageError
from overpaint.files import replacing
from overpaint.pictures.formats import SAVE_OPTIONS

logger = logging.getLogger(__name__)

# What Pillow's decoders raise on damaged files besides OSError.
_DAMAGED = (SyntaxError, ValueError, EOFError, IndexError, KeyError, struct.error, zlib.error)
_DEEP_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")


def read_picture(path: str | Path) -> Image.Image:
    """Reads the first frame of a picture as it is meant to look.

    Turned by its EXIF orientation, converted from its ICC profile to sRGB, laid over white where it
    is transparent, 16-bit grey scaled to 8.

    Args:
        path: a JPEG, PNG, WebP, TIFF, BMP or GIF file.

    Returns:
        A picture of mode RGB.

    Raises:
        ImageError: if the file is missing, empty, damaged, no picture, or too large to decode.
    """
    path = Path(path)
    try:
        with warnings.catch_warnings():
            # Pillow refuses above twice its limit (179 megapixels) and merely warns below that.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            warnings.filterwarnings("ignore", message="Palette images with Transparency")
            with Image.open(path) as image:
                image.load()
                return _to_srgb(ImageOps.exif_transpose(image))
    except FileNotFoundError:
        raise ImageError(f"'{path}': no such file (from {Path.cwd()}).") from None
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"'{path}': too many pixels to open safely ({error}); scale it down."
        ) from None
    except UnidentifiedImageError:
        empty = path.stat().st_size == 0
        reason = "the file is empty" if empty else "not a picture that can be read"
        raise ImageError(f"'{path}': {reason}; use JPEG, PNG, WebP, TIFF, BMP or GIF.") from None
    except (OSError, *_DAMAGED) as error:
        raise ImageError(f"'{path}': cannot be read, it may be damaged ({error}).") from error


def _to_srgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if image.mode in _DEEP_MODES:
        return _apply_profile(_deep_to_8_bit(image), profile)
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        grey = image.mode in ("1", "L", "LA", "La")
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
        colour = _apply_profile(image.convert("RGB").convert("L" if grey else "RGB"), profile)
        colour.paste((255, 255, 255), mask=ImageOps.invert(alpha))
        return colour
    if image.mode in ("P", "1", "YCbCr"):
        image = image.convert("RGB")
    return _apply_profile(image, profile)


def _apply_profile(image: Image.Image, profile: bytes | None) -> Image.Image:
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(
                image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
            assert converted is not None  # only an in-place conversion returns None
            return converted
        except (ImageCms.PyCMSError, OSError, ValueError) as error:
            logger.warning("Colour profile ignored (%s); colours may be a little off.", error)
    return image.convert("RGB")


def _deep_to_8_bit(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.float64)
    full = 1.0 if image.mode == "F" else 65535.0
    if not (np.isfinite(values).all() and np.min(values) >= 0 and np.max(values) <= full):
        raise ValueError(f"grey values outside 0 to {full:g}")
    return Image.fromarray(np.round(values * (255 / full)).astype(np.uint8))


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


def require_edge(image: Image.Image, size: tuple[int, int], minimum: int, path: str | Path) -> None:
    """Checks that a picture, resized to `size`, is large enough for the encoder.

    Raises:
        ImageError: if an edge is under `minimum` pixels; names the file and the way out.
    """
    if min(size) < minimum:
        raise ImageError(
            f"'{path}': {image.width}x{image.height} becomes {size[1]}x{size[0]} pixels, but the "
            f"chosen layers need {minimum} on each edge; use a larger image.size, crop the "
            "picture, or choose shallower layers."
        )


def save_picture(
    image: Image.Image, path: str | Path, text: Mapping[str, str] | None = None
) -> None:
    """Writes a picture in the format of the file's ending, whole or not at all.

    Args:
        image: a picture of mode RGB.
        path: ends in .png, .jpg, .jpeg, .webp, .tif or .tiff.
        text: keywords and texts for PNG's own text chunks; other formats go without.

    Raises:
        ImageError: if the ending is not one of these or the file cannot be written.
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
    try:
        with replacing(path) as temporary:
            image.save(temporary, **options)
    except (OSError, ValueError) as error:  # a ValueError says that the format has a size limit
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"'{path}': cannot be written ({reason}).") from error
