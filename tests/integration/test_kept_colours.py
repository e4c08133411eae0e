"""Runs that keep the photo's colours."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import REPOSITORY, make_picture
from numpy.typing import NDArray
from PIL import Image
from pytorch_lightning.callbacks import Callback

import overpaint.runs.stylize
from overpaint import load_encoder, paint
from overpaint.cli import run
from overpaint.losses.scoring import Judge
from overpaint.pictures.colour.keeping import as_array, brought_to
from overpaint.pictures.colour.oklab import to_oklab
from overpaint.pictures.io import fit_size, read_picture, resize, size_of
from overpaint.records.reading import read_run
from overpaint.records.result import RunResult
from overpaint.reports.columns import columns_of, differing, remarks_on
from overpaint.runs.resume import resume
from overpaint.runs.stylize import stylize
from overpaint.settings.schema import Config
from overpaint.tracking.port import Tracker

pytestmark = pytest.mark.usefixtures("one_thread")

MakeConfig = Callable[..., Config]

COARSE_TO_FINE = (
    "image.size=64",
    "schedule.scales=[0.5, 1.0]",
    "schedule.steps=8",
    "snapshots.every=2",
)
KEEPING = ("luminance", "statistics", "histogram")


def lab(picture: Image.Image) -> NDArray[np.float64]:
    return to_oklab(as_array(picture).astype(np.float64))


def chroma_difference(picture: Image.Image, photo: Image.Image) -> float:
    """The mean distance in Oklab's a and b to the photo, brought to the picture's size."""
    photo = resize(photo, size_of(picture))
    return float(np.linalg.norm((lab(picture) - lab(photo))[..., 1:], axis=-1).mean())


def palette(picture: Image.Image) -> NDArray[np.float64]:
    """Mean and spread of a picture's colours."""
    colours = lab(picture).reshape(-1, 3)
    return np.concatenate([colours.mean(0), colours.std(0)])


def snapshots(result: RunResult) -> list[Image.Image]:
    return [read_picture(path) for path in sorted((result.folder / "snapshots").iterdir())]


def test_with_luminance_every_picture_of_a_run_has_the_photos_colours(
    make_config: MakeConfig, photo: Path
) -> None:
    kept = stylize(make_config(*COARSE_TO_FINE, "color.keep=luminance", "output.timelapse=true"))
    plain = stylize(make_config(*COARSE_TO_FINE))
    original = read_picture(photo)
    shown = [*snapshots(kept), kept.image]
    assert len(shown) == 6
    assert {one.size for one in shown} == {(32, 24), (64, 48)}
    for picture in shown:
        assert chroma_difference(picture, original) < 0.01
    assert chroma_difference(plain.image, original) > 0.03
    assert abs(lab(kept.image)[..., 0] - lab(original)[..., 0]).mean() > 0.02, (
        "something is painted"
    )
    assert read_picture(kept.folder / "result.png").tobytes() == kept.image.tobytes()


@pytest.mark.parametrize("keep", ["statistics", "histogram"])
def test_a_painting_in_the_photos_colours_leads_to_them(
    make_config: MakeConfig, photo: Path, keep: str
) -> None:
    words = (*COARSE_TO_FINE, "init.mode=noise", "schedule.steps=40", "optimizer.lr=0.1")
    kept, plain = (stylize(make_config(*words, f"color.keep={how}")) for how in (keep, "none"))
    wanted = palette(read_picture(photo))
    near, far = (np.abs(palette(one.image) - wanted).mean() for one in (kept, plain))
    assert near < 0.8 * far


@pytest.mark.parametrize("keep", KEEPING)
def test_several_paintings_are_each_brought_to_the_photo(
    make_config: MakeConfig, painting: Path, tmp_path: Path, keep: str
) -> None:
    other = tmp_path / "other.png"
    make_picture((50, 40), seed=5).save(other)
    told: list[list[Image.Image]] = []

    class Listens(Tracker):
        def log_inputs(self, content: Image.Image, styles: Any) -> None:
            told.append([content, *styles])

    config = make_config(f"color.keep={keep}", f"style.images=[{painting},{other}]")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(overpaint.runs.stylize, "open_tracking", lambda *a, **o: Listens())
        stylize(config)
    original = resize(read_picture(config.content.image), (24, 32))
    ((content, *styles),) = told
    assert content.tobytes() == original.tobytes(), "the photo is logged as it is"
    for found, path in zip(styles, (painting, other), strict=True):
        small = read_picture(path)
        small = resize(small, fit_size(size_of(small), 32))
        assert found.tobytes() == brought_to(original, small, keep).tobytes()


@pytest.mark.parametrize("start", ["content", "recolored", "noise", "blend", "style"])
@pytest.mark.parametrize("carry", ["detail", "paint", "picture"])
def test_luminance_goes_with_every_start_and_every_way_between_sizes(
    make_config: MakeConfig, photo: Path, start: str, carry: str
) -> None:
    original = read_picture(photo)  # paler, for sRGB has no bright colours that are dark
    Image.blend(original, original.convert("L").convert("RGB"), 0.5).save(photo)
    words = ("color.keep=luminance", f"init.mode={start}", f"schedule.carry={carry}")
    made = stylize(make_config(*COARSE_TO_FINE, "schedule.steps=2", *words))
    assert chroma_difference(made.image, read_picture(photo)) < 0.01


@pytest.mark.parametrize("keep", KEEPING)
def test_a_run_that_goes_on_ends_with_the_same_picture(make_config: MakeConfig, keep: str) -> None:
    class Stops(Callback):
        def on_train_batch_end(self, trainer: Any, module: Any, *args: Any) -> None:
            if module.completed == 6:
                signal.raise_signal(signal.SIGINT)

    config = make_config(*COARSE_TO_FINE, f"color.keep={keep}")
    whole, stopped = stylize(config), stylize(config, callbacks=[Stops()])
    assert stopped.interrupted
    resumed = resume(stopped.folder)
    assert resumed is not None
    assert resumed.image.tobytes() == whole.image.tobytes()
    assert [one.tobytes() for one in snapshots(resumed)] == [
        one.tobytes() for one in snapshots(whole)
    ]


def test_a_run_cannot_go_on_with_other_colours(make_config: MakeConfig) -> None:
    class Stops(Callback):
        def on_train_batch_end(self, trainer: Any, module: Any, *args: Any) -> None:
            signal.raise_signal(signal.SIGINT)

    stopped = stylize(make_config(*COARSE_TO_FINE), callbacks=[Stops()])
    assert run(["--resume", str(stopped.folder), "color.keep=luminance"]) == 2


def test_a_run_stopped_at_a_small_size_has_the_photos_colours_too(
    make_config: MakeConfig, photo: Path
) -> None:
    class Stops(Callback):
        def on_train_batch_end(self, trainer: Any, module: Any, *args: Any) -> None:
            signal.raise_signal(signal.SIGINT)

    config = make_config(*COARSE_TO_FINE, "color.keep=luminance")
    made = stylize(config, callbacks=[Stops()])
    assert made.image.size == (64, 48)
    assert chroma_difference(made.image, read_picture(photo)) < 0.01


def test_a_picture_repeats_its_run_with_its_colours(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    copy, again = tmp_path / "a.png", tmp_path / "b.png"
    stylize(make_config("color.keep=statistics", f"output.copy={copy}"))
    assert run(["--like", str(copy), "-o", str(again)]) == 0
    assert read_picture(again).tobytes() == read_picture(copy).tobytes()


@pytest.mark.parametrize("keep", KEEPING)
def test_paint_makes_the_picture_of_a_run(
    make_config: MakeConfig, photo: Path, painting: Path, vgg_file: Path, keep: str
) -> None:
    words = ("image.size=32", "schedule.steps=4", "init.mode=style", f"color.keep={keep}")
    made = paint(photo, painting, *words, f"encoder.weights={vgg_file}", progress=False)
    folder = stylize(make_config("init.mode=style", f"color.keep={keep}"))
    assert made.image.tobytes() == folder.image.tobytes()


def test_the_page_of_runs_knows_what_is_kept_and_that_losses_do_not_compare(
    make_config: MakeConfig,
) -> None:
    runs = [read_run(stylize(make_config(f"color.keep={keep}")).folder) for keep in KEEPING[:2]]
    columns = columns_of(runs)
    assert [one.key for one in differing(columns)] == ["color.keep"]
    assert "The runs differ in color.keep: losses" in remarks_on(columns)[0]


def test_trials_of_a_rate_are_shown_in_the_photos_colours(
    make_config: MakeConfig, photo: Path
) -> None:
    from overpaint.building.sources import read_sources
    from overpaint.settings.resolving import resolved
    from overpaint.tuning.workbench import open_workbench

    config = resolved(make_config("color.keep=luminance", "tune.size=32"))
    bench = open_workbench(config, read_sources(config, setting="tune.size"))
    (trial,) = bench.try_rates([0.05], 3)
    assert chroma_difference(trial.pictures[3], read_picture(photo)) < 0.01


@pytest.mark.slow
@pytest.mark.weights
def test_luminance_has_the_style_that_a_run_without_has_in_its_lightness(
    real_weights: Path,
) -> None:
    photo, painting = (
        read_picture(REPOSITORY / "assets" / name)
        for name in ("content/rocket.jpg", "style/flow_field.jpg")
    )
    words = ("image.size=128", f"encoder.weights={real_weights}", "trainer.accelerator=cpu")
    plain, kept = (
        paint(photo, painting, *words, f"color.keep={keep}", progress=False).image
        for keep in ("none", "luminance")
    )
    grey = [brought_to(one, one, "luminance") for one in (photo, painting, plain, kept)]
    judge = Judge(load_encoder("vgg19", weights=real_weights), grey[0], grey[1], 128)
    without, with_luminance = (judge.score(one).style for one in grey[2:])
    assert with_luminance < 1.1 * without
    assert chroma_difference(kept, photo) < 0.01 < chroma_difference(plain, photo)


def test_a_sweep_lays_ways_to_keep_colours_beside_each_other(
    tmp_path: Path, photo: Path, painting: Path, vgg_file: Path
) -> None:
    sweep = tmp_path / "colours.yaml"
    sweep.write_text(
        "method: grid\nprogram: scripts/stylize.py\n"
        "metric: {name: loss/total, goal: minimize}\n"
        "parameters: {color.keep: {values: [luminance, histogram]}}\n"
    )
    words = ("image.size=32", "schedule.steps=2", f"encoder.weights={vgg_file}")
    places = (f"output.dir={tmp_path / 'runs'}", "trainer.accelerator=cpu")
    assert run(["sweep", str(sweep), str(photo), str(painting), *words, *places]) == 0
    results = sorted((tmp_path / "runs").glob("*/*/result.png"))
    near, far = (chroma_difference(read_picture(one), read_picture(photo)) for one in results)
    assert near < 0.01 < far
