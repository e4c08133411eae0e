"""What of a photo's metadata a result may keep: its resolution, and its EXIF without the place."""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image

from overpaint.errors import brief
from overpaint.pictures.quiet import ANY_SIZE, pixels_at_most, quiet_libtiff, quiet_pillow

logger = logging.getLogger(__name__)

_SOMEWHERE = (1.0, 100_000.0)  # pixels an inch; what is told beyond is no resolution
_LONGEST, _LONGEST_BLOCK = 2000, 65533  # bytes of a value, and of the segment of a JPEG
_Tag = ExifTags.Base

# Who took it with what, and when; in the second list how. What is not named here is left: the
# place, thumbnails, serial numbers, what makers and programs hide in tags of their own, and what is
# said of the photo's size, colours and position, which are no longer those of the picture.
_OF_THE_PICTURE = (
    *(_Tag.ImageDescription, _Tag.Make, _Tag.Model, _Tag.DateTime, _Tag.Artist, _Tag.Copyright),
)
_OF_THE_CAMERA = (
    *(_Tag.DateTimeOriginal, _Tag.DateTimeDigitized, _Tag.SubsecTimeOriginal),
    *(_Tag.ExposureTime, _Tag.FNumber, _Tag.ExposureProgram, _Tag.ISOSpeedRatings),
    *(_Tag.SensitivityType, _Tag.RecommendedExposureIndex, _Tag.ShutterSpeedValue),
    *(_Tag.ApertureValue, _Tag.MaxApertureValue, _Tag.BrightnessValue, _Tag.ExposureBiasValue),
    *(_Tag.MeteringMode, _Tag.LightSource, _Tag.Flash, _Tag.FocalLength, _Tag.ExposureMode),
    *(_Tag.WhiteBalance, _Tag.DigitalZoomRatio, _Tag.FocalLengthIn35mmFilm),
    *(_Tag.SceneCaptureType, _Tag.LensSpecification, _Tag.LensMake, _Tag.LensModel),
)
_SRGB, _UPRIGHT = 1, 1


@dataclass(frozen=True, eq=False)
class Carried:
    """Of the photo, for the results."""

    resolution: tuple[float, float] | None = None
    """Pixels an inch, across and down; None if the file does not say, or nonsense."""
    exif: bytes | None = None
    """Without location, thumbnail and what makers hide; upright. None if there is none."""


def carried(data: bytes, name: str | Path) -> Carried:
    """Reads what a result may keep of a photo; what is damaged is left out.

    Args:
        data: the whole file.
        name: of the file, for messages.
    """
    with quiet_pillow(), quiet_libtiff(data), pixels_at_most(ANY_SIZE):
        try:
            with Image.open(io.BytesIO(data)) as image:
                return Carried(_resolution(image), _exif(image))
        except Exception as error:  # Pillow's readers of metadata raise nearly anything
            logger.debug("'%s': its metadata cannot be kept (%s).", name, brief(error))
            return Carried()


def _resolution(image: Image.Image) -> tuple[float, float] | None:
    told = image.info.get("dpi")
    if image.format not in ("JPEG", "MPO", "PNG", "TIFF", "WEBP") or told is None:
        return None
    across, down = (float(one) for one in told)
    low, high = _SOMEWHERE
    sound = all(math.isfinite(one) and low <= one <= high for one in (across, down))
    return (across, down) if sound else None


def _exif(image: Image.Image) -> bytes | None:
    """A new block of EXIF of what is known to be harmless."""
    try:
        told = image.getexif()
        picture = _sound(told, _OF_THE_PICTURE)
        camera = _sound(told.get_ifd(ExifTags.IFD.Exif), _OF_THE_CAMERA)
        if not picture and not camera:
            return None
        kept = Image.Exif()
        kept.update({**picture, _Tag.Orientation: _UPRIGHT})
        kept[ExifTags.IFD.Exif] = {**camera, _Tag.ColorSpace: _SRGB}
        written = kept.tobytes()
    except Exception:  # a block so damaged is worth nothing
        return None
    return written if len(written) <= _LONGEST_BLOCK else None


def _sound(told: Mapping[int, Any], tags: Sequence[int]) -> dict[int, Any]:
    return {int(tag): told[tag] for tag in tags if tag in told and _is_sound(told[tag])}


def _is_sound(value: Any) -> bool:
    """Whether a value can be written again."""
    if isinstance(value, str | bytes):
        return 0 < len(value) <= _LONGEST
    parts = value if isinstance(value, tuple) else (value,)
    if len(parts) > _LONGEST // 8:
        return False
    try:
        return all(math.isfinite(float(part)) for part in parts)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return False
