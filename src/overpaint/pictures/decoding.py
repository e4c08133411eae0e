"""The bytes of a picture file to a picture as it is meant to look."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError, features

from overpaint.errors import ImageError, NotEnoughMemoryError, brief
from overpaint.headroom import free_bytes, in_words, sharing
from overpaint.pictures.deep.libvips import DeepFile
from overpaint.pictures.deep.picture import DeepPicture, Picture
from overpaint.pictures.deep.widening import deep_file, from_file, from_grey, through, wide_profile
from overpaint.pictures.formats import POSTSCRIPT, heif_kind, is_readable, no_picture
from overpaint.pictures.metadata import in_srgb, turn_by, turn_of, without_metadata
from overpaint.pictures.quiet import pixels_at_most, quiet_libtiff, quiet_pillow

T = TypeVar("T")

logger = logging.getLogger(__name__)

_DEEP_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")
_LARGE = 50_000_000  # pixels; a smaller JPEG is always decoded to its full size
_SPARE = 2  # times the edge needed: with so much left to resample, a smaller decoding is not seen
_BYTES_A_PIXEL = 8  # of a picture and a copy of it, the least that reading takes
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)
_MISSING = {
    "HEIC": "this is a HEIC picture, which needs a package (`pip install pillow-heif`); "
    "or save it as JPEG",
    "AVIF": "this is an AVIF picture, which needs Pillow 11.3 or newer "
    "(`pip install -U pillow`); or save it as JPEG",
}


def decoded(data: bytes, name: str | Path, *, max_pixels: int | None = None) -> Image.Image:
    """The first frame of a picture file, mode RGB, as `io.read_picture` describes it.

    Args:
        data: the whole file.
        name: of the file, for messages.
        max_pixels: that a picture may have; by default as many as Pillow lets pass.

    Raises:
        ImageError: if it is empty, damaged, no picture, or too large to decode.
        NotEnoughMemoryError: if there is not enough memory to decode it.
    """
    return _reading(data, name, max_pixels, _decoded)


def decoded_mask(data: bytes, name: str | Path, *, max_pixels: int | None = None) -> Image.Image:
    """A picture that says where, mode L; arguments and errors are those of `decoded`.

    Laid over black where it is transparent: what nobody has painted is not meant.
    """

    def decode(data: bytes, faults: list[str]) -> Image.Image:
        return _decoded(data, faults, _BLACK).convert("L")

    return _reading(data, name, max_pixels, decode)


def as_mask(picture: Image.Image) -> Image.Image:
    """A Pillow picture of any mode as if `decoded_mask` had read it.

    Raises:
        ValueError: if it is of mode I or F, and has values beyond 65535 or 1, or below 0.
    """
    return _to_srgb(picture, picture.info.get("icc_profile"), [], _BLACK).convert("L")


def decoded_whole(
    data: bytes, name: str | Path, *, edge: int | None = None, max_pixels: int | None = None
) -> Picture:
    """The same with all that a file holds: 16 bits per channel, colours wider than sRGB's.

    A file of 8 bits in sRGB is read as `decoded` does, another one as a picture of 16 bits.

    Args:
        data: the whole file.
        name: of the file, for messages.
        edge: longer edge in pixels that it is not to be larger than; a JPEG of many times that is
            decoded to a few times that.
        max_pixels: that a picture may have; by default as many as Pillow lets pass.

    Raises:
        ImageError: if it is empty, damaged, no picture, or too large to decode.
        NotEnoughMemoryError: if there is not enough memory to decode it.
    """

    def decode(data: bytes, faults: list[str]) -> Picture:
        file = deep_file(data)
        return _decoded_wide(data, faults, edge) if file is None else _deep(data, file, faults)

    return _reading(data, name, max_pixels, decode)


def _reading(
    data: bytes,
    name: str | Path,
    max_pixels: int | None,
    decode: Callable[[bytes, list[str]], T],
) -> T:
    """Decodes a file; what goes wrong is told with its name."""
    faults: list[str] = []
    with quiet_pillow() as remarks, quiet_libtiff(data), pixels_at_most(max_pixels):
        try:
            picture = _decoded_somehow(data, faults, decode)
        except MemoryError:
            raise NotEnoughMemoryError(
                f"'{name}': there is not enough memory to open it; scale the picture down, "
                "or close other programs."
            ) from None
        except NotEnoughMemoryError as error:
            raise NotEnoughMemoryError(f"'{name}': {error}") from None
        except Image.DecompressionBombError as error:
            raise ImageError(f"'{name}': {_too_many(max_pixels, error)}") from None
        except Exception as error:  # on damaged files Pillow's decoders raise nearly anything
            raise ImageError(f"'{name}': {_reason(data, error)}.") from error
    faults += [f"metadata ignored in part ({one})" for one in remarks if "EXIF" in one]
    if faults:
        logger.warning("'%s': %s.", name, "; ".join(dict.fromkeys(faults)))
    return picture


def _decoded_somehow(data: bytes, faults: list[str], decode: Callable[[bytes, list[str]], T]) -> T:
    """Decodes a file, if need be without its metadata."""
    try:
        return decode(data, faults)
    except (MemoryError, NotEnoughMemoryError, Image.DecompressionBombError):
        raise
    except Exception as error:
        lighter = without_metadata(data)
        if lighter is None:
            raise
        try:
            picture = decode(lighter, faults)
        except Exception:  # the pixels are damaged too
            raise error from None
        faults[:] = [f"metadata ignored, it is damaged{_detail(error)}"]
        return picture


def _decoded(data: bytes, faults: list[str], ground: tuple[int, int, int] = _WHITE) -> Image.Image:
    with _opened(data) as image:
        _require_room(image.size)
        image.load()
        turn = turn_of(image, faults)
        profile = image.info.get("icc_profile")
        picture = _to_srgb(_with_key_as_alpha(image, data), profile, faults, ground)
    return picture if turn is None else picture.transpose(turn)


def _decoded_wide(data: bytes, faults: list[str], edge: int | None) -> Picture:
    """A picture of 8 bits, in 16 if its profile is of other colours than sRGB's."""
    with _opened(data) as image:
        if edge is not None and image.width * image.height > _LARGE:
            image.draft(None, (_SPARE * edge,) * 2)  # smaller by 2, 4 or 8, if it is a JPEG
        _require_room(image.size)
        image.load()
        turn = turn_of(image, faults)
        wide = wide_profile(image)
        if wide is None and image.mode not in ("I", "F"):
            keyed = _with_key_as_alpha(image, data)
            picture = _to_srgb(keyed, image.info.get("icc_profile"), faults)
            return picture if turn is None else picture.transpose(turn)
        deep = from_grey(image) if wide is None else through(wide, image)
    return deep if turn is None else deep.transposed(turn)


def _opened(data: bytes) -> Image.Image:
    if data.startswith(POSTSCRIPT):
        raise UnidentifiedImageError("a program, which Pillow would hand to Ghostscript")
    if heif_kind(data[:100]) == "HEIC":
        _add_reader_of_heic()
    return Image.open(io.BytesIO(data))


def _deep(data: bytes, file: DeepFile, faults: list[str]) -> DeepPicture:
    """A picture of 16 bits per channel; Pillow opens most of them, and knows which way is up."""
    size = file.width, file.height
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and prod(size) > 2 * limit:
        raise Image.DecompressionBombError(f"({prod(size)} pixels)")
    _require_room(size)
    try:
        with Image.open(io.BytesIO(data)) as image:
            turn, profile = turn_of(image, faults), image.info.get("icc_profile")
    except UnidentifiedImageError:
        turn, profile = turn_by(file.orientation), file.profile
    picture = from_file(file, profile, faults)
    return picture if turn is None else picture.transposed(turn)


def _add_reader_of_heic() -> None:
    """Pillow has none of its own."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return
    register_heif_opener()


def _require_room(size: tuple[int, int]) -> None:
    free, needed = free_bytes(), _BYTES_A_PIXEL * prod(size)
    if free is not None and needed > free:
        raise NotEnoughMemoryError(
            f"{size[0]}x{size[1]} pixels take {in_words(needed)} of memory to open, and "
            f"{in_words(free)} are free here{sharing().told}; scale the picture down to some "
            f"{free // _BYTES_A_PIXEL // 1_000_000} megapixels."
        )


def _too_many(max_pixels: int | None, error: Exception) -> str:
    if max_pixels is None:
        return f"too many pixels to open safely ({error}); scale it down."
    found = re.search(r"\((\d+) pixels\)", str(error))
    has = f"it has {int(found[1]) / 1e6:,.0f} megapixels, " if found else ""
    return (
        f"too many pixels to open safely ({has}image.max_pixels is {max_pixels}); scale it down, "
        "or raise that if you trust the file."
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


def _to_srgb(
    image: Image.Image,
    profile: bytes | None,
    faults: list[str],
    ground: tuple[int, int, int] = _WHITE,
) -> Image.Image:
    if image.mode in _DEEP_MODES:
        return in_srgb(_deep_to_8_bit(image), profile, faults)
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        grey = image.mode in ("1", "L", "LA", "La")
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
        colour = in_srgb(image.convert("RGB").convert("L" if grey else "RGB"), profile, faults)
        colour.paste(ground, mask=ImageOps.invert(alpha))
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
