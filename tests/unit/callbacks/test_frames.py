from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from fits import MakeModule, Trace, fit
from PIL import Image

from overpaint.callbacks.frames import KeepFrames


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_start_and_the_chosen_steps_are_kept(make_module: MakeModule, tmp_path: Path) -> None:
    frames = tmp_path / "kept" / "frames"
    module, trace = make_module(steps=5), Trace()
    start = module.image.detach().clone()
    fit(module, 5, KeepFrames(frames, steps=[0, 2, 5, 9], edge=100), trace)
    assert names(frames) == ["step_00000.jpg", "step_00002.jpg", "step_00005.jpg"]
    for step, image in ((0, start), (2, trace.images[2]), (5, trace.images[5])):
        with Image.open(frames / f"step_{step:05d}.jpg") as file:
            assert file.size == (10, 8)
            levels = np.asarray(file).astype(np.float64)
        exact = image[0].permute(1, 2, 0).double().numpy() * 255
        assert abs(levels - exact).mean() < 6


def test_frames_are_no_larger_than_asked_for(make_module: MakeModule, tmp_path: Path) -> None:
    fit(make_module(steps=1), 1, KeepFrames(tmp_path, steps=[1], edge=5))
    with Image.open(tmp_path / "step_00001.jpg") as file:
        assert file.size == (5, 4)


def test_a_frame_is_what_people_are_to_see_of_the_image(
    make_module: MakeModule, tmp_path: Path
) -> None:
    module = make_module(steps=1, show=lambda image: image * 0)
    fit(module, 1, KeepFrames(tmp_path, steps=[0, 1], edge=100))
    for path in tmp_path.iterdir():
        with Image.open(path) as file:
            assert np.asarray(file).max() < 3
    assert float(module.image.detach().max()) > 0.5


def test_frames_leave_the_image_as_it_is(make_module: MakeModule, tmp_path: Path) -> None:
    one, other = make_module(steps=4), make_module(steps=4)
    fit(one, 4)
    fit(other, 4, KeepFrames(tmp_path, steps=range(5), edge=5))
    assert torch.equal(one.image, other.image)
    assert len(names(tmp_path)) == 5


def test_frames_of_steps_that_are_done_again_go(tmp_path: Path) -> None:
    for step in (0, 3, 4, 70_000):
        (tmp_path / f"step_{step:05d}.jpg").touch()
    (tmp_path / "step_mine.jpg").touch()
    KeepFrames(tmp_path, steps=[], edge=5, completed=3)
    assert names(tmp_path) == ["step_00000.jpg", "step_00003.jpg", "step_mine.jpg"]


def test_a_full_disk_costs_one_warning_and_no_step(
    make_module: MakeModule,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    module = make_module(steps=3)
    fit(module, 3, KeepFrames(tmp_path, steps=range(4), edge=5))
    assert module.completed == 3
    told = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert told == [
        f"'{tmp_path / 'step_00000.jpg'}': cannot be written (No space left on device); "
        "the time-lapse will have no more of these."
    ]
