from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from overpaint.errors import WriteError
from overpaint.files import (
    file_sha256,
    put_off,
    readable,
    remove_leftovers,
    replacing,
    try_folder,
    try_to_write,
    write_bytes,
    write_text,
)


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
    with pytest.raises(WriteError, match="nowhere"), replacing(tmp_path / "nowhere" / "a"):
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


def test_what_was_left_of_one_file_is_deleted_and_nothing_of_its_neighbours(tmp_path: Path) -> None:
    left = []
    for name in ("a-name-of-twenty-and-more-characters.png", "a-name-of-twenty-and-others.png"):
        with replacing(tmp_path / name) as temporary:
            left.append(temporary)
    for temporary in left:
        temporary.write_text("as after a kill, or while another process writes it")
    remove_leftovers(tmp_path / "a-name-of-twenty-and-more-characters.png")
    assert [path.exists() for path in left] == [False, True]


def test_a_files_hash_is_its_sha256(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")  # the first example of FIPS 180-4
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert file_sha256(path) == file_sha256(str(path)) == digest


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the system was told: to put a file or folder on the disk, or to give another name."""
    told: list[str] = []
    sync, replace = os.fsync, Path.replace

    def fsync(handle: int) -> None:
        told.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        sync(handle)

    def rename(path: Path, target: Path) -> Path:
        told.append(f"rename {target.name}")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", rename)
    return told


@pytest.mark.skipif(os.name != "posix", reason="Windows cannot put a folder on the disk")
def test_a_file_is_on_the_disk_before_it_takes_its_name_and_the_name_after(
    calls: list[str], tmp_path: Path
) -> None:
    write_text(tmp_path / "notes.txt", "text")
    assert calls == ["file", "rename notes.txt", "folder"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_disk_that_turns_out_to_be_full_when_it_has_to_write_keeps_the_older_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fails(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    path = tmp_path / "notes.txt"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(WriteError) as failed:
        write_text(path, "new")
    assert str(failed.value) == f"'{path}': cannot be written ({os.strerror(number)})."
    assert failed.value.errno == number
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_system_that_cannot_be_asked_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(handle: int) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "fsync", cannot)
    write_text(tmp_path / "notes.txt", "text")
    assert (tmp_path / "notes.txt").read_text() == "text"


def test_a_name_may_be_as_long_as_the_system_allows(tmp_path: Path) -> None:
    path = tmp_path / f"{'n' * 251}.txt"
    write_text(path, "text")
    assert path.read_text() == "text"


def test_an_error_without_a_number_is_told_in_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(path: Path, data: bytes) -> None:
        raise OSError("the disk left")

    monkeypatch.setattr(Path, "write_bytes", fails)
    with pytest.raises(WriteError, match=r"a': cannot be written \(the disk left\)\.$"):
        write_bytes(tmp_path / "a", b"")
    assert list(tmp_path.iterdir()) == []


def test_a_failure_put_off_lets_the_next_file_be_written(tmp_path: Path) -> None:
    faults: list[WriteError] = []
    for path in (tmp_path / "nowhere" / "a", tmp_path / "b"):
        with put_off(faults):
            write_text(path, "text")
    assert [fault.filename for fault in faults] == [str(tmp_path / "nowhere" / "a")]
    assert (tmp_path / "b").read_text() == "text"


def test_a_place_is_tried_without_leaving_a_file(tmp_path: Path) -> None:
    there = tmp_path / "there.png"
    there.write_bytes(b"whole")
    for path in (there, tmp_path / "new.png"):
        try_to_write(path)
    try_folder(tmp_path / "runs" / "of" / "mine")
    try_folder(tmp_path)
    assert list(tmp_path.iterdir()) == [there]
    assert there.read_bytes() == b"whole"


@pytest.mark.parametrize("path", ["a" * 256, "nowhere/a.png"])
def test_a_place_that_takes_no_file_is_found(tmp_path: Path, path: str) -> None:
    with pytest.raises(OSError, match=r"File name too long|No such file"):
        try_to_write(tmp_path / path)


def test_a_folder_that_cannot_be_made_is_found(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="File name too long"):
        try_folder(tmp_path / "new" / ("a" * 256) / "runs")


def test_a_name_as_long_as_the_file_system_takes_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / f"{'絵' * 83}.png"  # 253 bytes in UTF-8
    write_text(path, "whole")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("me.jpg", "me.jpg"),
        ("絵.jpg", "絵.jpg"),
        ("caf\udce9.jpg", r"caf\xe9.jpg"),
        ("\udce7\udcb5\udcb5.jpg", "絵.jpg"),  # as Python names it where the locale is C
        ("\ud800", r"\ud800"),
    ],
)
def test_any_name_can_be_shown(text: str, shown: str) -> None:
    assert readable(text) == shown
