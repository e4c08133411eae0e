from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from overpaint.files import file_sha256, remove_leftovers, replacing, write_text


@pytest.fixture
def usual_mask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_the_file_appears_only_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    with replacing(path) as temporary:
        temporary.write_bytes(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [path]


def test_the_temporary_file_keeps_folder_and_ending(tmp_path: Path) -> None:
    with replacing(tmp_path / "picture.webp") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".webp"
        assert temporary.name != "picture.webp"


def test_an_older_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("a long first version")
    write_text(path, "short")
    assert path.read_text() == "short"


@pytest.mark.parametrize("error", [ValueError("half"), KeyboardInterrupt("half")])
def test_a_failure_leaves_the_older_file_and_nothing_else(
    tmp_path: Path, error: BaseException
) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("old")

    def write_half() -> None:
        with replacing(path) as temporary:
            temporary.write_text("ne")
            raise error

    with pytest.raises(type(error), match="half"):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_rename_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(OSError, match="folder"):
        write_text(folder, "text")
    assert list(tmp_path.iterdir()) == [folder]


def test_a_missing_folder_is_refused_before_the_block(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"), replacing(tmp_path / "nowhere" / "a"):
        pytest.fail("the block ran")


def test_text_is_written_as_utf8(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    write_text(path, "grün, 緑\n")
    assert path.read_bytes() == "grün, 緑\n".encode()


@pytest.mark.skipif(os.name != "posix", reason="permission bits are a POSIX matter")
@pytest.mark.usefixtures("usual_mask")
def test_results_are_as_readable_as_other_new_files(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    write_text(path, "text")
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.usefixtures("usual_mask")
def test_the_umask_is_the_same_afterwards(tmp_path: Path) -> None:
    write_text(tmp_path / "notes.txt", "text")
    mask = os.umask(0o022)
    assert mask == 0o022


def test_what_a_killed_process_was_writing_is_deleted_and_nothing_else(tmp_path: Path) -> None:
    names = (".hidden", ".a-longer-name.png", "result.png", "a-abcdefgh.png")
    mine = [tmp_path / name for name in names]
    for path in mine:
        path.write_text("mine")
    with replacing(tmp_path / "result.png") as temporary:
        left = temporary
    left.write_text("as after a kill, which tidies nothing up")
    remove_leftovers(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(mine)


def test_a_files_hash_is_its_sha256(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")  # the first example of FIPS 180-4
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert file_sha256(path) == file_sha256(str(path)) == digest
