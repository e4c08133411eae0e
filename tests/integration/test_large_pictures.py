"""Runs in bands, at sizes where they are not needed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import memory_curve
import numpy as np
import pytest
from conftest import InterruptAfter

from overpaint.banding import plan
from overpaint.building.sources import read_sources
from overpaint.records.result import PaintResult
from overpaint.runs.resume import resume
from overpaint.runs.stylize import stylize
from overpaint.settings.schema import Config
from overpaint.tuning.workbench import open_workbench

pytestmark = pytest.mark.usefixtures("one_thread")

MakeConfig = Callable[..., Config]


@pytest.fixture
def low_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a small picture has several."""
    monkeypatch.setattr(plan, "_VALUES", 1)
    monkeypatch.setattr(plan, "_LEAST_ROWS", 4)


def difference(one: PaintResult, other: PaintResult) -> float:
    """The mean, in grey levels."""
    return float(np.abs(np.asarray(one.image, float) - np.asarray(other.image, float)).mean())


@pytest.mark.usefixtures("low_bands")
@pytest.mark.parametrize(
    "words",
    [
        ("optimizer.name=adam",),
        ("optimizer.name=lbfgs",),
        ("optimizer.name=lbfgs", "optimizer.lbfgs.line_search=strong_wolfe"),
        ("style.statistics=gram", "loss.normalization=gatys", "encoder.pooling=avg"),
    ],
)
def test_a_run_in_bands_makes_the_picture_of_a_plain_one(
    make_config: MakeConfig, words: tuple[str, ...]
) -> None:
    words = (*words, "image.size=51", "schedule.scales=[0.5, 1.0]", "trainer.precision=32-true")
    plain, banded = (
        stylize(make_config(*words, f"trainer.memory={way}")) for way in ("plain", "banded")
    )
    start = stylize(make_config(*words, "optimizer.lr=1e-7"))
    assert difference(plain, start) > 1
    assert difference(plain, banded) < 0.1
    for name, loss in plain.losses.items():
        assert banded.losses[name] == pytest.approx(loss, rel=1e-3)


@pytest.mark.usefixtures("low_bands")
def test_a_run_in_bfloat16_and_bands_makes_nearly_the_picture_of_a_plain_one(
    make_config: MakeConfig,
) -> None:
    words = ("image.size=64", "trainer.precision=bf16-mixed", "schedule.scales=[1.0]")
    plain, banded = (
        stylize(make_config(*words, f"trainer.memory={way}")) for way in ("plain", "banded")
    )
    assert difference(plain, banded) < 3  # of some ten that the steps move it by


@pytest.mark.usefixtures("low_bands")
def test_a_run_in_bands_goes_on_after_an_interrupt(make_config: MakeConfig) -> None:
    config = make_config("schedule.scales=[1.0]", "trainer.memory=banded")
    whole = stylize(config)
    cut = stylize(config, callbacks=[InterruptAfter(2)])
    assert cut.interrupted
    again = resume(cut.folder)
    np.testing.assert_array_equal(np.asarray(again.image), np.asarray(whole.image))


@pytest.mark.usefixtures("low_bands")
def test_trials_of_rates_are_a_batch_in_bands(make_config: MakeConfig) -> None:
    found = []
    for way in ("plain", "banded"):
        config = make_config("image.size=32", "trainer.precision=32-true", f"trainer.memory={way}")
        bench = open_workbench(config, read_sources(config))
        assert any(bench.problem.objective.bands) == (way == "banded")
        found.append(bench.try_rates([0.01, 0.03], 3))
    for one, other in zip(*found, strict=True):
        assert other.losses == pytest.approx(one.losses, rel=1e-3)


def test_a_picture_in_bands_is_not_compiled_and_that_is_said(
    make_config: MakeConfig, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "overpaint"):
        result = stylize(make_config("trainer.memory=banded", "trainer.compile=always"))
    assert not result.compiled
    assert "trainer.compile: a picture in bands is not compiled." in caplog.text
    assert "block 1" not in caplog.text
    assert "blocks 1 to 3 in bands of" in caplog.text


PEAK = """
import sys
from memory_curve import serve_memory

class Pipe:
    steps = [1, None]
    def recv(self):
        return self.steps.pop(0)
    def send(self, answer):
        _, taken, _ = answer
        print(taken)

serve_memory(Pipe(), sys.argv[1], "default", sys.argv[2:])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere peaks are told otherwise")
def test_a_step_in_bands_takes_half_a_kilobyte_a_pixel_less(photo: Path, painting: Path) -> None:
    """Libraries that are loaded with the first step are in both."""
    words = [
        f"content.image={photo}",
        f"style.images=[{painting}]",
        "image.size=768",
        "style.scale=0.25",
        "schedule.scales=[1.0]",
        "trainer.precision=32-true",
        "trainer.accelerator=cpu",
    ]
    folder = str(Path(memory_curve.__file__).parent)
    program = f"import sys; sys.path.insert(0, {folder!r})\n{PEAK}"
    plain, banded = (
        int(
            subprocess.run(
                [sys.executable, "-c", program, way, *words],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
                timeout=200,
            ).stdout
        )
        for way in memory_curve.WAYS.values()
    )
    assert plain - banded > 500 * 768 * 576


def test_the_curve_is_a_line_for_each_way() -> None:
    row: dict[str, Any] = {
        "size": 1000,
        "pixels": 750_000,
        "steps": 2,
        "seconds_per_step": {"plain": [1.0, 1.2, 1.1], "banded": [1.3, 1.5, 1.32]},
        "bytes_taken": {"plain": 1_500_000_000, "banded": 150_000_000},
    }
    head, plain, banded = memory_curve.lines(row)
    assert "1000 px, 0.75 million pixels" in head
    assert "1.10 s a step" in plain
    assert "2000 bytes a pixel" in plain
    assert "200 bytes a pixel" in banded
    assert "1.25 of plain (1.20 to 1.30)" in banded
