from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import benchmark
import numpy as np
import pytest
import torch

from overpaint.optimisation import memory
from overpaint.pictures.io import read_picture
from overpaint.runs.stylize import stylize
from overpaint.settings.schema import Config

MakeConfig = Callable[..., Config]


class Receiver:
    """Keeps what a measuring process sends; hands out what it is to receive."""

    def __init__(self, *messages: Any) -> None:
        self.sent: list[Any] = []
        self._messages = list(messages)

    def send(self, message: Any) -> None:
        self.sent.append(message)

    def recv(self) -> Any:
        return self._messages.pop(0)


def words(config: Config) -> list[str]:
    return [
        f"content.image={config.content.image}",
        f"style.images=[{config.style.images[0]}]",
        f"encoder.weights={config.encoder.weights}",
        f"image.size={config.image.size}",
        f"output.dir={config.output.dir}",
        f"schedule.steps={config.schedule.steps}",
        "trainer.precision=32-true",
        "trainer.accelerator=cpu",
    ]


def test_the_plain_loop_does_what_the_project_does(make_config: MakeConfig) -> None:
    config = make_config("schedule.lr=constant", "schedule.steps=5", "trainer.precision=32-true")
    step, device, precision = benchmark.plain_step(config, "loop")
    assert (device.type, precision) == ("cpu", "32-true")
    for _ in range(5):
        step()
    images = [cell.cell_contents for cell in step.__closure__]
    (image,) = (value for value in images if isinstance(value, torch.nn.Parameter))
    picture = image.detach()[0].permute(1, 2, 0).numpy() * 255
    assert np.abs(picture - np.asarray(stylize(config).image)).max() < 0.6


def test_the_floor_ends_at_the_deepest_layer(
    make_config: MakeConfig, make_encoder: Callable[..., torch.nn.Module]
) -> None:
    config = make_config("trainer.precision=32-true")
    step, *_ = benchmark.plain_step(config, "floor")
    (network,) = (
        cell.cell_contents
        for cell in step.__closure__
        if isinstance(cell.cell_contents, torch.nn.Sequential)
    )
    expected = make_encoder("relu5_1")
    image = torch.rand((1, 3, 32, 32))
    normalized = (image - expected.mean) / expected.std
    torch.testing.assert_close(network(normalized), expected(image)["relu5_1"])
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["floor", "loop", "off"])
def test_a_measuring_process_answers_each_number_of_steps(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(memory, "keep_freed_memory", lambda: None)  # outlasts the test
    connection = Receiver(2, 1, None)
    benchmark.serve(connection, name, "configs/default.yaml", words(make_config()))
    (facts, peak), first, second = connection.sent
    assert facts == {"device": "cpu", "precision": "32-true"}
    assert first > 0
    assert second > 0
    assert peak is None or peak > 2**20


@pytest.mark.slow
def test_scores_fall_for_the_style_and_rise_for_the_content(
    make_config: MakeConfig,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(memory, "keep_freed_memory", lambda: None)
    connection = Receiver()
    config = make_config("schedule.steps=12", "image.size=64")  # edges that divide evenly
    from_the_photo = ("schedule.scales=[1.0]", "init.mode=content")
    strong = [*words(config), *from_the_photo, "style.weight=100", "loss.tv_weight=0"]
    benchmark.score_run(connection, "configs/default.yaml", strong, 4, str(tmp_path / "scored"))
    (rows,) = connection.sent
    assert [row[0] for row in rows] == [1, 4, 8, 12]
    _, seconds, style, content = zip(*rows, strict=True)
    assert list(seconds) == sorted(seconds)
    assert 1 > style[0] > style[-1] > 0
    assert 0 < content[0] < content[-1]
    (folder,) = (tmp_path / "scored").iterdir()
    assert read_picture(folder / "result.png").size == (64, 48)
