from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from fits import MakeModule, Trace, fit, picture
from PIL import Image

from overpaint.callbacks.divergence import StopWhenDiverged
from overpaint.callbacks.progress import ShowProgress
from overpaint.callbacks.snapshots import Snapshots
from overpaint.optimisation.guard import Divergence
from overpaint.pictures.tensors import to_picture


@pytest.mark.parametrize(
    ("log_every", "found_at"), [(1, 3), (2, 4), (5, 5)], ids=["next", "multiple", "later"]
)
def test_a_broken_picture_stops_the_run_at_the_next_logged_step(
    make_module: MakeModule, log_every: int, found_at: int
) -> None:
    trace = Trace()
    module = make_module(steps=9, log_every=log_every, breaks_at=3)
    trainer = fit(module, 9, trace, StopWhenDiverged())
    assert trainer.global_step == max(trace.images) == found_at
    assert module.divergence() == Divergence(step=3, what="picture", rate=0.25, last_good=2)
    assert torch.equal(module.image, trace.images[2])


def test_an_infinite_loss_stops_the_run_at_its_start(make_module: MakeModule) -> None:
    module = make_module(steps=4, content_weight=math.inf)
    assert fit(module, 4, StopWhenDiverged()).global_step == 1
    assert module.divergence() == Divergence(step=1, what="loss", rate=0.25, last_good=0)
    assert torch.equal(module.image, picture(2))


@pytest.mark.parametrize("broken_at", [1, 3, 4])
def test_snapshots_of_a_broken_run_hold_the_last_good_picture(
    make_module: MakeModule, tmp_path: Path, broken_at: int
) -> None:
    module = make_module(steps=5, log_every=2, breaks_at=broken_at)
    fit(module, 5, StopWhenDiverged(), Snapshots(tmp_path, every=1, last=5), ShowProgress(5))
    good = to_picture(module.image)
    saved = sorted(tmp_path.iterdir())
    assert len(saved) == (1 if broken_at == 1 else 4), "step 1 and each second one are logged"
    for step, path in enumerate(saved, 1):
        with Image.open(path) as file:
            assert (file.tobytes() == good.tobytes()) == (step >= broken_at - 1)


def test_a_finite_run_is_not_stopped(make_module: MakeModule) -> None:
    module = make_module(steps=4)
    assert fit(module, 4, StopWhenDiverged()).global_step == 4
    assert module.divergence() is None
