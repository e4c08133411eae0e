from __future__ import annotations

from pathlib import Path

import pytest
import torch

from overpaint.errors import CheckpointError
from overpaint.records.checkpoints import WholeFiles, read_checkpoint


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "step_00001.ckpt"
    image = torch.rand(1, 3, 16, 24).to(memory_format=torch.channels_last)
    WholeFiles().save_checkpoint({"state_dict": {"image": image}, "seconds": 1.5}, path)
    return path


def test_tensors_come_back_in_their_memory_order(path: Path) -> None:
    image = read_checkpoint(path)["state_dict"]["image"]
    assert image.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(image, torch.as_tensor(image.tolist()))
    assert WholeFiles().load_checkpoint(path)["seconds"] == 1.5


def test_a_flipped_bit_anywhere_in_the_values_is_found(path: Path) -> None:
    whole = path.read_bytes()
    image = read_checkpoint(path)["state_dict"]["image"]
    where = whole.index(image.permute(0, 2, 3, 1).contiguous().numpy().tobytes())
    for place in range(where, where + 4 * image.numel(), 97):
        content = bytearray(whole)
        content[place] ^= 1
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"step_00001\.ckpt' cannot be read"):
            read_checkpoint(path)


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.999])
def test_a_part_of_a_file_is_refused(path: Path, share: float) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CheckpointError):
        read_checkpoint(path)


def test_a_missing_file_and_one_without_a_dictionary_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="No such file"):
        read_checkpoint(tmp_path / "nothing.ckpt")
    torch.save([1, 2], tmp_path / "list.ckpt")
    with pytest.raises(CheckpointError, match="is no checkpoint"):
        read_checkpoint(tmp_path / "list.ckpt")


def test_removing_a_checkpoint_twice_is_no_error(path: Path) -> None:
    WholeFiles().remove_checkpoint(path)
    WholeFiles().remove_checkpoint(path)
    assert not path.exists()
