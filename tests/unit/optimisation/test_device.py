from __future__ import annotations

import pytest
import pytorch_lightning as pl
import torch

from overpaint.errors import ConfigError
from overpaint.optimisation import device

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("bf16", "amx", "expected"),
    [
        (False, False, "32-true"),
        (True, False, "bf16-mixed"),
        (False, True, "bf16-mixed"),
        (True, True, "bf16-mixed"),
    ],
)
def test_bfloat16_is_chosen_where_the_processor_has_it(
    monkeypatch: pytest.MonkeyPatch, bf16: bool, amx: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    assert device.best_precision(CPU) == expected


def test_a_pytorch_without_the_questions_gets_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported", raising=False)
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported", raising=False)
    assert device.best_precision(CPU) == "32-true"


def test_an_apple_gpu_computes_in_float32() -> None:
    assert device.best_precision(torch.device("mps")) == "32-true"


@pytest.mark.parametrize(
    ("cuda", "mps", "wish", "expected"),
    [
        (True, False, "auto", "cuda"),
        (True, False, "cpu", "cpu"),
        (False, True, "auto", "mps"),
        (False, True, "gpu", "mps"),
        (False, False, "auto", "cpu"),
    ],
)
def test_a_gpu_is_taken_before_the_cpu(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, wish: str, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert device.choose_device(wish).type == expected
    device.require_accelerator(wish)


def test_more_devices_than_there_are_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    device.require_accelerator("auto", 2)
    device.require_accelerator("cpu", 64)
    with pytest.raises(ConfigError, match=r"trainer\.devices: 3 asked for.* finds 2 cuda devices"):
        device.require_accelerator("auto", 3)


def test_an_apple_gpu_paints_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    device.require_accelerator("auto")
    for several in ((2, 1), (1, 2)):
        with pytest.raises(ConfigError, match="an Apple GPU paints alone"):
            device.require_accelerator("auto", *several)


@pytest.mark.parametrize("wish", ["gpu", "cuda", "mps"])
def test_a_device_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, wish: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=rf"trainer\.accelerator: PyTorch finds no {wish} device"):
        device.require_accelerator(wish)


def test_channels_lie_last_with_bfloat16_alone() -> None:
    assert device.best_layout("bf16-mixed") is torch.channels_last
    assert device.best_layout("32-true") is torch.contiguous_format


@pytest.mark.parametrize(
    ("precision", "dtype"), [("bf16-mixed", torch.bfloat16), ("32-true", torch.float32)]
)
def test_autocast_rounds_what_the_precision_says(precision: str, dtype: torch.dtype) -> None:
    factors = torch.full((4, 4), 1 / 3)
    with device.autocast(CPU, precision):
        assert (factors @ factors).dtype == dtype
    assert (factors @ factors).dtype == torch.float32, "it ends"


@pytest.mark.parametrize("precision", ["bf16-mixed", "32-true"])
def test_autocast_is_what_lightning_runs_the_steps_under(precision: str) -> None:
    trainer = pl.Trainer(
        accelerator="cpu", precision=precision, logger=False, enable_checkpointing=False
    )
    found = []
    for context in (
        device.autocast(CPU, precision),
        trainer.precision_plugin.forward_context(),
    ):
        with context:
            found.append((torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")))
    assert found[0][0] == found[1][0] == (precision == "bf16-mixed")
    assert found[0][0] is False or found[0] == found[1]
