from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from overpaint.errors import ConfigError
from overpaint.sweeps.batch_plan import BatchPlan, read_shard
from overpaint.sweeps.pairs import Pair, each_with_each, pairs_of


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are a photo, a painting and a folder of two."""
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for name in ("a.jpg", "b.PNG", "in/c.webp", "in/d.heic", "in/e.txt", "in/.f.png"):
        Path(name).write_bytes(b"")


def names(*contents: str) -> list[str]:
    return [one.name for one in each_with_each(contents, ["b.PNG"], results=Path("out"))]


def test_files_and_folders_may_be_mixed_and_count_once() -> None:
    assert names("a.jpg", "in") == ["a_b", "c_b", "d_b"]
    assert names("in/c.webp", "in", "./in/c.webp", "in") == ["c_b", "d_b"]


def test_paintings_follow_each_other() -> None:
    made = each_with_each(["a.jpg", "b.PNG"], ["in"], results=Path("out"))
    assert [one.name for one in made] == ["a_c", "b_c", "a_d", "b_d"]
    assert made[1] == Pair("b_c", "b.PNG", (os.path.join("in", "c.webp"),))


def test_a_name_fits_into_any_folder_and_stays_its_own() -> None:
    alike = ["ä" * 100 + "1.jpg", "ä" * 100 + "2.jpg"]
    for name in alike:
        Path(name).write_bytes(b"")
    first, second = names(*alike)
    assert first != second
    assert names(alike[0]) == [first]
    assert max(len(os.fsencode(f"{one}.png")) for one in (first, second)) < 255
    assert first.startswith("ääää")


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")
def test_a_name_need_not_be_utf8_nor_begin_with_a_letter() -> None:
    name = os.fsdecode(b".\xff.jpg")
    Path(name).write_bytes(b"")
    assert names(name) == [os.fsdecode(b"\xff_b")]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_a_table_is_as_spreadsheets_write_it(delimiter: str, ends: str) -> None:
    lines = [
        ["content", "style", "style.weight", "", ""],
        ["a.jpg", "b.PNG", "2", "", ""],
        ["", "", "", "", ""],
        ["in/c.webp", "b.PNG"],
    ]
    Path("pairs.csv").write_bytes(
        b"\xef\xbb\xbf" + ends.join(delimiter.join(one) for one in lines).encode()
    )
    assert pairs_of(Path("pairs.csv")) == (
        Pair("a_b", "a.jpg", ("b.PNG",), {"style.weight": "2"}),
        Pair("c_b", "in/c.webp", ("b.PNG",)),
    )


def test_a_cell_may_hold_commas_lists_and_quotation_marks() -> None:
    Path('x, "y".jpg').write_bytes(b"")
    Path("[z].jpg").write_bytes(b"")
    text = 'content,style,name\n"x, ""y"".jpg","[a.jpg, in/c.webp]",\n[z].jpg,[z].jpg,mine\n'
    assert pairs_of(Path("pairs.csv"), text) == (
        Pair('x, "y"_a+c', 'x, "y".jpg', ("a.jpg", "in/c.webp")),
        Pair("mine", "[z].jpg", ("[z].jpg",)),
    )


def test_names_that_one_system_or_another_takes_for_the_same_are_refused() -> None:
    for name in ("\u00e9.jpg", "e\u0301.png"):
        Path(name).write_bytes(b"")
    with pytest.raises(ConfigError, match="would be made twice"):
        names("\u00e9.jpg", "e\u0301.png")
    Path("A.gif").write_bytes(b"")
    with pytest.raises(ConfigError, match="would be made twice"):
        names("a.jpg", "A.gif")


@pytest.mark.parametrize("parts", [1, 2, 3, 7, 12])
def test_shards_are_all_pictures_each_once_and_alike_long(parts: int) -> None:
    pairs = tuple(Pair(str(i), "a.jpg", ("b.PNG",)) for i in range(10))
    shards = [BatchPlan(Path("out"), pairs, (i, parts)).mine for i in range(1, parts + 1)]
    assert sorted(int(one.name) for shard in shards for one in shard) == [*range(10)]
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


def test_a_shard_is_read() -> None:
    assert read_shard(None) == (1, 1)
    assert read_shard("3/8") == (3, 8)
