from __future__ import annotations

import io
import logging
import math
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image
from pytorch_lightning.plugins.environments import LightningEnvironment
from rich.console import Console
from torch import Tensor, nn

from overpaint.callbacks.progress import ShowProgress, Snapshots, StopWhenDiverged
from overpaint.encoder.vgg import Vgg19Features
from overpaint.losses.objective import StyleObjective
from overpaint.optimisation.module import Divergence, StyleTransferModule
from overpaint.pictures.tensors import to_picture

# Lightning finds the encoder in evaluation mode, as it is meant to be.
pytestmark = pytest.mark.filterwarnings(r"ignore:Found \d+ module\(s\) in eval mode")

MakeModule = Callable[..., StyleTransferModule]


def picture(seed: int) -> Tensor:
    return torch.rand((1, 3, 8, 10), generator=torch.Generator().manual_seed(seed))


class Breaks(torch.optim.SGD):
    """Descends, and turns the image into NaN at one of its steps."""

    def __init__(self, parameter: nn.Parameter, *, lr: float, at: int) -> None:
        super().__init__([parameter], lr=lr)
        self._left = at

    def step(self, closure: Any = None) -> Any:
        loss = super().step(closure)
        self._left -= 1
        if self._left == 0:
            self.param_groups[0]["params"][0].data.fill_(torch.nan)
        return loss


@pytest.fixture
def make_module(make_encoder: Callable[..., Vgg19Features]) -> MakeModule:
    def build(
        *, steps: int, log_every: int = 1, content_weight: float = 1.0, breaks_at: int = 0
    ) -> StyleTransferModule:
        encoder = make_encoder("relu1_1")
        objective = StyleObjective(
            encoder(picture(0)),
            [encoder(picture(1))],
            content_layers={"relu1_1": 1.0},
            style_layers={"relu1_1": 1.0},
            content_weight=content_weight,
            style_weight=1.0,
        )
        return StyleTransferModule(
            picture(2),
            encoder,
            objective,
            build_optimizer=partial(Breaks, lr=0.25, at=breaks_at),
            steps=steps,
            log_every=log_every,
        )

    return build


def fit(module: StyleTransferModule, steps: int, *callbacks: pl.Callback) -> pl.Trainer:
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        plugins=[LightningEnvironment()],
        max_steps=steps,
        logger=False,
        callbacks=list(callbacks),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, range(steps))
    return trainer


class Trace(pl.Callback):
    """Keeps the image after each step."""

    def __init__(self) -> None:
        self.images: dict[int, Tensor] = {}

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any
    ) -> None:
        assert isinstance(pl_module, StyleTransferModule)
        self.images[trainer.global_step] = pl_module.image.detach().clone()


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


def lines_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "overpaint.callbacks.progress"]


@pytest.mark.parametrize(
    "console", [None, Console(file=io.StringIO(), force_terminal=False)], ids=["none", "a file"]
)
def test_progress_without_a_terminal_is_a_few_log_lines(
    make_module: MakeModule, caplog: pytest.LogCaptureFixture, console: Console | None
) -> None:
    with caplog.at_level(logging.INFO, logger="overpaint"):
        fit(make_module(steps=6), 6, ShowProgress(6, console=console, lines=3))
    lines = lines_of(caplog)
    assert lines[0].startswith("step 1/6  total ")
    assert lines[-1].startswith("step 6/6  total ")
    assert lines[-1].endswith("0 s left")
    number = r"\d[\d.e+-]*"
    for line in lines:
        assert re.fullmatch(
            rf"step \d/6  total {number}  content {number}  style {number}"
            rf"  {number} steps/s  \d+ s left",
            line,
        )
    if console is not None:
        assert console.file.getvalue() == ""  # type: ignore[attr-defined]


def test_progress_shows_the_losses_of_its_step(
    make_module: MakeModule, caplog: pytest.LogCaptureFixture
) -> None:
    module = make_module(steps=1)
    with torch.no_grad():
        terms = module(module.image)
    with caplog.at_level(logging.INFO, logger="overpaint"):
        fit(module, 1, ShowProgress(1))
    total, content, style = (float(x) for x in (terms.total, terms.content, terms.style))
    assert f"total {total:.4g}  content {content:.4g}  style {style:.4g}" in lines_of(caplog)[0]


@pytest.mark.parametrize(
    ("steps", "lines", "log_every"),
    [(1, 10, 1), (7, 3, 1), (10, 10, 1), (20, 5, 3), (15, 2, 4)],
)
def test_progress_logs_no_more_lines_than_asked(
    make_module: MakeModule,
    caplog: pytest.LogCaptureFixture,
    steps: int,
    lines: int,
    log_every: int,
) -> None:
    module = make_module(steps=steps, log_every=log_every)
    with caplog.at_level(logging.INFO, logger="overpaint"):
        fit(module, steps, ShowProgress(steps, lines=lines))
    shown = [int(line.split("/")[0].removeprefix("step ")) for line in lines_of(caplog)]
    assert shown == sorted(set(shown))
    assert {1, steps} <= set(shown)
    assert all(module.is_logged(step) for step in shown), "with losses that belong to the step"
    assert len(shown) <= lines


HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Console:
    monkeypatch.setenv("TERM", "xterm-256color")
    return Console(force_terminal=True, file=io.StringIO(), width=140)


def test_progress_on_a_terminal_is_a_bar(
    make_module: MakeModule, terminal: Console, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="overpaint"):
        fit(make_module(steps=4), 4, ShowProgress(4, console=terminal))
    drawn = terminal.file.getvalue()  # type: ignore[attr-defined]
    last = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", drawn).splitlines()[-1]
    assert "━" in last
    assert re.search(r"4/4 total \d\S*  content \d\S*  style \d\S* [\d.]+ steps/s", last)
    assert lines_of(caplog) == []


def test_the_terminal_is_given_back_at_the_end(make_module: MakeModule, terminal: Console) -> None:
    fit(make_module(steps=2), 2, ShowProgress(2, console=terminal))
    drawn = terminal.file.getvalue()  # type: ignore[attr-defined]
    assert drawn.rindex(SHOW_CURSOR) > drawn.rindex(HIDE_CURSOR)


def test_the_terminal_is_given_back_after_an_error(
    make_module: MakeModule, terminal: Console
) -> None:
    class Fails(pl.Callback):
        def on_train_batch_end(self, *args: Any) -> None:
            raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space left"):
        fit(make_module(steps=4), 4, Fails(), ShowProgress(4, console=terminal))
    drawn = terminal.file.getvalue()  # type: ignore[attr-defined]
    assert drawn.rindex(SHOW_CURSOR) > drawn.rindex(HIDE_CURSOR)
