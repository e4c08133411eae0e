from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from conftest import InterruptAfter
from PIL import Image

from overpaint.pictures.io import read_picture, resize
from overpaint.pictures.tensors import enlarge_picture, to_picture, to_tensor
from overpaint.runs import pyramid
from overpaint.runs.resume import resume
from overpaint.runs.stylize import stylize
from overpaint.settings.schema import Config

pytestmark = pytest.mark.usefixtures("one_thread")

MakeConfig = Callable[..., Config]
COARSE_TO_FINE = (
    "image.size=64",
    "schedule.scales=[0.5, 1.0]",
    "schedule.shares=[2, 1]",
    "schedule.steps=9",
    "tracking.log_every=2",
)


def test_sizes_follow_each_other_on_one_step_axis(make_config: MakeConfig) -> None:
    config = make_config(*COARSE_TO_FINE, "snapshots.steps=[6, 7]", "schedule.lr=cosine")
    result = stylize(config)
    with (result.folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["1", "2", "4", "6", "8", "9"]
    rates = [float(row["optimizer/lr"]) for row in rows]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == pytest.approx(0.03)
    assert rates[-1] < 0.004
    sizes = {}
    for path in sorted((result.folder / "snapshots").iterdir()):
        with Image.open(path) as image:
            sizes[path.stem] = image.size
    assert sizes == {
        "step_00001": (32, 24),
        "step_00006": (32, 24),
        "step_00007": (64, 48),
        "step_00009": (64, 48),
    }
    assert result.steps == result.evaluations == 9
    assert result.image.size == (64, 48)
    assert float(rows[-1]["loss/total"]) < float(rows[0]["loss/total"])


def test_coarse_to_fine_in_bfloat16_is_the_same_bit_for_bit(make_config: MakeConfig) -> None:
    config = make_config(*COARSE_TO_FINE, "trainer.precision=bf16-mixed", "init.mode=blend")
    first, again = stylize(config), stylize(config)
    np.testing.assert_array_equal(np.asarray(first.image), np.asarray(again.image))
    assert first.precision == "bf16-mixed"


def test_bfloat16_makes_nearly_the_picture_of_float32(make_config: MakeConfig) -> None:
    def run(precision: str) -> np.ndarray:
        config = make_config("image.size=64", f"trainer.precision={precision}", "schedule.steps=5")
        return np.asarray(stylize(config).image, float)

    exact, rounded = run("32-true"), run("bf16-mixed")
    assert not np.array_equal(exact, rounded), "the setting must reach the arithmetic"
    assert np.abs(exact - rounded).mean() < 5  # grey levels; the five steps move it by 15


def test_an_interrupt_at_a_small_size_leaves_a_whole_picture(
    make_config: MakeConfig,
) -> None:
    result = stylize(make_config(*COARSE_TO_FINE), callbacks=[InterruptAfter(2)])
    assert (result.interrupted, result.steps) == (True, 2)
    assert result.image.size == (64, 48)


def test_what_is_carried_is_the_picture_or_has_the_photos_detail(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a pull and nearly without a rate, what was carried is what comes out."""
    still = (*COARSE_TO_FINE, "optimizer.lr=1e-7", "init.mode=content")
    found = {
        carry: np.asarray(stylize(make_config(*still, f"schedule.carry={carry}")).image, float)
        for carry in ("paint", "picture", "detail")
    }
    config = make_config(*still)
    photo = resize(read_picture(config.content.image), (48, 64))
    small = to_tensor(resize(read_picture(config.content.image), (24, 32)))
    enlarged = to_picture(enlarge_picture(small, (48, 64)))
    assert np.abs(found["paint"] - np.asarray(photo, float)).max() <= 1
    assert np.abs(found["detail"] - np.asarray(photo, float)).max() <= 1
    assert np.abs(found["picture"] - np.asarray(enlarged, float)).max() <= 1
    assert np.abs(found["picture"] - found["paint"]).max() > 5


@pytest.mark.parametrize("carry", ["detail", "paint"])
@pytest.mark.parametrize(
    "words",
    [
        ("init.mode=file", "init.file={grey}"),
        ("init.mode=file", "init.file={grey}", "content.weight=0"),
        ("init.mode=style", "style.images=[{grey}]"),
    ],
)
def test_a_picture_that_did_not_start_from_the_photo_gets_none_of_its_detail(
    make_config: MakeConfig, tmp_path: Path, carry: str, words: tuple[str, ...]
) -> None:
    grey = tmp_path / "grey.png"
    Image.new("RGB", (64, 48), (128, 128, 128)).save(grey)
    words = tuple(word.format(grey=grey) for word in words)
    still = (*COARSE_TO_FINE, "optimizer.lr=1e-7", f"schedule.carry={carry}")
    result = stylize(make_config(*still, *words))
    assert np.abs(np.asarray(result.image, float) - 128).max() <= 1


@pytest.mark.parametrize("words", [("content.weight=0", "init.mode=content"), ("init.mode=noise",)])
def test_without_the_photo_the_picture_itself_is_carried(
    make_config: MakeConfig, words: tuple[str, ...]
) -> None:
    still = (*COARSE_TO_FINE, "optimizer.lr=1e-7", *words)
    pictures = [
        np.asarray(stylize(make_config(*still, f"schedule.carry={carry}")).image)
        for carry in ("picture", "detail", "paint")
    ]
    np.testing.assert_array_equal(pictures[0], pictures[1])
    np.testing.assert_array_equal(pictures[0], pictures[2])


def test_covariances_paint_another_picture_than_gram_matrices(make_config: MakeConfig) -> None:
    gram, covariance = (
        stylize(make_config("schedule.steps=5", f"style.statistics={name}"))
        for name in ("gram", "covariance")
    )
    assert np.abs(np.asarray(gram.image, float) - np.asarray(covariance.image)).mean() > 0.5
    assert gram.losses["style"] != pytest.approx(covariance.losses["style"], rel=0.01)


def test_a_larger_style_scale_gives_another_picture(make_config: MakeConfig) -> None:
    base = stylize(make_config("schedule.steps=5"))
    broad = stylize(make_config("schedule.steps=5", "style.scale=2.0"))
    assert np.abs(np.asarray(base.image, float) - np.asarray(broad.image, float)).mean() > 0.5


@pytest.mark.slow
def test_compiling_is_recorded_and_leaves_the_picture_as_it_is(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_, graphs = torch.compile, []

    def backend(module: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> object:
        graphs.append(module)
        return module.forward

    torch._dynamo.reset()
    monkeypatch.setattr(
        torch,
        "compile",
        lambda function, mode, **options: compile_(function, backend=backend, **options),
    )
    plain, compiled = (
        stylize(make_config(*COARSE_TO_FINE, f"trainer.compile={word}"))
        for word in ("never", "always")
    )
    assert (plain.compiled, compiled.compiled) == (False, True)
    assert len(graphs) == 2, "one for each size: the steps use what was rehearsed"
    for result in (plain, compiled):
        environment = json.loads((result.folder / "environment.json").read_text())
        assert environment["compiled"] is result.compiled
    difference = np.asarray(plain.image).astype(int) - np.asarray(compiled.image)
    assert np.abs(difference).max() <= 1


def test_a_run_goes_on_where_compiling_fails(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object, **__: object) -> object:
        raise RuntimeError("no compiler here")

    expected = stylize(make_config("trainer.compile=never"))
    monkeypatch.setattr(torch, "compile", fails)
    result = stylize(make_config("trainer.compile=always"))
    assert "torch.compile failed (no compiler here); going on without it." in caplog.messages
    assert not result.compiled
    np.testing.assert_array_equal(np.asarray(result.image), np.asarray(expected.image))


def test_an_interrupt_between_two_sizes_keeps_the_smaller_picture(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_problem, calls = pyramid.build_problem, []

    def interrupted(*args: object, **options: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return build_problem(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(pyramid, "build_problem", interrupted)
    result = stylize(make_config(*COARSE_TO_FINE))
    assert result.interrupted
    assert 0 < result.steps < 9
    assert result.image.size == (64, 48)


def test_an_interrupt_before_there_is_a_picture_is_one(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(pyramid, "build_problem", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stylize(make_config(*COARSE_TO_FINE))


class StopAfter(pl.Callback):
    """Ends a fit as Lightning's own EarlyStopping does."""

    def __init__(self, step: int) -> None:
        self._step = step

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *args: Any) -> None:
        if pl_module.completed == self._step:
            trainer.should_stop = True


@pytest.mark.parametrize("step", [2, 11])
def test_a_callback_that_stops_a_size_stops_the_run(make_config: MakeConfig, step: int) -> None:
    config = make_config("image.size=64", "schedule.scales=[0.5, 1.0]", "schedule.steps=12")
    result = stylize(config, callbacks=[StopAfter(step)])
    assert result.steps == step
    assert result.interrupted
    went_on = resume(result.folder)
    assert went_on is not None
    assert went_on.losses == stylize(config).losses
