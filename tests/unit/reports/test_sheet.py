from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from overpaint.reports.sheet import contact_sheet

COLOURS = {"a": (200, 30, 30), "b": (30, 160, 30), "c": (30, 30, 200), "d": (120, 120, 0)}
WHITE, FRAME = (255, 255, 255), (224, 122, 31)


def plain(name: str, size: tuple[int, int] = (40, 20)) -> Image.Image:
    return Image.new("RGB", size, COLOURS[name])


def boxes(sheet: Image.Image, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Left, top, width and height of what has a colour, which is to fill that rectangle."""
    same = (np.asarray(sheet) == colour).all(axis=2)
    rows, columns = np.flatnonzero(same.any(axis=1)), np.flatnonzero(same.any(axis=0))
    top, left, bottom, right = rows[0], columns[0], rows[-1], columns[-1]
    assert same[top : bottom + 1, left : right + 1].all(), "it is whole"
    return int(left), int(top), int(right - left + 1), int(bottom - top + 1)


def test_every_picture_is_in_the_place_of_its_row_and_column() -> None:
    sheet = contact_sheet(
        {"low": {"x": plain("a"), "y": plain("b")}, "high": {"y": plain("d"), "x": plain("c")}},
        columns=["x", "y"],
        cell=60,
    )
    assert sheet.mode == "RGB"
    a, b, c, d = (boxes(sheet, COLOURS[name]) for name in "abcd")
    assert {box[2:] for box in (a, b, c, d)} == {(60, 30)}, "the longer edge is the cell's"
    assert a[1] == b[1]
    assert c[1] == d[1]
    assert a[0] == c[0]
    assert b[0] == d[0]
    gap = b[0] - a[0] - 60
    assert gap == c[1] - a[1] - 30 > 0
    # The last picture ends a gap before the edges of the sheet; labels are left of and above all.
    assert sheet.size == (d[0] + 60 + gap, d[1] + 30 + gap)
    assert a[0] > 20
    assert a[1] > 15


def test_a_sheet_is_as_large_as_its_cells() -> None:
    def size(rows: int, columns: int, cell: int) -> tuple[int, int]:
        names = [f"step {i}" for i in range(columns)]
        return contact_sheet(
            {f"row {i}": {name: plain("a", (20, 40)) for name in names} for i in range(rows)},
            columns=names,
            cell=cell,
        ).size

    width, height = size(1, 1, 60)
    gap = size(1, 2, 60)[0] - width - 30
    assert gap > 0
    assert size(3, 1, 60) == (width, height + 2 * (60 + gap))
    assert size(1, 4, 60) == (width + 3 * (30 + gap), height)
    assert size(1, 1, 100) == (width + 20, height + 40)


def test_a_longer_label_makes_a_wider_margin_line_by_line() -> None:
    def width(label: str) -> int:
        return contact_sheet({label: {"x": plain("a")}}, columns=["x"]).size[0]

    assert width("0.0123") < width("0.0123 and more")
    assert width("0.0123\n12 levels") == width("12 levels")


def test_places_without_a_picture_stay_white() -> None:
    sheet = contact_sheet(
        {"1": {"x": plain("a"), "y": plain("b")}, "2": {"y": plain("c")}, "3": {}},
        columns=["x", "y"],
        cell=60,
    )
    a, b, c = (boxes(sheet, COLOURS[name]) for name in "abc")
    pixels = np.asarray(sheet)
    below = b[1] + 2 * (c[1] - b[1])
    for left, top in ((a[0], c[1]), (a[0], below), (b[0], below)):
        assert (pixels[top : top + 30, left : left + 60] == WHITE).all()
    assert sheet.size[1] > below + 30


def test_labels_are_written_beside_and_above() -> None:
    sheet = contact_sheet({"0.01": {"step 8": plain("a")}}, columns=["step 8"], cell=60)
    left, top, _, _ = boxes(sheet, COLOURS["a"])
    pixels = np.asarray(sheet)
    assert (pixels[:top, left:] < 128).any()
    assert (pixels[top:, :left] < 128).any()
    assert (pixels[:top, :left] == 255).all()


@pytest.mark.parametrize("marked", ["1", "2", "3"])
def test_the_marked_row_alone_is_framed(marked: str) -> None:
    names = dict(zip("123", "abc", strict=True))
    rows = {label: {"x": plain(name)} for label, name in names.items()}
    sheet = contact_sheet(rows, columns=["x"], marked=marked, cell=60)
    frame = (np.asarray(sheet) == FRAME).all(axis=2)
    framed = np.flatnonzero(frame.any(axis=1))
    for label, name in names.items():
        left, top, width, height = boxes(sheet, COLOURS[name])
        assert (width, height) == (60, 30), "the frame is drawn around it"
        inside = framed[0] < top and top + height - 1 < framed[-1]
        assert inside == (label == marked)
        assert frame[top : top + height, :left].any() == (label == marked)
        assert frame[top : top + height, left + width :].any() == (label == marked)


@pytest.mark.parametrize("marked", [None, "4"])
def test_without_a_marked_row_there_is_no_frame(marked: str | None) -> None:
    sheet = contact_sheet({"1": {"x": plain("a")}}, columns=["x"], marked=marked)
    assert not (np.asarray(sheet) == FRAME).all(axis=2).any()


def test_a_narrow_picture_keeps_a_pixel() -> None:
    sheet = contact_sheet({"1": {"x": plain("a", (900, 1))}}, columns=["x"], cell=50)
    assert boxes(sheet, COLOURS["a"])[2:] == (50, 1)


@pytest.mark.parametrize("rows", [{}, {"1": {}}, {"1": {}, "2": {}}])
def test_a_sheet_needs_a_picture(rows: dict[str, dict[str, Image.Image]]) -> None:
    with pytest.raises(ValueError, match="needs a picture"):
        contact_sheet(rows, columns=["x"])
