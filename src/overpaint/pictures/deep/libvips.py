"""PNG and TIFF of 16 bits per channel, which Pillow neither reads nor writes in colour.

libvips does both. It is loaded only where such a picture is read or written.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from overpaint.errors import brief
from overpaint.pictures.deep.picture import DeepPicture, Levels, bands

if TYPE_CHECKING:
    import pyvips

_PROFILE = "icc-profile-data"
_PNG = b"\x89PNG"
_EFFORT = 6  # of zlib, of 9
_INCH = 25.4  # millimetres


class DeepFile:
    """A file of 16 bits per channel whose header is read; its pixels are read once, in bands.

    Args:
        data: a whole PNG or TIFF file, its first page counts.

    Raises:
        ValueError: if it is damaged.
    """

    def __init__(self, data: bytes) -> None:
        vips = _vips()
        self._error = vips.Error
        try:
            load = vips.Image.pngload_source if data[:4] == _PNG else vips.Image.tiffload_source
            self._source = vips.Source.new_from_memory(data)  # which makes no copy, nor keeps it
            self._data = data
            image = load(self._source, access="sequential", fail_on="error")
            self.is_deep = image.format == "ushort"
            """Whether it has integers of 16 bits; without them there is nothing to read here."""
            self.width, self.height = int(image.width), int(image.height)
            self.profile: bytes | None = _field(image, _PROFILE)
            """The ICC profile, if there is one."""
            self.orientation: int | None = _field(image, "orientation")
            """As EXIF counts it, if it is told."""
            is_light = image.interpretation in ("rgb16", "grey16")
            self.is_converted = self.is_deep and not is_light  # it is of inks, say
            """Whether its colours are those of sRGB already."""
            if self.is_converted:
                image = image.icc_transform("srgb", depth=16, embedded=True)
            self.has_alpha = bool(image.hasalpha())
            self.channels = int(image.bands) - self.has_alpha
            """1 or 3, without alpha."""
            if self.channels not in (1, 3):
                raise ValueError(f"{self.channels} channels")
        except vips.Error as error:
            raise ValueError(_reason(error)) from None
        self._image = image

    def bands(self) -> Iterator[tuple[slice, Levels]]:
        """Rows and their levels, (C, h, W): 1 or 3 channels, and alpha behind them if there is.

        Raises:
            ValueError: if the pixels are damaged.
        """
        region = _vips().Region.new(self._image)
        for rows in bands(self.width, self.height):
            height = rows.stop - rows.start
            try:
                data = region.fetch(0, rows.start, self.width, height)
            except self._error as error:
                raise ValueError(_reason(error)) from None
            levels = np.frombuffer(data, np.uint16).reshape(height, self.width, -1)
            yield rows, levels.transpose(2, 0, 1)

    def through_tables(self, profile: bytes) -> None:
        """Lets libvips convert the colours to sRGB, for profiles that are tables.

        Raises:
            ValueError: if the profile is of no use.
        """
        image = self._image.copy()
        image.set_type(_vips().GValue.blob_type, _PROFILE, profile)
        try:
            self._image = image.icc_transform("srgb", depth=16, embedded=True, intent="perceptual")
        except self._error as error:
            raise ValueError(_reason(error)) from None


def missing() -> str | None:
    """Why libvips cannot be used here; None if it can."""
    try:
        _vips()
    except (ImportError, OSError) as error:  # a package that is not there, or not of this machine
        return brief(error)
    return None


def png_of(picture: DeepPicture) -> bytes:
    """A PNG of 16 bits per channel.

    Raises:
        ValueError: if it is too large for the format.
    """
    try:
        data: bytes = _joined(picture).pngsave_buffer(
            bitdepth=16, compression=_EFFORT, filter="all", keep="none"
        )
    except _vips().Error as error:
        raise ValueError(_reason(error)) from None
    return data


def tiff_of(
    picture: DeepPicture, *, profile: bytes, resolution: tuple[float, float] | None
) -> bytes:
    """A TIFF of 16 bits per channel, deflated.

    Args:
        picture: of any size.
        profile: an ICC profile.
        resolution: pixels an inch, across and down; a TIFF has one, so that None is the usual 72.

    Raises:
        ValueError: if it is too large for the format.
    """
    across, down = resolution or (72.0, 72.0)
    image = _joined(picture)
    image.set_type(_vips().GValue.blob_type, _PROFILE, profile)
    try:
        data: bytes = image.tiffsave_buffer(
            compression="deflate",
            predictor="horizontal",
            keep="icc",
            resunit="inch",
            xres=across / _INCH,
            yres=down / _INCH,
        )
    except _vips().Error as error:
        raise ValueError(_reason(error)) from None
    return data


def _joined(picture: DeepPicture) -> pyvips.Image:
    """The planes as libvips has pictures, without a copy of the whole."""
    planes = [
        _vips().Image.new_from_memory(plane, *picture.size, 1, "ushort") for plane in picture.levels
    ]
    return planes[0].bandjoin(planes[1:]).copy(interpretation="rgb16")


def _field(image: pyvips.Image, name: str) -> Any:
    return image.get(name) if image.get_typeof(name) else None


def _vips() -> ModuleType:
    import pyvips  # lazy: most runs do without

    logging.getLogger("pyvips").setLevel(logging.CRITICAL)  # what is wrong, an error says
    library: ModuleType = pyvips
    return library


def _reason(error: Exception) -> str:
    """The last line of what libvips says; the first names one of its functions."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else "libvips cannot read it"
