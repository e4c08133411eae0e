from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fits import MakeModule, Trace, fit
from PIL import Image

from overpaint.callbacks.snapshots import Snapshots
from overpaint.pictures.tensors import to_picture


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [1, 7]),
        ({"every": 3}, [1, 3, 6, 7]),
        ({"steps": (2, 5)}, [1, 2, 5, 7]),
        ({"steps": (3, 99), "every": 6}, [1, 3, 6, 7]),
    ],
)
def test_snapshots_are_kept_of_the_chosen_the_first_and_the_last_step(
    make_module: MakeModule, tmp_path: Path, settings: dict[str, Any], expected: list[int]
) -> None:
    snapshots = Snapshots(tmp_path, last=7, **settings)
    fit(make_module(steps=7), 7, snapshots)
    assert [step for step in range(1, 8) if snapshots.is_chosen(step)] == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"step_{step:05d}.png" for step in expected
    ]


def test_a_snapshot_is_the_image_that_its_step_made(
    make_module: MakeModule, tmp_path: Path
) -> None:
    trace = Trace()
    module = make_module(steps=4)
    fit(module, 4, Snapshots(tmp_path, every=1, last=4), trace)
    for step, image in trace.images.items():
        with Image.open(tmp_path / f"step_{step:05d}.png") as file:
            levels = np.asarray(file).astype(np.float64)
        exact = image[0].permute(1, 2, 0).double().numpy() * 255
        assert abs(levels - exact).max() < 0.5001
    assert not torch.equal(trace.images[1], trace.images[2])
    assert torch.equal(trace.images[4], module.image)


def test_a_snapshot_is_what_people_are_to_see_of_the_image(
    make_module: MakeModule, tmp_path: Path
) -> None:
    module = make_module(steps=1, show=lambda image: 1 - image)
    fit(module, 1, Snapshots(tmp_path, last=1))
    with Image.open(tmp_path / "step_00001.png") as file:
        found = np.asarray(file)
    assert found.tobytes() == to_picture(1 - module.image).tobytes()
    assert torch.equal(module.shown(), 1 - module.image)


def test_snapshots_are_handed_on_with_their_step(make_module: MakeModule, tmp_path: Path) -> None:
    published: list[tuple[int, Image.Image]] = []
    snapshots = Snapshots(
        tmp_path, every=2, last=5, publish=lambda step, image: published.append((step, image))
    )
    fit(make_module(steps=5), 5, snapshots)
    assert [step for step, _ in published] == [1, 2, 4, 5]
    for step, image in published:
        with Image.open(tmp_path / f"step_{step:05d}.png") as file:
            assert file.tobytes() == image.tobytes()


def test_a_full_disk_costs_one_warning_and_no_step(
    make_module: MakeModule,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    published: list[int] = []
    snapshots = Snapshots(
        tmp_path, every=1, last=3, publish=lambda step, image: published.append(step)
    )
    module = make_module(steps=3)
    fit(module, 3, snapshots)
    assert module.completed == 3
    assert published == [1, 2, 3]
    assert list(tmp_path.iterdir()) == []
    first = tmp_path / "step_00001.png"
    told = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert told == [f"'{first}': cannot be written (No space left on device). The run goes on."]


def test_large_images_are_kept_and_handed_on_smaller(
    make_module: MakeModule, tmp_path: Path
) -> None:
    published: list[Image.Image] = []
    module = make_module(steps=1)
    height, width = module.image.shape[-2:]
    edge = max(height, width) // 2
    fit(
        module,
        1,
        Snapshots(
            tmp_path, last=1, max_edge=edge, publish=lambda step, image: published.append(image)
        ),
    )
    with Image.open(tmp_path / "step_00001.png") as file:
        assert max(file.size) == edge
        assert file.size == published[0].size
        assert file.width * height == pytest.approx(file.height * width, rel=0.1)


@pytest.mark.parametrize(
    ("last", "every", "stride"),
    [
        (120, 50, 50),
        (1000, 10, 10),
        (1010, 10, 20),
        (3000, 1, 32),
        (3000, 10, 40),
        (100_000, 1, 1024),
    ],
)
def test_of_many_regular_snapshots_at_most_a_hundred_are_handed_on(
    tmp_path: Path, last: int, every: int, stride: int
) -> None:
    snapshots = Snapshots(tmp_path, steps=(2, 7), every=every, last=last)
    handed_on = [step for step in range(1, last + 1) if snapshots.is_published(step)]
    assert handed_on == sorted({1, 2, 7, last, *range(stride, last + 1, stride)})
    assert len(handed_on) <= 104
    assert all(snapshots.is_chosen(step) for step in handed_on)


def test_what_is_not_handed_on_is_a_file(make_module: MakeModule, tmp_path: Path) -> None:
    published: list[int] = []
    snapshots = Snapshots(
        tmp_path, every=1, last=5, publish=lambda step, image: published.append(step)
    )
    snapshots.is_published = lambda step: step == 4  # type: ignore[method-assign]
    fit(make_module(steps=5), 5, snapshots)
    assert published == [4]
    assert len(list(tmp_path.iterdir())) == 5
