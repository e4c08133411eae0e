from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
import torch

from overpaint.building.bands import choose_bands, foresee
from overpaint.encoder.layers import WIDTHS, convolutions_up_to
from overpaint.encoder.slim import BUILT_IN, read_slim
from overpaint.settings.schema import Config

MakeConfig = Callable[..., Config]
LARGE = (1, 3, 3072, 4096)
GB = 10**9


@pytest.mark.parametrize(
    ("setting", "free", "in_bands"),
    [
        ("auto", 100 * GB, False),
        ("auto", 10 * GB, True),
        ("auto", None, False),
        ("plain", 10 * GB, False),
        ("banded", 100 * GB, True),
        ("banded", None, True),
    ],
)
def test_bands_are_taken_where_they_are_asked_for_or_memory_is_short(
    make_config: MakeConfig, setting: str, free: int | None, in_bands: bool
) -> None:
    words = (f"trainer.memory={setting}", "trainer.precision=bf16-mixed")
    found = foresee(make_config(*words), LARGE, [12_000_000], free)
    assert (found.plan is not None) == in_bands
    assert found.needed == (found.banded if in_bands else found.plain)
    assert 4 * found.banded < found.plain


def test_auto_never_takes_bands_that_cost_more_than_they_save(make_config: MakeConfig) -> None:
    found = foresee(make_config(), (1, 3, 24, 32), [800], 1000)
    assert found.plan is None or found.banded < found.plain


def test_a_large_picture_is_told_of_in_one_line_and_a_small_one_in_none(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("overpaint.building.bands.free_memory_bytes", lambda device: 10 * GB)
    config, cpu = make_config("trainer.precision=bf16-mixed"), torch.device("cpu")
    with caplog.at_level(logging.INFO, "overpaint"):
        choose_bands(config, (1, 3, 240, 320), [10_000], cpu)
        assert not caplog.records
        choose_bands(config, LARGE, [12_000_000], cpu)
    (line,) = (record.getMessage() for record in caplog.records)
    assert line.startswith("4096x3072 pixels take about ")
    assert " of 10.0 GB that are free: blocks 1 to 4 in bands of " in line
    assert "(whole: 2" in line


def test_a_long_history_is_warned_of(
    make_config: MakeConfig, caplog: pytest.LogCaptureFixture
) -> None:
    words = ("optimizer.name=lbfgs", "schedule.steps=50", "trainer.memory=banded")
    with caplog.at_level(logging.WARNING, "overpaint"):
        choose_bands(make_config(*words), LARGE, [12_000_000], torch.device("cpu"))
    (line,) = (record.getMessage() for record in caplog.records)
    assert "20 pairs take 6.0 GB" in line


def test_the_widths_for_estimates_are_those_of_the_networks() -> None:
    tensors, _ = read_slim(BUILT_IN)
    slim = [tensors[f"conv{block}_1.weight"].shape[0] for block in range(1, 6)]
    assert WIDTHS["vgg19_slim"] == tuple(slim)
    table = convolutions_up_to(["relu5_4"])
    assert WIDTHS["vgg19"] == tuple(
        next(one.out_channels for one in table if one.block == block) for block in range(1, 6)
    )
