"""The endings that pictures are written with; needs neither NumPy nor Pillow."""

from __future__ import annotations

from typing import Any

# Options of Pillow's `save` by file ending.
SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    ".png": {},
    ".jpg": {"quality": 95, "subsampling": 0},
    ".jpeg": {"quality": 95, "subsampling": 0},
    ".webp": {"quality": 95},
    ".tif": {"compression": "tiff_lzw"},
    ".tiff": {"compression": "tiff_lzw"},
}
