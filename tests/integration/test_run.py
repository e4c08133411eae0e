from __future__ import annotations

import csv
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from conftest import PRESETS, REPOSITORY, InterruptAfter, make_picture, random_vgg_tensors
from PIL import Image
from safetensors.torch import save_file
from torch.utils._python_dispatch import TorchDispatchMode

from overpaint.errors import ConfigError
from overpaint.optimisation.module import StyleTransferModule
from overpaint.records.result import RunResult
from overpaint.runs.stylize import stylize
from overpaint.settings.reading import load_config
from overpaint.settings.schema import Config
from overpaint.settings.writing import repeatable

pytestmark = pytest.mark.usefixtures("one_thread")

MakeConfig = Callable[..., Config]


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def environment_of(result: RunResult) -> Any:
    return json.loads((result.folder / "environment.json").read_text())


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_run_leaves_everything_needed_to_know_how_it_was_made(
    make_config: MakeConfig, vgg_file: Path
) -> None:
    result = stylize(make_config("snapshots.steps=[2]", "tracking.log_every=2"))

    assert {path.name for path in result.folder.iterdir()} == {
        "result.png",
        "config.yaml",
        "metrics.csv",
        "environment.json",
        "snapshots",
    }
    assert [path.name for path in sorted((result.folder / "snapshots").iterdir())] == [
        "step_00001.png",
        "step_00002.png",
        "step_00004.png",
    ]
    environment = json.loads((result.folder / "environment.json").read_text())
    assert environment["steps"] == 4
    assert environment["device"] == "cpu"
    assert environment["weights"]["path"] == str(vgg_file)
    assert len(environment["weights"]["sha256"]) == 64
    assert environment["versions"]["torch"] == torch.__version__.split("+")[0]
    assert environment["losses"] == result.losses
    assert (environment["diverged"], environment["warnings"]) == (None, [])
    assert (result.diverged, result.warnings) == (None, ())
    assert [row["step"] for row in rows(result.folder)] == ["1", "2", "4"]


def test_result_is_the_last_snapshot_and_the_returned_picture(make_config: MakeConfig) -> None:
    result = stylize(make_config())
    saved = pixels(result.folder / "result.png")
    np.testing.assert_array_equal(saved, pixels(result.folder / "snapshots" / "step_00004.png"))
    np.testing.assert_array_equal(saved, np.asarray(result.image))
    assert result.image.size == (32, 24)


def test_result_carries_its_settings_and_versions(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config("seed=7")
    result = stylize(config)
    with Image.open(result.folder / "result.png") as image:
        text = image.info
    settings = tmp_path / "from_png.yaml"
    settings.write_text(text["overpaint settings"])
    sha256 = text["overpaint weights"].rpartition(" ")[2]
    assert load_config(settings) == repeatable(config, weights_sha256=sha256)
    assert json.loads(text["overpaint versions"])["torch"]


def test_saved_settings_make_the_same_picture_from_another_folder(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = stylize(make_config("content.image=photo.png", "init.mode=blend", "seed=5"))
    monkeypatch.chdir(REPOSITORY)
    again = stylize(load_config(first.folder / "config.yaml"))
    np.testing.assert_array_equal(np.asarray(first.image), np.asarray(again.image))
    assert again.folder != first.folder


def test_a_run_made_again_leaves_the_users_copy_alone(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    copy = tmp_path / "mine.png"
    first = stylize(make_config(f"output.copy={copy}", "init.mode=noise"))
    assert environment_of(first)["copy"] == str(copy)
    before = copy.read_bytes()
    again = stylize(load_config(first.folder / "config.yaml", ["seed=1"]))
    assert copy.read_bytes() == before
    assert environment_of(again)["copy"] is None
    with Image.open(copy) as image:
        assert "mine.png" not in str(image.info)


def test_other_weights_than_those_of_the_settings_are_told(
    make_config: MakeConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = stylize(make_config())
    found = environment_of(first)["weights"]["sha256"]
    again = load_config(first.folder / "config.yaml")
    assert again.encoder.sha256 == found
    caplog.clear()
    stylize(again)
    assert not any("encoder.sha256" in line for line in caplog.messages)
    other = tmp_path / "other.safetensors"
    save_file(random_vgg_tensors(seed=1), other)
    result = stylize(load_config(first.folder / "config.yaml", [f"encoder.weights={other}"]))
    (told,) = (line for line in caplog.messages if line.startswith("encoder.sha256: "))
    assert found in told
    assert environment_of(result)["weights"]["sha256"] in told
    assert load_config(result.folder / "config.yaml").encoder.sha256 != found


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("style.weight=0",), "style.weight=0: paintings do not count"),
        (("style.images=[{photo}]",), "The painting is the photo itself"),
    ],
)
def test_a_run_with_nothing_to_paint_says_so_before_its_first_step_and_goes_on(
    make_config: MakeConfig,
    caplog: pytest.LogCaptureFixture,
    photo: Path,
    words: tuple[str, ...],
    said: str,
) -> None:
    words = tuple(word.format(photo=photo) for word in words)
    with caplog.at_level("INFO"):
        result = stylize(make_config(*words, "init.mode=content", "loss.tv_weight=0"))
    told = [place for place, line in enumerate(caplog.messages) if line.startswith(said)]
    steps = [place for place, line in enumerate(caplog.messages) if "trainable values" in line]
    assert len(told) == 1
    assert told[0] < steps[0]
    assert caplog.messages[told[0]].endswith("the steps have nothing to do.")
    assert result.steps == 4


def test_loss_of_the_result_is_that_of_the_next_logged_step(make_config: MakeConfig) -> None:
    constant = ("schedule.lr=constant", "tracking.log_every=1")
    short = stylize(make_config("schedule.steps=3", *constant))
    longer = stylize(make_config("schedule.steps=4", *constant))
    logged = float(rows(longer.folder)[3]["loss/total"])
    assert short.losses["total"] == pytest.approx(logged, rel=1e-5)


@pytest.mark.parametrize(
    "mode", ["content", "recolored", "noise", "blend", "multiply", "style", "file"]
)
def test_every_start_lowers_the_loss(make_config: MakeConfig, painting: Path, mode: str) -> None:
    # Content has no loss at the photo itself, so only the sum can be asked to fall.
    result = stylize(make_config(f"init.mode={mode}", f"init.file={painting}", "schedule.steps=12"))
    assert result.losses["total"] < float(rows(result.folder)[0]["loss/total"])


@pytest.mark.parametrize("normalization", ["relative", "gatys", "paper"])
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs", "sgd"])
def test_every_optimiser_lowers_every_loss(
    make_config: MakeConfig, normalization: str, optimizer: str
) -> None:
    overrides = [
        f"optimizer.name={optimizer}",
        f"loss.normalization={normalization}",
        "schedule.lr=constant",
    ]
    if optimizer == "sgd":
        rates = {"relative": 0.1, "gatys": 1e-4, "paper": 4e-11}
        overrides += [f"optimizer.lr={rates[normalization]}", "optimizer.sgd.momentum=0.5"]
    result = stylize(make_config("init.mode=noise", "schedule.steps=8", *overrides))
    assert result.losses["total"] < 0.9 * float(rows(result.folder)[0]["loss/total"])
    assert result.steps == 8


def test_line_search_evaluations_are_counted_apart_from_steps(make_config: MakeConfig) -> None:
    result = stylize(
        make_config("optimizer.name=lbfgs", "optimizer.lbfgs.line_search=strong_wolfe")
    )
    assert result.steps == 4
    assert result.evaluations > 4
    last = rows(result.folder)[-1]
    assert last["step"] == "4"
    assert float(last["optimizer/evaluations"]) == result.evaluations


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_every_preset_runs(make_config: MakeConfig, preset: Path) -> None:
    slim = load_config(preset).encoder.name == "vgg19_slim"
    weights = ["encoder.weights=auto"] if slim else []  # the fixture's file is a full one
    result = stylize(make_config("schedule.steps=2", *weights, path=preset))
    assert result.steps == 2
    assert np.isfinite(result.losses["total"])


def test_unit_levels_reach_the_encoder_and_change_no_shape(make_config: MakeConfig) -> None:
    losses = [
        stylize(make_config(f"encoder.levels={levels}", "loss.normalization=gatys")).losses
        for levels in ("trained", "unit")
    ]
    assert all(np.isfinite(one["total"]) for one in losses)
    assert losses[0]["style"] != pytest.approx(losses[1]["style"], rel=0.1)


def test_several_styles_differ_from_either_alone(make_config: MakeConfig, tmp_path: Path) -> None:
    other = tmp_path / "other.png"
    make_picture((40, 60), seed=9).save(other)
    painting = make_config().style.images[0]

    def run(*styles: str) -> np.ndarray:
        chosen = f"style.images=[{','.join(styles)}]"
        return np.asarray(stylize(make_config(chosen, "schedule.steps=6")).image, float)

    both, first, second = run(painting, str(other)), run(painting), run(str(other))
    assert np.abs(both - first).mean() > 0.5
    assert np.abs(both - second).mean() > 0.5


def test_copy_is_written_in_the_format_of_its_ending(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.webp"
    result = stylize(make_config(f"output.copy={copy}"))
    with Image.open(copy) as image:
        assert (image.format, image.size) == ("WEBP", result.image.size)


def test_interrupt_keeps_the_picture_and_the_handler(
    make_config: MakeConfig,
) -> None:
    handler = signal.getsignal(signal.SIGINT)
    result = stylize(make_config("schedule.steps=50"), callbacks=[InterruptAfter(2)])
    assert result.interrupted
    assert result.steps == 2
    np.testing.assert_array_equal(pixels(result.folder / "result.png"), np.asarray(result.image))
    assert json.loads((result.folder / "environment.json").read_text())["interrupted"] is True
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_interrupt_inside_a_step_leaves_the_last_whole_step(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    options = [
        f"optimizer.name={optimizer}",
        "optimizer.lbfgs.line_search=strong_wolfe",
        "schedule.lr=constant",
        "snapshots.every=1",
    ]
    training_step = StyleTransferModule.training_step
    calls = []

    def interrupted(self: StyleTransferModule, *batch: Any) -> torch.Tensor:
        calls.append(self.completed)
        # With a line search the second evaluation of a step is at a trial point.
        if -1 not in calls and calls.count(2) == (2 if optimizer == "lbfgs" else 1):
            calls.append(-1)
            raise KeyboardInterrupt
        return training_step(self, *batch)

    monkeypatch.setattr(StyleTransferModule, "training_step", interrupted)
    result = stylize(make_config("schedule.steps=9", *options))
    assert (result.interrupted, result.steps) == (True, 2)
    np.testing.assert_array_equal(
        np.asarray(result.image), pixels(result.folder / "snapshots" / "step_00002.png")
    )


class CountReads(TorchDispatchMode):
    """Counts how often a number is fetched from a tensor, which makes a GPU wait."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.reads += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


def test_no_step_between_the_logged_ones_waits_for_the_device(make_config: MakeConfig) -> None:
    def reads(steps: int) -> int:
        config = make_config(f"schedule.steps={steps}", "tracking.log_every=100")
        with CountReads() as count:
            stylize(config)
        return count.reads

    assert reads(20) == reads(5) > 0


def test_seed_reaches_the_noise_and_zero_is_one_of_its_own(make_config: MakeConfig) -> None:
    def run(seed: int) -> np.ndarray:
        config = make_config("init.mode=noise", f"seed={seed}", "schedule.steps=1")
        return np.asarray(stylize(config).image, float)

    zero = run(0)
    np.testing.assert_array_equal(zero, run(0))
    assert np.abs(zero - run(1)).mean() > 10


def test_style_weight_reaches_the_picture(make_config: MakeConfig) -> None:
    weak = stylize(make_config("style.weight=0.1", "schedule.steps=10"))
    strong = stylize(make_config("style.weight=100", "schedule.steps=10"))
    assert strong.losses["style"] < weak.losses["style"]
    assert strong.losses["content"] > weak.losses["content"]


def test_total_variation_smooths_the_picture_and_is_recorded(make_config: MakeConfig) -> None:
    def roughness(picture: Image.Image) -> float:
        values = np.asarray(picture, dtype=np.float64)
        return float(sum(np.square(np.diff(values, axis=axis)).mean() for axis in (0, 1)))

    rough = stylize(make_config("loss.tv_weight=0", "schedule.steps=10"))
    smooth = stylize(make_config("loss.tv_weight=100", "schedule.steps=10"))
    assert roughness(smooth.image) < 0.5 * roughness(rough.image)
    assert "tv" not in rough.losses
    assert smooth.losses["tv"] == pytest.approx(roughness(smooth.image) / 255**2, rel=0.02)
    assert "loss/tv" not in (rough.folder / "metrics.csv").read_text()
    assert "loss/tv" in (smooth.folder / "metrics.csv").read_text()
    weighted = sum(smooth.losses[name] * w for name, w in (("content", 1), ("tv", 100)))
    weighted += smooth.losses["style"] * load_config("configs/default.yaml").style.weight
    assert smooth.losses["total"] == pytest.approx(weighted, rel=1e-5)


def test_result_may_not_be_copied_over_its_own_photo(make_config: MakeConfig, photo: Path) -> None:
    before = photo.read_bytes()
    with pytest.raises(ConfigError, match=r"output\.copy: .* is content\.image itself"):
        make_config(f"output.copy={photo}")
    assert photo.read_bytes() == before


def test_metrics_are_on_disk_while_the_run_goes_on(make_config: MakeConfig) -> None:
    seen: list[list[str]] = []

    class Look(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:
            (folder,) = Path(config.output.dir).iterdir()
            seen.append([row["step"] for row in rows(folder)])

    config = make_config("tracking.log_every=1", "schedule.steps=3")
    stylize(config, callbacks=[Look()])
    assert seen == [["1"], ["1", "2"], ["1", "2", "3"]]
