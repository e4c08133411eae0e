from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
from PIL import Image
from run_folders import plain, texture

from overpaint.errors import ImageError
from overpaint.reports.thumbnails import (
    INPUT,
    RESULT,
    ROOM,
    SNAPSHOT,
    Kind,
    room_for_one,
    thinned,
    thumbnail,
)


def data_of(uri: str) -> bytes:
    head, _, data = uri.partition(",")
    assert head == "data:image/webp;base64"
    return base64.b64decode(data)


@pytest.mark.parametrize("kind", [RESULT, INPUT, SNAPSHOT])
@pytest.mark.parametrize("room", [10_000.0, 100_000.0])
def test_a_picture_has_no_more_bytes_than_its_share(
    tmp_path: Path, kind: Kind, room: float
) -> None:
    texture((1500, 1000), 1).save(tmp_path / "a.png", compress_level=1)
    made = thumbnail(tmp_path / "a.png", kind, room)
    data = data_of(made.uri)
    assert len(data) <= min(kind.most, kind.share * room)
    with Image.open(io.BytesIO(data)) as picture:
        assert max(picture.size) <= kind.long_edge
        assert picture.width / picture.height == pytest.approx(1.5, rel=0.03)
    assert made.size == (1000, 1500)


def test_a_small_picture_is_not_made_larger(tmp_path: Path) -> None:
    plain((40, 30), 1).save(tmp_path / "a.png")
    with Image.open(io.BytesIO(data_of(thumbnail(tmp_path / "a.png", RESULT, 1e9).uri))) as picture:
        assert picture.size == (40, 30)


def test_a_damaged_picture_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(ImageError, match=r"a\.png"):
        thumbnail(tmp_path / "a.png", RESULT, 1e9)


def test_the_room_is_divided_by_shares() -> None:
    assert room_for_one([RESULT, SNAPSHOT, SNAPSHOT]) == pytest.approx(ROOM / 6)
    assert room_for_one([]) == ROOM


@pytest.mark.parametrize(
    ("count", "most", "kept"),
    [(0, 3, []), (3, 3, [0, 1, 2]), (4, 3, [0, 2, 3]), (100, 4, [0, 33, 66, 99]), (9, 2, [0, 8])],
)
def test_a_row_is_thinned_evenly_between_its_ends(count: int, most: int, kept: list[int]) -> None:
    assert thinned(range(count), most) == kept
