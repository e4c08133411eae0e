"""Time-lapses of whole runs, made by the run and afterwards."""

from __future__ import annotations

import errno
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from pytorch_lightning.callbacks import Callback

import overpaint.runs.film
from overpaint.cli import run
from overpaint.records.run_folder import frames_folder
from overpaint.runs.film import film
from overpaint.runs.resume import resume
from overpaint.runs.stylize import stylize
from overpaint.settings.schema import Config

pytestmark = pytest.mark.usefixtures("one_thread")

MakeConfig = Callable[..., Config]

COARSE_TO_FINE = (
    "image.size=65",
    "schedule.scales=[0.5, 0.75, 1.0]",
    "schedule.steps=12",
    "snapshots.every=3",
)
FILMED = (*COARSE_TO_FINE, "output.timelapse=true")


def frames(path: Path) -> list[Any]:
    with av.open(str(path)) as film:
        return [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]


def pixels(path: Path) -> Any:
    with Image.open(path) as picture:
        return np.asarray(picture)


class InterruptAt(Callback):
    """Ctrl-C after a step of the run."""

    def __init__(self, step: int) -> None:
        self._step = step

    def on_train_batch_end(self, trainer: Any, module: Any, *args: Any) -> None:
        if module.completed == self._step:
            signal.raise_signal(signal.SIGINT)


def like(frame: Any, picture: Any) -> bool:
    """Whether a frame shows a picture, up to what H.264 takes; of colours it takes much."""
    height, width = frame.shape[:2]
    scaled = Image.fromarray(picture)
    if scaled.width - width in (0, 1) and scaled.height - height in (0, 1):  # made even
        scaled = scaled.crop((0, 0, width, height))
    scaled = scaled.resize((width, height), Image.Resampling.LANCZOS)
    grey = [np.asarray(one.convert("L"), float) for one in (Image.fromarray(frame), scaled)]
    return float(np.abs(grey[0] - grey[1]).mean()) < 6


def messages(caplog: pytest.LogCaptureFixture, level: int = logging.WARNING) -> list[str]:
    return [one.message for one in caplog.records if one.levelno >= level]


def test_a_film_goes_from_the_start_to_the_result_in_one_size(make_config: MakeConfig) -> None:
    folder = stylize(make_config(*FILMED)).folder
    found = frames(folder / "timelapse.mp4")
    assert len(found) == 13 + 2  # the start, 12 steps, and a second of the last at 3 a second
    assert {frame.shape for frame in found} == {(48, 64, 3)}
    result = pixels(folder / "result.png")
    assert like(found[-1], result)
    assert like(found[12], result)
    assert like(found[1], pixels(folder / "snapshots" / "step_00001.png"))
    assert like(found[6], pixels(folder / "snapshots" / "step_00006.png"))
    assert not like(found[0], result)
    assert not frames_folder(folder).exists()


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_a_film_changes_no_bit_of_the_picture(
    make_config: MakeConfig, optimizer: str, precision: str
) -> None:
    if (optimizer, precision) == ("lbfgs", "bf16-mixed"):
        pytest.skip("L-BFGS needs the exact gradients of 32-true")
    words = (f"optimizer.name={optimizer}", f"trainer.precision={precision}", "init.mode=noise")
    plain, filmed = (stylize(make_config(*one, *words)) for one in (COARSE_TO_FINE, FILMED))
    assert filmed.losses == plain.losses
    assert filmed.history == plain.history
    np.testing.assert_array_equal(np.asarray(filmed.image), np.asarray(plain.image))
    assert (filmed.folder / "timelapse.mp4").exists()
    assert not (plain.folder / "timelapse.mp4").exists()


@pytest.mark.parametrize("step", [2, 6])
def test_a_run_that_goes_on_has_the_film_of_one_that_did_not_stop(
    make_config: MakeConfig, step: int
) -> None:
    config = make_config(*FILMED)
    whole = stylize(config).folder
    stopped = stylize(config, callbacks=[InterruptAt(step)])
    shown = frames(stopped.folder / "timelapse.mp4")
    assert like(shown[-1], np.asarray(stopped.image))
    went_on = resume(stopped.folder)
    assert went_on is not None
    one, other = (frames(folder / "timelapse.mp4") for folder in (whole, went_on.folder))
    np.testing.assert_array_equal(one, other)


def test_a_film_that_is_asked_for_later_begins_with_snapshots(make_config: MakeConfig) -> None:
    stopped = stylize(
        make_config(*COARSE_TO_FINE, "schedule.scales=[1.0]"), callbacks=[InterruptAt(7)]
    ).folder
    went_on = resume(stopped, "output.timelapse=true")
    assert went_on is not None
    found = frames(stopped / "timelapse.mp4")
    assert len(found) == len([1, 3, 6, 8, 9, 10, 11, 12]) + 1
    for frame, step in zip(found, (1, 3, 6), strict=False):
        assert like(frame, pixels(stopped / "snapshots" / f"step_{step:05d}.png"))


def test_without_an_encoder_a_run_leaves_an_animation(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    folder = stylize(make_config(*FILMED)).folder
    with Image.open(folder / "timelapse.webp") as animation:
        assert animation.n_frames == 13
    assert not (folder / "timelapse.mp4").exists()


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left"), ValueError("no such codec"), MemoryError("none left")],
)
def test_a_film_that_fails_costs_one_warning_and_no_picture(
    make_config: MakeConfig,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    def fails(*arguments: object) -> float:
        raise error

    monkeypatch.setattr(overpaint.runs.film, "save_film", fails)
    result = stylize(make_config(*FILMED))
    (told,) = [one for one in messages(caplog) if "time-lapse" in one]
    assert told == f"There is no time-lapse ({error}); the picture is whole."
    np.testing.assert_array_equal(pixels(result.folder / "result.png"), np.asarray(result.image))
    assert not (result.folder / "checkpoints").exists()


def test_a_disk_that_takes_no_frames_costs_one_warning_and_no_picture(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.parent.name == "frames":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    folder = stylize(make_config(*FILMED)).folder
    assert len([one for one in messages(caplog) if "time-lapse" in one]) == 1
    found = frames(folder / "timelapse.mp4")  # of the snapshots
    assert like(found[-1], pixels(folder / "result.png"))
    assert like(found[0], pixels(folder / "snapshots" / "step_00001.png"))


def test_a_film_can_be_made_afterwards(
    make_config: MakeConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = stylize(make_config(*COARSE_TO_FINE)).folder
    assert run(["film", str(folder)]) == 0
    path = folder / "timelapse.mp4"
    assert str(path) in capsys.readouterr().err
    found = frames(path)
    assert len(found) == len([1, 3, 6, 9, 12]) + 1  # two pictures a second
    for frame, step in zip(found, (1, 3, 6, 9, 12), strict=False):
        assert like(frame, pixels(folder / "snapshots" / f"step_{step:05d}.png"))


def test_a_film_of_a_stopped_run_ends_where_it_stopped(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    stopped = stylize(make_config(*COARSE_TO_FINE), callbacks=[InterruptAt(4)])
    path = film(stopped.folder, tmp_path / "film.mp4")
    assert like(frames(path)[-1], np.asarray(stopped.image))
    (stopped.folder / "result.png").unlink()  # as if it had been killed
    (stopped.folder / "environment.json").unlink()
    last = pixels(stopped.folder / "snapshots" / "step_00003.png")
    assert like(frames(film(stopped.folder, tmp_path / "film.mp4"))[-1], last)


def test_a_film_of_a_run_that_went_on_does_not_end_with_its_old_result(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    folder = stylize(make_config(*COARSE_TO_FINE), callbacks=[InterruptAt(2)]).folder
    newer = np.zeros((48, 65, 3), np.uint8)
    Image.fromarray(newer).save(folder / "snapshots" / "step_00009.png")
    assert like(frames(film(folder, tmp_path / "film.mp4"))[-1], newer)


def test_a_film_takes_all_frames_that_a_run_keeps(make_config: MakeConfig, tmp_path: Path) -> None:
    folder = stylize(make_config(*FILMED), callbacks=[InterruptAt(4)]).folder
    assert len(frames(film(folder, tmp_path / "film.mp4"))) == len(range(5)) + 1
