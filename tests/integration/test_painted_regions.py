"""Runs that paint by regions and weight maps."""

from __future__ import annotations

import json
import logging
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import REPOSITORY, make_picture
from PIL import Image
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from overpaint import Objective, load_encoder, load_picture, paint
from overpaint.building.sources import read_sources
from overpaint.errors import CheckpointError, ConfigError, ImageError
from overpaint.files import file_sha256
from overpaint.losses.gram import gram_matrix
from overpaint.losses.guides import Guides, Region
from overpaint.pictures.colour.recoloring import recolored
from overpaint.pictures.io import read_picture
from overpaint.records.reading import read_run
from overpaint.reports.columns import columns_of
from overpaint.reports.exhibits import exhibits_of
from overpaint.runs.job import input_hashes
from overpaint.runs.like import config_like
from overpaint.runs.resume import resume
from overpaint.runs.stylize import stylize
from overpaint.runs.telling import tell_inputs
from overpaint.settings.schema import Config
from overpaint.tracking.port import Source, Tracker

pytestmark = pytest.mark.usefixtures("one_thread")

MakeConfig = Callable[..., Config]

SMALL = ("image.size=64", "schedule.scales=[0.5, 1.0]", "schedule.steps=6", "snapshots.every=2")


@pytest.fixture
def masks(tmp_path: Path, photo: Path, painting: Path) -> Path:
    """A folder with a mask of the left half, one of the right third, and a second painting."""
    levels = np.zeros((48, 64), np.uint8)
    levels[:, :32] = 255
    Image.fromarray(levels).save(tmp_path / "left.png")
    Image.fromarray(np.roll(levels, 44, 1)[:, ::1]).save(tmp_path / "middle.png")
    make_picture((60, 50), seed=7).save(tmp_path / "other.png")
    return tmp_path


def one_region(folder: Path) -> str:
    return f"regions=[{{content_mask: {folder}/left.png, style: {folder}/painting.png}}]"


def two_regions(folder: Path) -> str:
    other = f"{{content_mask: {folder}/middle.png, style: {folder}/other.png, weight: 2}}"
    return f"{one_region(folder)[:-1]}, {other}]"


def pixels(path: Path) -> Any:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_the_photo_stays_where_no_region_is(make_config: MakeConfig, masks: Path) -> None:
    result = stylize(make_config(*SMALL, one_region(masks)))
    photo = np.asarray(read_picture(masks / "photo.png"))
    painted = np.asarray(result.image)
    np.testing.assert_array_equal(painted[:, 32:], photo[:, 32:])
    assert np.abs(painted[:, :32].astype(int) - photo[:, :32]).mean() > 5
    for path in result.folder.glob("snapshots/*.png"):
        snapshot = pixels(path)
        if snapshot.shape == photo.shape:
            np.testing.assert_array_equal(snapshot[:, 32:], photo[:, 32:])


@pytest.mark.parametrize("mode", ["content", "recolored", "noise", "blend", "style"])
@pytest.mark.parametrize("keep", ["none", "luminance", "statistics"])
def test_regions_go_with_every_start_and_every_way_to_keep_colours(
    make_config: MakeConfig, masks: Path, mode: str, keep: str
) -> None:
    words = ("image.size=64", "schedule.scales=[1.0]", f"init.mode={mode}", f"color.keep={keep}")
    result = stylize(make_config(*words, two_regions(masks)))
    photo = np.asarray(read_picture(masks / "photo.png")).astype(int)
    kept = np.abs(np.asarray(result.image)[:, :8].astype(int) - photo[:, :8])
    assert kept.mean() > 1  # of the left half all is painted
    assert all(np.isfinite(value) for value in result.losses.values())


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_weight_maps_change_the_picture_where_they_are_black(
    make_config: MakeConfig, masks: Path, optimizer: str
) -> None:
    words = (*SMALL, f"optimizer.name={optimizer}")
    plain = stylize(make_config(*words))
    mapped = stylize(make_config(*words, f"style.weight_map={masks}/left.png"))
    photo = np.asarray(read_picture(masks / "photo.png")).astype(int)

    def moved(picture: Image.Image) -> float:
        return float(np.abs(np.asarray(picture)[:, 40:].astype(int) - photo[:, 40:]).mean())

    assert moved(mapped.image) < 0.75 * moved(plain.image)


def test_a_run_records_its_masks_and_is_repeated_from_its_png_where_they_have_moved(
    make_config: MakeConfig, masks: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    words = (*SMALL, two_regions(masks), f"content.weight_map={masks}/left.png")
    first = stylize(make_config(*words))
    record = json.loads((first.folder / "environment.json").read_text())
    inputs = record["inputs"]
    assert inputs["regions[1].content_mask"] == file_sha256(masks / "middle.png")
    assert inputs["content.weight_map"] == file_sha256(masks / "left.png")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for name in ("photo.png", "painting.png", "other.png", "left.png", "middle.png"):
        shutil.move(masks / name, elsewhere / name)
    png = Path(shutil.copy(first.folder / "result.png", elsewhere / "painted.png"))
    config = config_like(png)
    assert config.regions[1].style == str(elsewhere / "other.png")
    again = stylize(config)
    np.testing.assert_array_equal(pixels(again.folder / "result.png"), pixels(png))
    (elsewhere / "middle.png").write_bytes((elsewhere / "left.png").read_bytes())
    with pytest.raises(ConfigError, match=r"regions\[1\].content_mask: .* name it in regions"):
        config_like(png)


def test_a_run_goes_on_with_the_masks_that_it_began_with_and_no_others(
    make_config: MakeConfig, masks: Path
) -> None:
    words = (*SMALL, two_regions(masks), "checkpoint.every_seconds=0")
    whole = stylize(make_config(*words))

    class Signal(Callback):
        def on_train_batch_end(self, trainer: Any, module: Any, *args: Any) -> None:
            if module.completed == 4:
                signal.raise_signal(signal.SIGINT)

    stopped = stylize(make_config(*words), callbacks=[Signal()])
    assert stopped.interrupted
    middle = masks / "middle.png"
    kept = middle.read_bytes()
    shutil.copy(masks / "left.png", middle)
    with pytest.raises(CheckpointError, match=r"regions\[1\].content_mask: not the picture"):
        resume(stopped.folder)
    middle.write_bytes(kept)
    again = resume(stopped.folder)
    assert again is not None
    np.testing.assert_array_equal(
        pixels(again.folder / "result.png"), pixels(whole.folder / "result.png")
    )


def test_a_run_tells_what_no_region_covers(
    make_config: MakeConfig, masks: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "overpaint"):
        stylize(make_config(one_region(masks)))
    assert "regions: no mask covers 50% of the photo, which stays as it is there." in caplog.text


@pytest.mark.parametrize("keep", ["statistics", "histogram"])
def test_each_region_is_painted_in_the_photos_colours_there(
    make_config: MakeConfig, masks: Path, keep: str
) -> None:
    """One greyish painting in a red and a blue half, from noise, without the photo's shapes."""
    levels = np.zeros((48, 64, 3)) + np.random.default_rng(1).normal(0, 10, (48, 64, 1))
    levels[:, :32] += (170, 60, 60)
    levels[:, 32:] += (70, 90, 190)
    Image.fromarray(levels.clip(0, 255).astype(np.uint8)).save(masks / "photo.png")
    painting = read_picture(masks / "painting.png")
    Image.blend(painting.convert("L").convert("RGB"), painting, 0.2).save(masks / "painting.png")
    Image.open(masks / "left.png").transpose(Image.Transpose.ROTATE_180).save(masks / "right.png")
    regions = ", ".join(
        f"{{content_mask: {masks}/{side}.png, style: {masks}/painting.png}}"
        for side in ("left", "right")
    )
    words = ("image.size=64", "schedule.steps=60", "optimizer.lr=0.1", "init.mode=noise")
    weights = ("content.weight=0.01", f"color.keep={keep}", f"regions=[{regions}]")
    painted = np.asarray(stylize(make_config(*words, *weights)).image, float)
    redder = painted[..., 0] - painted[..., 2]
    assert redder[:, :24].mean() > 30
    assert redder[:, 40:].mean() < -30


def test_the_compare_page_shows_the_paintings_and_masks_of_regions(
    make_config: MakeConfig, masks: Path
) -> None:
    weight_map = f"style.weight_map={masks}/middle.png"
    result = stylize(make_config(two_regions(masks), weight_map))
    records = [read_run(result.folder)]
    sources = exhibits_of(records, columns_of(records)).sources
    assert [(source.title, source.name) for source in sources] == [
        ("Photo", "photo.png"),
        *[("Painting", name) for name in ("painting.png", "other.png")],
        *[("Mask", name) for name in ("left.png", "middle.png")],
    ]
    assert all(source.picture for source in sources)


def test_masks_are_artifacts_that_a_tracked_run_uses(make_config: MakeConfig, masks: Path) -> None:
    weight_map = f"style.weight_map={masks}/left.png"
    sources = read_sources(config := make_config(two_regions(masks), weight_map))
    told: list[Source] = []

    class Listening(Tracker):
        def log_sources(self, sources: Sequence[Source]) -> None:
            told.extend(sources)

    tell_inputs(Listening(), config, sources, input_hashes(config, sources))
    found = {(one.file, one.sha256) for one in told if one.kind == "mask"}
    names = ("left.png", "middle.png")
    assert found == {(name, file_sha256(masks / name)) for name in names}


def quickly(vgg_file: Path) -> tuple[str, ...]:
    words = ("image.size=64", "schedule.steps=3", "schedule.scales=[0.5, 1.0]")
    return (*words, f"encoder.weights={vgg_file}", "trainer.accelerator=cpu")


@pytest.mark.parametrize("kind", ["words", "files", "Pillow", "tensors"])
def test_paint_makes_the_picture_of_a_run_with_regions_and_maps(
    make_config: MakeConfig, masks: Path, vgg_file: Path, kind: str
) -> None:
    words = quickly(vgg_file)
    regions = f"{two_regions(masks)[:-2]}, style_mask: {masks}/part.png}}]"
    part = Image.new("L", (60, 50))
    part.paste(200, (10, 10, 40, 45))
    part.save(masks / "part.png")
    maps = [f"{key}.weight_map={masks}/middle.png" for key in ("style", "content")]
    run = stylize(make_config(*words, regions, *maps))
    photo = masks / "photo.png"
    if kind == "words":
        made = paint(photo, [], *words, regions, *maps, progress=False)
    else:

        def mask(name: str) -> Any:
            path = masks / name
            if kind == "files":
                return path
            picture = Image.open(path).copy()
            if kind == "Pillow":
                return picture.convert("RGB")
            return torch.from_numpy(np.array(picture)).float()[None, None] / 255

        def painting(name: str) -> Any:
            path = masks / name
            return path if kind == "files" else read_picture(path)

        given = [
            {"content_mask": mask("left.png"), "style": painting("painting.png")},
            {
                "content_mask": mask("middle.png"),
                "style": painting("other.png"),
                "style_mask": mask("part.png"),
                "weight": 2,
            },
        ]
        middle = mask("middle.png")
        made = paint(
            photo,
            (),
            *words,
            regions=given,
            style_weight_map=middle,
            content_weight_map=middle,
            progress=False,
        )
    np.testing.assert_array_equal(np.asarray(made.image), np.asarray(run.image))
    assert made.losses == run.losses


def test_one_painting_in_memory_may_be_in_several_regions(masks: Path, vgg_file: Path) -> None:
    words, photo = quickly(vgg_file), masks / "photo.png"
    painting = read_picture(masks / "painting.png")
    given = [{"content_mask": masks / name, "style": painting} for name in ("left.png",) * 2]
    twice = paint(photo, (), *words, regions=given, progress=False)
    files = [{**one, "style": masks / "painting.png"} for one in given]
    again = paint(photo, (), *words, regions=files, progress=False)
    np.testing.assert_array_equal(np.asarray(twice.image), np.asarray(again.image))


def test_a_mask_of_truths_is_one_of_black_and_white(masks: Path, vgg_file: Path) -> None:
    left = torch.from_numpy(np.array(Image.open(masks / "left.png"))) > 0
    style = masks / "painting.png"
    made = [
        paint(
            masks / "photo.png",
            (),
            *quickly(vgg_file),
            regions=[{"content_mask": mask, "style": style}],
            progress=False,
        )
        for mask in (left, left.float()[None].expand(3, -1, -1), masks / "left.png")
    ]
    for one in made[1:]:
        np.testing.assert_array_equal(np.asarray(one.image), np.asarray(made[0].image))


ONES = torch.ones(48, 64)
NO_REGIONS: list[tuple[str, Any, type[Exception], str]] = [
    ("a black mask", {"content_mask": 0 * ONES}, ImageError, "'mask' is black everywhere"),
    ("another aspect", {"content_mask": ONES.T}, ImageError, "'mask' is 48x64, of another aspect"),
    ("levels of 8 bits", {"content_mask": 255 * ONES}, ValueError, "got values from 255 to 255"),
    ("no numbers", {"content_mask": ONES / 0 * 0}, ValueError, "got values from nan to nan"),
    ("two masks", {"content_mask": torch.ones(2, 1, 48, 64)}, ValueError, r"\(2, 1, 48, 64\)"),
    ("a row", {"content_mask": torch.ones(64)}, ValueError, r"\(64,\)"),
    ("nothing", {"content_mask": torch.ones(0, 64)}, ValueError, r"\(0, 64\)"),
    ("no mask", {}, ConfigError, r"regions\[0\].content_mask: missing"),
    ("a number", {"content_mask": 3}, ConfigError, "content_mask: no such file: '3'"),
    ("misspelt", {"content_mask": ONES, "wight": 1}, ConfigError, "did you mean 'weight'"),
    ("no file", {"content_mask": "no.png"}, ConfigError, r"content_mask: no such file: 'no.png'"),
    ("no painting", {"content_mask": ONES, "style": None}, ConfigError, "none has a style"),
    (
        "two paintings",
        {"content_mask": ONES, "style": torch.ones(2, 3, 40, 40)},
        ValueError,
        r"\(2, 3, 40, 40\)",
    ),
    ("no mapping", "left.png", ConfigError, r"regions\[0\]: expected 'key: value' pairs"),
]


@pytest.mark.parametrize(
    ("region", "error", "told"),
    [row[1:] for row in NO_REGIONS],
    ids=[row[0] for row in NO_REGIONS],
)
def test_regions_that_paint_cannot_use_are_told(
    masks: Path, vgg_file: Path, region: Any, error: type[Exception], told: str
) -> None:
    if isinstance(region, dict):
        region = {"style": masks / "painting.png", **region}
    with pytest.raises(error, match=told):
        paint(masks / "photo.png", (), *quickly(vgg_file), regions=[region])


def test_paint_refuses_paintings_beside_those_of_regions(masks: Path, vgg_file: Path) -> None:
    region = {"content_mask": masks / "left.png", "style": masks / "other.png"}
    with pytest.raises(ConfigError, match=r"style.images: .* each of the regions names its own"):
        paint(masks / "photo.png", [masks / "painting.png"], regions=[region])


SIZE, STEPS = (128, 192), 25


def relative(features: list[Tensor], goal: list[Tensor]) -> float:
    """The mean over layers of |G - A|^2 / |A|^2."""
    pairs = zip(features, goal, strict=True)
    return sum(float((a - b).square().sum() / b.square().sum()) for a, b in pairs) / len(goal)


@pytest.mark.slow
def test_two_halves_take_two_paintings() -> None:
    """Beyond 32 pixels from the edge: each as near to its own as a run of it alone, not to both."""
    encoder = load_encoder()
    layers = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
    assets = REPOSITORY / "assets"
    photo = load_picture(assets / "content" / "cat.jpg", max(SIZE))
    names = ("flow_field", "stained_glass")
    paintings = [load_picture(assets / "style" / f"{name}.jpg", max(SIZE)) for name in names]
    width = photo.shape[-1]
    left = torch.zeros_like(photo[:, :1])
    left[..., : width // 2] = 1
    halves = (left, 1 - left)

    def painted(used: list[Tensor], start: Tensor, guides: Guides | None) -> Tensor:
        objective = Objective(
            encoder,
            photo,
            used,
            style_layers=dict.fromkeys(layers, 0.25),
            style_weight=40.0,
            statistics="covariance",
            guides=guides,
        )
        image = start.clone().requires_grad_()
        optimizer = torch.optim.Adam([image], lr=0.03)
        for _ in range(STEPS):
            optimizer.zero_grad()
            objective(image).total.sum().backward()
            optimizer.step()
            image.data.clamp_(0, 1)
        return image.detach()

    def style(picture: Tensor) -> list[Tensor]:
        with torch.no_grad():
            return [gram_matrix(one) for one in encoder(picture, layers).values()]

    alone = [painted([one], recolored(photo, [one]), None) for one in paintings]
    regions = [Region(half, [1.0 - i, float(i)]) for i, half in enumerate(halves)]
    start = sum(
        (half * recolored(photo, [one]) for half, one in zip(halves, paintings, strict=True)),
        torch.zeros_like(photo),
    )
    both = painted(paintings, start, Guides(tuple(regions)))
    goals = [style(one) for one in paintings]
    inside = (slice(0, width // 2 - 32), slice(width // 2 + 32, width))
    for own, place in enumerate(inside):
        here = style(both[..., place])
        usual = relative(style(alone[own][..., place]), goals[own])
        assert relative(here, goals[own]) < 1.2 * usual
        assert relative(here, goals[1 - own]) > 3 * usual
