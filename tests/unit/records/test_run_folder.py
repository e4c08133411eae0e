from __future__ import annotations

from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from overpaint.records import run_folder
from overpaint.records.run_folder import (
    create_run_folder,
    kept_if_begun,
    pictures_by_step,
    remove_run_folder,
)


@pytest.fixture
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = datetime(2024, 2, 29, 12, 3, 4)
    monkeypatch.setattr(run_folder, "datetime", SimpleNamespace(now=lambda: moment))


def test_a_folder_is_named_by_the_time_and_the_pictures(tmp_path: Path) -> None:
    before = datetime.now().replace(microsecond=0)
    folder = create_run_folder(tmp_path, "photos/rocket.jpg", ["a/flow_field.png"])
    time, _, pictures = folder.name.rpartition("-rocket-")
    assert before <= datetime.strptime(time, "%Y%m%d-%H%M%S") <= datetime.now()
    assert pictures == "flow_field"
    assert folder.parent == tmp_path
    assert [path.name for path in folder.iterdir()] == ["snapshots"]


@pytest.mark.usefixtures("noon")
@pytest.mark.parametrize(
    ("content", "styles", "name"),
    [
        ("My Photo (1).JPG", ["a.png"], "20240229-120304-My_Photo_1-a"),
        ("a/b.c.jpg", ["x/1.png", "2.png"], "20240229-120304-b_c-1+2"),
        ("снимок.png", ["../..", "緑.jpg"], "20240229-120304-picture-picture+picture"),
        ("x" * 99, ["_y_.png"], f"20240229-120304-{'x' * 40}-y"),
    ],
)
def test_a_folders_name_suits_every_file_system(
    tmp_path: Path, content: str, styles: list[str], name: str
) -> None:
    assert create_run_folder(tmp_path, content, styles).name == name


@pytest.mark.usefixtures("noon")
def test_many_paintings_do_not_make_the_name_too_long(tmp_path: Path) -> None:
    folder = create_run_folder(tmp_path, "a.png", [f"painting_{i}.png" for i in range(50)])
    assert folder.name.startswith("20240229-120304-a-painting_0+painting_1+")
    assert len(folder.name) <= 130


@pytest.mark.usefixtures("noon")
def test_runs_of_the_same_second_get_folders_of_their_own(tmp_path: Path) -> None:
    names = [create_run_folder(tmp_path, "a.png", ["b.png"]).name for _ in range(3)]
    assert names == [f"20240229-120304-a-b{suffix}" for suffix in ("", "-2", "-3")]
    assert all((tmp_path / name / "snapshots").is_dir() for name in names)


@pytest.mark.usefixtures("noon")
def test_a_study_says_so_and_has_no_snapshots(tmp_path: Path) -> None:
    folders = [create_run_folder(tmp_path, "a.png", ["b.png"], study="lr-tune") for _ in range(2)]
    name = "20240229-120304-lr-tune-a-b"
    assert [folder.name for folder in folders] == [name, f"{name}-2"]
    assert not any(list(folder.iterdir()) for folder in folders)
    run = create_run_folder(tmp_path, "a.png", ["b.png"])
    assert run.name == "20240229-120304-a-b"


@pytest.mark.usefixtures("noon")
def test_there_is_an_end_to_the_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def taken(path: Path, **options: object) -> None:
        raise FileExistsError(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", taken)
        with pytest.raises(FileExistsError, match="999 runs named '20240229-120304-a-b'"):
            create_run_folder(tmp_path, "a.png", ["b.png"])


def test_missing_parents_are_made_and_the_path_is_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = create_run_folder("runs/today", "a.png", ["b.png"])
    assert folder.parent == tmp_path / "runs" / "today"
    assert folder.is_dir()


def test_a_root_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        create_run_folder(tmp_path / "file", "a.png", ["b.png"])


@pytest.mark.parametrize("in_new_root", [True, False])
def test_a_run_that_did_not_begin_takes_no_folder_that_was_there(
    tmp_path: Path, in_new_root: bool
) -> None:
    root = tmp_path / "runs"
    folder = create_run_folder(root, "photo.jpg", ["painting.jpg"])
    with pytest.raises(OSError, match="gone"), kept_if_begun(folder, in_new_root=in_new_root):
        raise OSError("gone")
    assert not folder.exists()
    assert root.exists() is not in_new_root


def test_a_new_folder_of_runs_stays_with_another_run_in_it(tmp_path: Path) -> None:
    folders = [create_run_folder(tmp_path / "runs", "photo.jpg", ["a.jpg"]) for _ in range(2)]
    remove_run_folder(folders[0], in_new_root=True)
    assert [folder.exists() for folder in folders] == [False, True]


def test_pictures_are_found_by_their_step(tmp_path: Path) -> None:
    for name in ("step_00010.png", "step_00002.jpg", "step_100000.png", "step_x.png", "a.png"):
        (tmp_path / name).touch()
    found = pictures_by_step(tmp_path)
    assert list(found) == [2, 10, 100_000]
    assert found[10] == tmp_path / "step_00010.png"
    assert pictures_by_step(tmp_path / "nothing") == {}
