"""Contact sheets: many small pictures, by row and column."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

_CELL_PX = 180
_GAP_PX = 6


def contact_sheet(
    rows: Mapping[str, Mapping[str, Image.Image]],
    *,
    columns: Sequence[str],
    marked: str | None = None,
    cell: int = _CELL_PX,
) -> Image.Image:
    """Many small pictures under one another and side by side, with labels.

    Args:
        rows: label of a row to label of a column to its picture.
        columns: their labels from left to right; a place without a picture stays empty.
        marked: the label of a row to frame.
        cell: longer edge of a picture on the sheet, in pixels.

    Raises:
        ValueError: if there is no picture.
    """
    pictures = [picture for row in rows.values() for picture in row.values()]
    if not pictures:
        raise ValueError("a contact sheet needs a picture")
    scale = cell / max(pictures[0].size)
    width, height = (max(1, round(edge * scale)) for edge in pictures[0].size)
    font = ImageFont.load_default(size=13)
    margin = _GAP_PX + max(
        math.ceil(font.getlength(line)) for label in rows for line in label.split("\n")
    )
    top = 24
    size = (
        margin + _GAP_PX + len(columns) * (width + _GAP_PX),
        top + len(rows) * (height + _GAP_PX),
    )
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for j, name in enumerate(columns):
        x = margin + _GAP_PX + j * (width + _GAP_PX)
        draw.text((x + width / 2, top / 2), name, "black", font=font, anchor="mm")
    for i, (label, row) in enumerate(rows.items()):
        y = top + i * (height + _GAP_PX)
        draw.multiline_text((_GAP_PX, y + height / 2), label, "black", font=font, anchor="lm")
        for j, name in enumerate(columns):
            if name in row:
                x = margin + _GAP_PX + j * (width + _GAP_PX)
                sheet.paste(row[name].resize((width, height), Image.Resampling.LANCZOS), (x, y))
        if label == marked:
            frame = (1, y - _GAP_PX // 2, size[0] - 2, y + height + _GAP_PX // 2 - 1)
            draw.rectangle(frame, outline="#e07a1f", width=2)
    return sheet
