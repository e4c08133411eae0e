"""ICC profiles that are three curves and a matrix, evaluated in floats.

Pillow's own conversion works on 8 bits. Profiles of this kind are those of screens, cameras and
working spaces: Display P3, Adobe RGB, ProPhoto RGB; printers and scanners have tables instead.
Specification ICC.1:2022, 8.3.3 (the model), 10.6 (`curv`) and 10.18 (`para`).
"""

from __future__ import annotations

import functools
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import ImageCms

from overpaint.pictures.deep.picture import Levels

_TABLES = (b"A2B0", b"D2B0")  # a profile with tables means them, not its matrix
_LEVELS = 65536
# What is this near to sRGB is sRGB: some write its matrix or its curve roughly.
_SAME_MATRIX, _SAME_CURVE = 2e-3, 2e-3


@dataclass(frozen=True, eq=False)
class MatrixProfile:
    """The colours of an RGB or grey picture by their light."""

    light: NDArray[np.float32]
    """(3, 65536): of each channel the linear light, 0 to 1, of each 16-bit level."""
    matrix: NDArray[np.float32]
    """(3, 3): from that light to linear sRGB."""

    @property
    def is_srgb(self) -> bool:
        """Whether converting would change nothing that counts."""
        return bool(
            np.abs(self.matrix - np.eye(3)).max() < _SAME_MATRIX
            and np.abs(_encoded(self.light) - np.linspace(0, 1, _LEVELS)).max() < _SAME_CURVE
        )

    def to_srgb(self, levels: Levels) -> Levels:
        """Converts colours to sRGB; those that it does not have are clipped, at the end.

        Args:
            levels: (3, H, W), in the colours of the profile.
        """
        light = np.stack([curve[plane] for curve, plane in zip(self.light, levels, strict=True)])
        linear = np.tensordot(self.matrix, light, 1)
        return np.rint(_encoded(linear.clip(0, 1, out=linear)) * 65535).astype(np.uint16)


@functools.cache
def srgb_profile() -> bytes:
    """The ICC profile that pictures are saved with; each time the same."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    made = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)  # the library writes the present time there
    return profile[:24] + made + profile[36:]


@functools.lru_cache(maxsize=8)
def matrix_profile(data: bytes) -> MatrixProfile | None:
    """Reads an ICC profile of curves and a matrix; None if it is damaged, or of another kind."""
    try:
        tags = _tags(data)
        if data[36:40] != b"acsp" or any(name in tags for name in _TABLES):
            return None
        if data[16:20] == b"GRAY":
            return MatrixProfile(np.stack([_curve(tags[b"kTRC"])] * 3), np.eye(3, dtype="f4"))
        if data[16:24] != b"RGB XYZ ":
            return None
        light = np.stack([_curve(tags[b"%cTRC" % letter]) for letter in b"rgb"])
        matrix = np.linalg.inv(_colorants(_tags(srgb_profile()))) @ _colorants(tags)
    except (KeyError, ValueError, struct.error, np.linalg.LinAlgError):
        return None
    if not (np.isfinite(light).all() and np.isfinite(matrix).all()):
        return None
    return MatrixProfile(light, matrix.astype(np.float32))


def _tags(data: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", data, 128)
    if count > 200:
        raise ValueError("more tags than any profile has")
    tags = {}
    for i in range(count):
        name, start, length = struct.unpack_from(">4sII", data, 132 + 12 * i)
        tags[name] = data[start : start + length]
    return tags


def _colorants(tags: dict[bytes, bytes]) -> NDArray[np.float64]:
    """(3, 3): the XYZ of red, green and blue as columns."""
    columns = [struct.unpack_from(">3i", tags[b"%cXYZ" % letter], 8) for letter in b"rgb"]
    return np.array(columns).T / 65536


def _curve(tag: bytes) -> NDArray[np.float32]:
    """The linear light of each 16-bit level, 0 to 1."""
    x = np.linspace(0, 1, _LEVELS)
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        if count == 0:
            y = x
        elif count == 1:
            y = x ** (struct.unpack_from(">H", tag, 12)[0] / 256)
        else:
            table = np.frombuffer(tag, ">u2", count, 12) / 65535
            y = np.interp(x, np.linspace(0, 1, count), table)
    elif tag[:4] == b"para":
        y = _parametric(x, tag)
    else:
        raise ValueError("no kind of curve")
    return y.clip(0, 1).astype(np.float32)


def _parametric(x: NDArray[np.float64], tag: bytes) -> NDArray[np.float64]:
    """Y = (a X + b)^g + e where X >= d, else c X + f; the simpler kinds leave some of these out."""
    (kind,) = struct.unpack_from(">H", tag, 8)
    given = {0: "g", 1: "gab", 2: "gabc", 3: "gabcd", 4: "gabcdef"}.get(kind)
    if given is None:
        raise ValueError("no kind of parametric curve")
    values = np.array(struct.unpack_from(f">{len(given)}i", tag, 12)) / 65536
    p = dict(zip("gabcdef", [1.0, 1.0, 0, 0, 0, 0, 0], strict=True)) | dict(
        zip(given, values, strict=True)
    )
    if kind in (1, 2):
        if p["a"] == 0:
            raise ValueError("a curve without a slope")
        p["d"] = -p["b"] / p["a"]
        if kind == 2:  # c is added everywhere
            p["e"] = p["f"] = p["c"]
            p["c"] = 0.0
    upper = (p["a"] * x + p["b"]).clip(0) ** p["g"] + p["e"]
    y: NDArray[np.float64] = np.where(x >= p["d"], upper, p["c"] * x + p["f"])
    return y


def _encoded(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """Linear light in [0, 1] as sRGB has it, IEC 61966-2-1."""
    upper = np.float32(1.055) * light ** np.float32(1 / 2.4) - np.float32(0.055)
    return np.where(light <= 0.0031308, np.float32(12.92) * light, upper)
