"""ICC profiles made by hand, version 2.4: of a matrix and curves, of grey, of inks."""

from __future__ import annotations

import struct
from collections.abc import Mapping

# Red, green and blue of sRGB in the XYZ of ICC profiles (white D50).
SRGB_PRIMARIES = ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
D50 = (0.9642, 1.0, 0.8249)


def icc_profile(
    kind: bytes, space: bytes, connection: bytes, own_tags: Mapping[bytes, bytes]
) -> bytes:
    """An ICC profile, version 2.4."""
    white = b"XYZ \0\0\0\0" + s15_fixed(*D50)
    description = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78) + b"\0"
    tags = {b"desc": description, b"cprt": b"text\0\0\0\0none\0\0\0\0", b"wtpt": white, **own_tags}
    start = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(">I4sI", start + len(body), b"test", 0x02400000)
    header += kind + space + connection + struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp"
    header += bytes(28) + s15_fixed(*D50)
    return header + bytes(128 - len(header)) + table + body


def s15_fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"


def rgb_profile(gamma: float, primaries: tuple[tuple[float, ...], ...] = SRGB_PRIMARIES) -> bytes:
    tags = {b"%cTRC" % letter: curve(gamma) for letter in b"rgb"}
    for letter, primary in zip(b"rgb", primaries, strict=True):
        tags[b"%cXYZ" % letter] = b"XYZ \0\0\0\0" + s15_fixed(*primary)
    return icc_profile(b"mntr", b"RGB ", b"XYZ ", tags)


def grey_profile(gamma: float) -> bytes:
    return icc_profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": curve(gamma)})


def cmyk_profile(lab: tuple[int, int, int]) -> bytes:
    """Inks that all print the same colour, given as 8-bit L*a*b*; only black prints black."""
    identity = bytes(range(256))
    matrix = s15_fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    head = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0])  # 4 inks, 3 outputs, 2 grid points an ink
    table = head + matrix + 4 * identity + bytes([*lab, 0, 128, 128]) * 2**3 + 3 * identity
    return icc_profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": table})


def table_profile(lab: tuple[int, int, int]) -> bytes:
    """An RGB profile that is a table: all is one colour, but the nearer to black the darker.

    Args:
        lab: that colour, 8-bit L*a*b*.
    """
    identity = bytes(range(256))
    matrix = s15_fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    head = b"mft1\0\0\0\0" + bytes([3, 3, 2, 0]) + matrix  # 3 channels, 3 outputs, 2 grid points
    grid = bytes([0, 128, 128]) + bytes(lab) * 7
    table = head + 3 * identity + grid + 3 * identity
    return icc_profile(b"mntr", b"RGB ", b"Lab ", {b"A2B0": table})
