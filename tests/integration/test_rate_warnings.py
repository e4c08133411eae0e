"""What a run says about a learning rate that does not suit it."""

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
from conftest import REPOSITORY, wandb_records
from PIL import Image

from overpaint.cli import run as run_words
from overpaint.errors import DivergedError
from overpaint.optimisation.module import StyleTransferModule
from overpaint.runs.stylize import stylize
from overpaint.settings.schema import Config
from overpaint.settings.writing import to_yaml

pytestmark = pytest.mark.usefixtures("one_thread")

MakeConfig = Callable[..., Config]


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def environment_of(folder: Path) -> Any:
    def refuse(token: str) -> None:
        raise AssertionError(f"{token} is no JSON")

    return json.loads((folder / "environment.json").read_text(), parse_constant=refuse)


def summary_of(records: list[dict[str, Any]]) -> dict[str, Any]:
    summary: dict[str, Any] = {}
    for record in records:
        if record["type"] == "summary":
            summary.update(record["summary"]["update"])
    return summary


@pytest.fixture
def run_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[[Config], tuple[int, Path, str]]:
    """Runs settings as the command does: exit status, run folder, what the terminal shows."""

    def run(config: Config) -> tuple[int, Path, str]:
        settings = tmp_path / "settings.yaml"
        settings.write_text(to_yaml(config))
        monkeypatch.setattr("sys.argv", ["overpaint"])
        status = run_words(["--config", str(settings)])
        (folder,) = (tmp_path / "runs").iterdir()
        return status, folder, capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    ("kind", "rate", "proposal", "title"),
    [
        ("too_low", "0.0003", "optimizer.lr=0.0", "Learning rate too low"),
        ("too_high", "3.0", "optimizer.lr=0.3", "Learning rate too high"),
    ],
)
def test_a_rate_a_hundred_times_off_is_said_everywhere(
    make_config: MakeConfig,
    run_command: Callable[[Config], tuple[int, Path, str]],
    kind: str,
    rate: str,
    proposal: str,
    title: str,
) -> None:
    config = make_config(
        f"optimizer.lr={rate}",
        "schedule.steps=21",
        "tracking.mode=offline",
        "tracking.project=test",
    )
    status, folder, shown = run_command(config)
    assert status == 0
    (warning,) = environment_of(folder)["warnings"]
    assert warning["kind"] == kind
    assert f"optimizer.lr={rate.removesuffix('.0')}: the learning rate is" in warning["message"]
    assert f"try {proposal}" in warning["message"]
    assert f"`overpaint tune-lr --config {folder}/config.yaml`" in warning["message"]
    assert shown.count(warning["message"]) == 1
    records = wandb_records(folder)
    (alert,) = (record["alert"] for record in records if record["type"] == "alert")
    assert (alert["title"], alert["text"]) == (title, warning["message"])
    assert summary_of(records)[f"rate/{kind}"] == warning["message"]


def test_the_rate_of_the_default_is_found_no_fault_with(make_config: MakeConfig) -> None:
    sizes = ("image.size=64", "schedule.scales=[0.5, 1.0]")
    result = stylize(make_config(*sizes, "schedule.steps=24", "tracking.log_every=1"))
    assert result.warnings == ()


def assert_is_the_start(folder: Path, photo: Path) -> None:
    with Image.open(photo) as image:
        small = np.asarray(image.resize((32, 24), Image.Resampling.LANCZOS), int)
    assert np.abs(pixels(folder / "result.png") - small).max() <= 1


def spoil(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Makes the loss NaN from a step on."""
    training_step = StyleTransferModule.training_step

    def spoilt(self: StyleTransferModule, *batch: Any) -> torch.Tensor:
        return training_step(self, *batch) * (torch.nan if self.completed + 1 >= at else 1)

    monkeypatch.setattr(StyleTransferModule, "training_step", spoilt)


def test_a_run_that_diverges_fails_and_keeps_its_last_good_picture(
    make_config: MakeConfig,
    run_command: Callable[[Config], tuple[int, Path, str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    spoil(monkeypatch, 7)
    config = make_config(
        "schedule.steps=30",
        "schedule.lr=constant",
        "snapshots.every=1",
        "tracking.log_every=5",
        "tracking.mode=offline",
        f"output.copy={tmp_path / 'copy.png'}",
    )
    status, folder, shown = run_command(config)
    assert status == 1
    environment = environment_of(folder)
    said = environment["diverged"]
    assert said == (
        "The loss became infinite or not a number at step 7, where the learning rate was 0.03; "
        "try optimizer.lr=0.003."
    )
    assert environment["steps"] == 5, "the loss of step 7 is that of the picture of step 6"
    errors = [line for line in shown.splitlines() if line.startswith("error: ")]
    result = folder / "result.png"
    assert errors == [f"error: {said} The last good picture, of step 5: {result}"]
    snapshots = sorted((folder / "snapshots").iterdir())
    assert len(snapshots) == 10
    good = pixels(snapshots[4])
    for same in (result, tmp_path / "copy.png", *snapshots[6:]):
        np.testing.assert_array_equal(pixels(same), good)
    assert not np.array_equal(good, pixels(snapshots[3]))
    with (folder / "metrics.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["1", "5", "10"]
    records = wandb_records(folder)
    (alert,) = (record["alert"] for record in records if record["type"] == "alert")
    assert (alert["title"], alert["text"]) == ("Run diverged", said)
    assert summary_of(records)["diverged"] == said
    (ended,) = (record["exit"] for record in records if record["type"] == "exit")
    assert ended["exit_code"] == 1


def test_a_rate_beyond_all_numbers_fails_and_leaves_the_start(
    make_config: MakeConfig, run_command: Callable[[Config], tuple[int, Path, str]], photo: Path
) -> None:
    config = make_config(
        "loss.normalization=paper",
        "style.weight=1e30",
        "init.mode=content",
        "optimizer.name=sgd",
        "optimizer.lr=1e30",
        "schedule.lr=constant",
    )
    status, folder, shown = run_command(config)
    assert status == 1
    assert "error: The picture became infinite or not a number at step 1, where" in shown
    assert "the learning rate was 1e+30; try optimizer.lr=1e+29. The last good" in shown
    assert_is_the_start(folder, photo)


def test_the_error_names_the_folder_and_the_rate_of_its_step(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, 3)
    with pytest.raises(
        DivergedError, match=r"The loss .* at step 3, where the learning rate was 0\.0158; try "
    ) as error:
        stylize(make_config("schedule.steps=4"))
    result = error.value.result
    picture = pixels(result.folder / "snapshots" / "step_00001.png")
    np.testing.assert_array_equal(pixels(result.folder / "result.png"), picture)
    np.testing.assert_array_equal(np.asarray(result.image), picture)
    assert result.diverged in str(error.value)


def test_a_fault_late_in_a_small_size_ends_the_run_there(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, 4)
    sizes = ("image.size=64", "schedule.scales=[0.5, 1.0]", "tracking.log_every=100")
    with pytest.raises(DivergedError, match=r"at step 4, .* of step 2: ") as error:
        stylize(make_config(*sizes, "schedule.steps=8"))
    environment = environment_of(error.value.result.folder)
    assert (environment["steps"], environment["evaluations"]) == (2, 4)
    assert pixels(error.value.result.folder / "result.png").shape == (48, 64, 3)


def test_a_start_without_a_finite_loss_leaves_the_start_and_nulls(
    make_config: MakeConfig, photo: Path
) -> None:
    words = ("loss.normalization=paper", "style.weight=1e38", "content.weight=1e38")
    config = make_config("init.mode=content", *words)
    with pytest.raises(DivergedError, match=r"The loss .* at step 1, .* of step 0: ") as error:
        stylize(config)
    assert environment_of(error.value.result.folder)["losses"]["total"] is None
    assert_is_the_start(error.value.result.folder, photo)


def test_a_last_picture_without_a_finite_loss_fails_and_the_one_before_is_kept(
    make_config: MakeConfig, run_command: Callable[[Config], tuple[int, Path, str]], photo: Path
) -> None:
    """The photo itself has no content loss, and no step measures what the one step makes of it."""
    config = make_config(
        *("init.mode=content", "loss.normalization=paper", "content.weight=3e38"),
        *("schedule.steps=1", "style.weight=1.0"),
    )
    status, folder, shown = run_command(config)
    assert status == 1
    said = "The loss became infinite or not a number after step 1, where the learning rate was 0.03"
    assert environment_of(folder)["diverged"] == f"{said}; try optimizer.lr=0.003."
    assert environment_of(folder)["steps"] == 0
    assert f"error: {said}" in shown
    assert "The last good picture, of step 0: " in shown
    assert_is_the_start(folder, photo)


class SpoilsTheLast(pl.Callback):
    """Turns the picture into NaN behind the last step, where nothing measures it again."""

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, StyleTransferModule)
        if pl_module.completed == 6:
            pl_module.image.data[0, 0, 0, 0] = torch.nan


def test_a_last_picture_that_is_not_finite_gives_way_to_the_one_before(
    make_config: MakeConfig,
) -> None:
    config = make_config("schedule.steps=6", "snapshots.every=1", "schedule.lr=constant")
    with pytest.raises(DivergedError, match=r"after step 6, .* of step 5: ") as error:
        stylize(config, callbacks=[SpoilsTheLast()])
    folder = error.value.result.folder
    kept = pixels(folder / "result.png")
    np.testing.assert_array_equal(kept, pixels(folder / "snapshots" / "step_00005.png"))
    assert np.isfinite(error.value.result.losses["total"])


@pytest.mark.weights
@pytest.mark.parametrize(
    "preset", ["default", "texture", "bold", "portrait", "preview", "gatys", "paper"]
)
def test_the_presets_rates_are_found_no_fault_with(
    make_config: MakeConfig, real_weights: Path, preset: str
) -> None:
    config = make_config(
        f"content.image={REPOSITORY / 'assets' / 'content' / 'rocket.jpg'}",
        f"style.images=[{REPOSITORY / 'assets' / 'style' / 'flow_field.jpg'}]",
        "image.size=96",
        "schedule.steps=22",
        "tracking.log_every=1",
        f"encoder.weights={'auto' if preset == 'preview' else real_weights}",
        path=REPOSITORY / "configs" / f"{preset}.yaml",
    )
    assert stylize(config).warnings == ()
