"""The bytes of a picture file to a picture as it is meant to look."""

from __future__ import annotations

import io
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError, features

from overpaint.errors import ImageError, NotEnoughMemoryError, brief
from overpaint.headroom import free_bytes, in_words
from overpaint.pictures.formats import POSTSCRIPT, heif_kind, is_readable, no_picture
from overpaint.pictures.metadata import in_srgb, turn_of, without_metadata

logger = logging.getLogger(__name__)

_DEEP_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BYTES_A_PIXEL = 8  # of a picture and a copy of it, the least that reading takes
_MISSING = {
    "HEIC": "this is a HEIC picture, which needs a package (`pip install pillow-heif`); "
    "or save it as JPEG",
    "AVIF": "this is an AVIF picture, which needs Pillow 11.3 or newer "
    "(`pip install -U pillow`); or save it as JPEG",
}


def decoded(data: bytes, name: str | Path) -> Image.Image:
    """The first frame of a picture file, mode RGB, as `io.read_picture` describes it.

    Args:
        data: the whole file.
        name: of the file, for messages.

    Raises:
        ImageError: if it is empty, damaged, no picture, or too large to decode.
        NotEnoughMemoryError: if there is not enough memory to decode it.
    """
    faults: list[str] = []
    with quiet_pillow() as remarks, _quiet_libtiff(data):
        try:
            picture = _decoded_somehow(data, faults)
        except MemoryError:
            raise NotEnoughMemoryError(
                f"'{name}': there is not enough memory to open it; scale the picture down, "
                "or close other programs."
            ) from None
        except NotEnoughMemoryError as error:
            raise NotEnoughMemoryError(f"'{name}': {error}") from None
        except Image.DecompressionBombError as error:
            raise ImageError(
                f"'{name}': too many pixels to open safely ({error}); scale it down."
            ) from None
        except Exception as error:  # on damaged files Pillow's decoders raise nearly anything
            raise ImageError(f"'{name}': {_reason(data, error)}.") from error
    faults += [f"metadata ignored in part ({one})" for one in remarks if "EXIF" in one]
    if faults:
        logger.warning("'%s': %s.", name, "; ".join(dict.fromkeys(faults)))
    return picture


def _decoded_somehow(data: bytes, faults: list[str]) -> Image.Image:
    """Decodes a file, if need be without its metadata."""
    try:
        return _decoded(data, faults)
    except (MemoryError, NotEnoughMemoryError, Image.DecompressionBombError):
        raise
    except Exception as error:
        lighter = without_metadata(data)
        if lighter is None:
            raise
        try:
            picture = _decoded(lighter, faults)
        except Exception:  # the pixels are damaged too
            raise error from None
        faults[:] = [f"metadata ignored, it is damaged{_detail(error)}"]
        return picture


def _decoded(data: bytes, faults: list[str]) -> Image.Image:
    if data.startswith(POSTSCRIPT):
        raise UnidentifiedImageError("a program, which Pillow would hand to Ghostscript")
    if heif_kind(data[:100]) == "HEIC":
        _add_reader_of_heic()
    with Image.open(io.BytesIO(data)) as image:
        _require_room(image)
        image.load()
        turn = turn_of(image, faults)
        picture = _to_srgb(_with_key_as_alpha(image, data), image.info.get("icc_profile"), faults)
    return picture if turn is None else picture.transpose(turn)


def _add_reader_of_heic() -> None:
    """Pillow has none of its own."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return
    register_heif_opener()


def _require_room(image: Image.Image) -> None:
    free, needed = free_bytes(), _BYTES_A_PIXEL * image.width * image.height
    if free is not None and needed > free:
        raise NotEnoughMemoryError(
            f"{image.width}x{image.height} pixels take {in_words(needed)} of memory to open, and "
            f"{in_words(free)} are free here; scale the picture down to some "
            f"{free // _BYTES_A_PIXEL // 1_000_000} megapixels."
        )


def _reason(data: bytes, error: Exception) -> str:
    kind = heif_kind(data[:100])
    can_read = {"HEIC": "HEIF" in Image.OPEN, "AVIF": bool(features.check("avif"))}
    if kind is not None and not can_read[kind]:
        return _MISSING[kind]
    if isinstance(error, UnidentifiedImageError) and kind is None and not is_readable(data[:16]):
        return no_picture(data[:1024])
    return f"cannot be read, it may be damaged{_detail(error)}"


def _detail(error: Exception) -> str:
    """What an error says, if it says more than that it is one."""
    return "" if isinstance(error, UnidentifiedImageError) else f" ({brief(error)})"


@contextmanager
def quiet_pillow() -> Iterator[list[str]]:
    """Keeps Pillow's warnings and log lines from the screen.

    Yields:
        A list that holds the warnings at the end.
    """
    remarks: list[str] = []
    pillow = logging.getLogger("PIL")
    level = pillow.level
    pillow.setLevel(logging.CRITICAL)
    try:
        # Pillow refuses above twice its limit (179 megapixels) and merely warns below that.
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield remarks
    finally:
        remarks += [" ".join(str(one.message).split()) for one in caught]
        pillow.setLevel(level)


@contextmanager
def _quiet_libtiff(data: bytes) -> Iterator[None]:
    """Keeps libtiff's remarks on a damaged file from the screen; it writes to the file number 2."""
    if not data.startswith(_TIFF):
        yield
        return
    try:
        kept = os.dup(2)
    except OSError:  # closed
        yield
        return
    with open(os.devnull, "wb") as nothing:
        os.dup2(nothing.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _with_key_as_alpha(image: Image.Image, data: bytes) -> Image.Image:
    """A PNG with one transparent colour as one with alpha, where Pillow misreads the colour.

    PNG tells the colour in the depth of the file, and Pillow compares it with levels of 8 bits.
    """
    key = image.info.get("transparency")
    if key is None or image.format != "PNG" or image.mode not in ("L", "I;16", "RGB"):
        return image
    depth = data[24]
    if image.mode == "I;16":
        shown, opaque = _deep_to_8_bit(image), np.asarray(image) != key
    elif image.mode == "RGB" and depth == 16:
        with Image.open(io.BytesIO(data)) as low:  # the lower bytes, by reading in the wrong order
            low.tile = [(*tile[:3], "RGB;16L") for tile in low.tile]  # type: ignore[misc]
            levels = np.asarray(image).astype(np.uint16) * 256 + np.asarray(low)
        shown, opaque = image, (levels != np.array(key)).any(-1)
    elif image.mode == "L" and depth in (2, 4):
        shown, opaque = image, np.asarray(image) != key * 255 // (2**depth - 1)
    else:
        return image
    shown = shown.copy()
    shown.info.pop("transparency", None)
    shown.putalpha(Image.fromarray(opaque.astype(np.uint8) * 255))
    return shown


def _to_srgb(image: Image.Image, profile: bytes | None, faults: list[str]) -> Image.Image:
    if image.mode in _DEEP_MODES:
        return in_srgb(_deep_to_8_bit(image), profile, faults)
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        grey = image.mode in ("1", "L", "LA", "La")
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
        colour = in_srgb(image.convert("RGB").convert("L" if grey else "RGB"), profile, faults)
        colour.paste((255, 255, 255), mask=ImageOps.invert(alpha))
        return colour
    if image.mode in ("P", "1", "YCbCr"):
        image = image.convert("RGB")
    return in_srgb(image, profile, faults)


def _deep_to_8_bit(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.float64)
    full = 1.0 if image.mode == "F" else 65535.0
    if not (np.isfinite(values).all() and np.min(values) >= 0 and np.max(values) <= full):
        raise ValueError(f"grey values outside 0 to {full:g}")
    return Image.fromarray(np.round(values * (255 / full)).astype(np.uint8))
