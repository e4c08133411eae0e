from __future__ import annotations

from pathlib import Path

import pytest
import torch

from overpaint.errors import CheckpointError
from overpaint.records.checkpoints import CheckpointFolder, Origin, WholeFiles

ORIGIN = Origin({"content.image": "ab"}, "cd", {"torch": "2"}, None)


def save(folder: CheckpointFolder, *steps: int) -> None:
    for step in steps:
        WholeFiles().save_checkpoint({"step": torch.tensor(step)}, folder.place(step))


def test_what_a_run_began_with_comes_back(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    with folder.locked():
        folder.begin("seed: 1\n", ORIGIN)
    assert folder.whole_settings().read_text().endswith("\nseed: 1\n")
    assert folder.origin() == ORIGIN


@pytest.mark.parametrize("change", [("1", "2"), ("seed", "sed"), ("sha256", ""), ("\n", "")])
def test_settings_that_were_edited_are_refused(tmp_path: Path, change: tuple[str, str]) -> None:
    folder = CheckpointFolder(tmp_path)
    with folder.locked():
        folder.begin("seed: 1\n", ORIGIN)
    folder.settings.write_text(folder.settings.read_text().replace(*change))
    with pytest.raises(CheckpointError, match=r"settings\.yaml' is damaged or was edited"):
        folder.whole_settings()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"inputs": {}}', "\0"])
def test_a_damaged_beginning_is_refused(tmp_path: Path, content: str) -> None:
    folder = CheckpointFolder(tmp_path)
    with folder.locked():
        folder.begin("", ORIGIN)
    (folder.path / "origin.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"origin\.json' cannot be read"):
        folder.origin()


def test_the_newest_two_stay_by_their_steps_and_not_their_names(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    with folder.locked():
        save(folder, 9, 99_999, 100_000)
        found = sorted(path.name for path in folder.path.glob("*.ckpt"))
        assert found == ["step_100000.ckpt", "step_99999.ckpt"]
        newest = folder.newest()
    assert newest is not None
    assert newest[1]["step"] == 100_000


def test_a_damaged_one_no_longer_counts_as_the_newest(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    with folder.locked():
        save(folder, 4, 5)
        (folder.path / "step_00005.ckpt").write_bytes(b"damaged")
        newest = folder.newest()
        assert newest is not None
        assert newest[1]["step"] == 4
        save(folder, 5)
        assert sorted(path.name for path in folder.path.glob("*.ckpt")) == [
            "step_00004.ckpt",
            "step_00005.ckpt",
        ]


def test_one_at_a_time_may_paint_and_then_the_next(tmp_path: Path) -> None:
    first, second = CheckpointFolder(tmp_path), CheckpointFolder(tmp_path)
    with (
        first.locked(),
        pytest.raises(CheckpointError, match="painted by another process"),
        second.locked(),
    ):
        pass
    with second.locked():
        save(second, 1)
        second.finish()
    assert not second.path.exists()
