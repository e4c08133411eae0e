"""Pictures that 8 bits of sRGB would cut: to 16 bits, in sRGB, over white where transparent."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageCms

from overpaint.errors import brief
from overpaint.pictures.deep.libvips import DeepFile
from overpaint.pictures.deep.picture import DeepPicture, Levels, bands
from overpaint.pictures.deep.profiles import MatrixProfile, matrix_profile

_PNG, _TIFF = b"\x89PNG\r\n\x1a\n", (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_WHITE = np.uint32(65535)


def deep_file(data: bytes) -> DeepFile | None:
    """A PNG or TIFF of 16 bits per channel, its header read; None for any other file.

    Raises:
        ValueError: if it is a PNG of 16 bits, and damaged.
    """
    if data.startswith(_PNG):
        return DeepFile(_pixels_alone(data)) if data[24:25] == b"\x10" else None
    if not data.startswith(_TIFF):
        return None
    try:
        file = DeepFile(data)
    except ValueError:  # Pillow finds a word for what it is
        return None
    return file if file.is_deep else None


def _pixels_alone(data: bytes) -> bytes:
    """A PNG without what libvips might remark on; Pillow reads that."""
    kept, at = [_PNG], len(_PNG)
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] in _CHUNKS:
            kept.append(data[at:end])
        at = end
    return b"".join(kept)


def from_file(file: DeepFile, profile: bytes | None, faults: list[str]) -> DeepPicture:
    """Reads the pixels of a file.

    Args:
        file: of 16 bits per channel.
        profile: its ICC profile, if it has one.
        faults: is told if its colour profile is of no use.

    Raises:
        ValueError: if they are damaged.
    """
    colour = None if file.is_converted or not profile else _profile(file, profile, faults)
    picture = np.empty((3, file.height, file.width), np.uint16)
    for rows, read in file.bands():
        colours, alpha = (read[:-1], read[-1]) if file.has_alpha else (read, None)
        colours = np.broadcast_to(colours, (3, *colours.shape[1:]))
        if colour is not None:
            colours = colour.to_srgb(colours)
        picture[:, rows] = colours if alpha is None else _over_white(colours, alpha)
    return DeepPicture(picture)


def wide_profile(image: Image.Image) -> MatrixProfile | None:
    """The colour profile of a picture of 8 bits, if sRGB of 8 bits is too little for its colours.

    Args:
        image: as it was opened.
    """
    data = image.info.get("icc_profile")
    if image.mode not in ("RGB", "RGBA", "P") or not data or data[16:20] != b"RGB ":
        return None
    profile = matrix_profile(data)
    return None if profile is None or profile.is_srgb else profile


def through(profile: MatrixProfile, image: Image.Image) -> DeepPicture:
    """A picture of 8 bits, mode RGB, RGBA or P, in sRGB of 16."""
    is_transparent = image.mode == "RGBA" or "transparency" in image.info
    mode = "RGBA" if is_transparent else "RGB"
    if image.mode != mode:
        image = image.convert(mode)
    picture = np.empty((3, image.height, image.width), np.uint16)
    for rows in bands(*image.size):
        part = np.asarray(image.crop((0, rows.start, image.width, rows.stop)))
        levels = part.transpose(2, 0, 1).astype(np.uint16) * np.uint16(257)
        colours = profile.to_srgb(levels[:3])
        picture[:, rows] = _over_white(colours, levels[3]) if is_transparent else colours
    return DeepPicture(picture)


def from_grey(image: Image.Image) -> DeepPicture:
    """Grey of Pillow's mode F, 0 to 1, or I, 0 to 65535.

    Raises:
        ValueError: if its values are others, so that their scale is not known.
    """
    values, full = np.asarray(image), 1.0 if image.mode == "F" else 65535.0
    if not (np.isfinite(values).all() and np.min(values) >= 0 and np.max(values) <= full):
        raise ValueError(f"grey values outside 0 to {full:g}")
    levels = np.rint(values * np.float32(65535 / full)).astype(np.uint16)
    return DeepPicture(np.stack([levels] * 3))


def _profile(file: DeepFile, data: bytes, faults: list[str]) -> MatrixProfile | None:
    """What is left to do for the colours of a file after libvips."""
    space = b"GRAY" if file.channels == 1 else b"RGB "
    profile = matrix_profile(data)
    if profile is not None and data[16:20] == space:
        return None if profile.is_srgb else profile
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(data)).profile
        if opened.xcolor_space.strip() != space.strip().decode():
            raise ValueError(f"it is of {opened.xcolor_space.strip()}")
        file.through_tables(data)
    except (OSError, ValueError, ImageCms.PyCMSError) as error:
        faults.append(f"colour profile ignored ({brief(error)}), so colours may be a little off")
    return None


def _over_white(colours: Levels, alpha: Levels) -> Levels:
    """Colours, (3, h, w), as they look over white; the sums just fit into 32 bits."""
    share = alpha.astype(np.uint32)
    shown = colours * share + _WHITE * (_WHITE - share) + _WHITE // 2
    return (shown // _WHITE).astype(np.uint16)
