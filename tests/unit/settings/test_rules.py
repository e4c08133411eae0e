from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faults import faulty, problems, the_problem
from PIL import Image

from overpaint.errors import ConfigError
from overpaint.pictures.formats import SAVE_OPTIONS
from overpaint.pictures.io import save_picture
from overpaint.settings.reading import load_config
from overpaint.settings.rules import WEIGHT_SUFFIXES, find_problems
from overpaint.settings.schema import Config

REPOSITORY = Path(__file__).resolve().parents[3]
PAINTING = "assets/style/flow_field.jpg"


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default settings name pictures relative to it."""
    monkeypatch.chdir(REPOSITORY)


def words(overrides: str) -> list[str]:
    return re.split(r" (?=[a-z]+\.)", overrides)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("style.layers.relu9_1=1", "style.layers: unknown layer 'relu9_1'; did you mean 'relu"),
        ("content.layers={relu4_2: 1, vonv4_2: 1}", "content.layers: unknown layer 'vonv4_2'; did"),
        ("content.layers={}", "content.layers: at least one layer needs a weight above 0, got {}."),
        ("style.layers={conv1_1: 0}", "style.layers: at least one layer needs a weight above 0"),
        ("image.size=15", "image.size: 15 is too small; layers up to relu5_1 need at least 16 pix"),
        (
            "image.size=7 style.layers={relu1_1: 1}",
            "image.size: 7 is too small; layers up to relu4",
        ),
        ("style.images=[]", "style.images: empty"),
        ("style.image_weights=[1,2]", "style.image_weights: 2 weights for 1 style images."),
        ("style.image_layers=[[],[]]", "style.image_layers: 2 lists of layers for 1 style images;"),
        ("style.image_layers=[[relu9_1]]", "style.image_layers[0]: unknown style layer 'relu9_1'"),
        (
            "style.image_layers=[[relu1_1]]",
            "style.image_layers: no painting counts in relu2_1,",
        ),
        ("style.image_weights=[0]", "style.image_weights: all are 0"),
        ("content.weight=0 style.weight=0", "content.weight and style.weight: both are 0"),
        ("init.mode=file", "init.file: init.mode=file needs a picture"),
        (
            "style.statistics=covariance loss.normalization=gatys",
            "style.statistics: covariance is for loss.normalization=relative; gatys losses are",
        ),
        (
            "color.match_lightness=true",
            "color.match_lightness: is for color.keep=luminance; none leaves the painting as it is",
        ),
        (
            "color.match_lightness=true color.keep=histogram",
            "color.match_lightness: is for color.keep=luminance; histogram has the photo's light",
        ),
        ("optimizer.name=sgd", "optimizer.lr: sgd has no default rate"),
        ("optimizer.sgd.nesterov=true", "optimizer.sgd.nesterov: needs optimizer.sgd.momentum abo"),
        (
            "optimizer.name=lbfgs trainer.precision=bf16-mixed",
            "trainer.precision: L-BFGS needs the exact gradients of 32-true; bf16-mixed rounds",
        ),
        ("schedule.scales=[0.5]", "schedule.scales: [0.5] must rise and end with 1.0"),
        ("schedule.scales=[0.5,0.25,1]", "schedule.scales: [0.5, 0.25, 1.0] must rise"),
        ("schedule.scales=[0.5,0.5,1]", "schedule.scales: [0.5, 0.5, 1.0] must rise"),
        ("schedule.scales=[]", "schedule.scales: [] must rise and end with 1.0"),
        ("schedule.shares=[1,2]", "schedule.shares: 2 shares of the steps for 3 scales."),
        ("encoder.name=vgg19_slim encoder.levels=unit", "encoder.levels: unit is for vgg19;"),
        ("encoder.name=vgg19_slim encoder.weights=imagenet", "encoder.weights: imagenet is"),
        (
            "encoder.name=vgg19_slim content.layers={relu5_2: 1}",
            "content.layers: relu5_2 is not in vgg19_slim, which ends with relu5_1",
        ),
        (
            "encoder.name=vgg19_slim style.layers={relu1_1: 1,conv5_4: 0.5}",
            "style.layers: conv5_4 is not in vgg19_slim",
        ),
    ],
)
def test_what_clashes_is_told_with_the_way_out(overrides: str, message: str) -> None:
    assert the_problem(*words(overrides)).startswith(message)


@pytest.mark.parametrize("lowest", ["0.3", "0.30001"])
def test_a_search_needs_a_range(lowest: str) -> None:
    found = the_problem(f"tune.lowest={lowest}", "tune.highest=0.3", task="tune")
    assert found == f"tune.lowest: {lowest} must be below tune.highest, 0.3."


@pytest.mark.parametrize(
    "overrides",
    [
        "optimizer.name=adam trainer.precision=bf16-mixed",
        "optimizer.name=lbfgs trainer.precision=32-true",
        "optimizer.name=lbfgs trainer.precision=auto",
        "optimizer.sgd.nesterov=true optimizer.sgd.momentum=0.9",
        "content.layers={relu1_1: 1} style.layers={relu1_1: 1} image.size=1",
        "image.size=16 tune.size=16 tune.lowest=1.0 tune.highest=1.1",
        "schedule.scales=[0.1,0.5,1] schedule.shares=[1,1,2]",
        "style.image_weights=[3] content.weight=0",
        "encoder.name=vgg19_slim style.layers={relu1_1: 1,conv5_4: 0}",
        "color.keep=luminance color.match_lightness=true",
        "init.file=nope.png",  # looked for only if init.mode is file
        "encoder.weights=imagenet",
    ],
)
def test_what_goes_together_is_accepted(overrides: str) -> None:
    assert find_problems(load_config(overrides=words(overrides), task="tune")) == []


def test_a_size_of_nothing_is_refused_beside_unknown_layers() -> None:
    found = problems("image.size=0", "content.layers={nope: 1}", "style.layers={nope: 1}")
    assert faulty(found) == ["content.layers", "image.size", "style.layers"]
    assert found[-1] == "image.size: 0 is too small; layers up to any need at least 1 pixels."


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("content.image=nope.jpg", "content.image: no such file: 'nope.jpg'"),
        ("content.image=assets", "content.image: 'assets' is a folder"),
        (f"style.images=[{PAINTING},nope.jpg]", "style.images[1]: no such file: 'nope.jpg'"),
        ("init.mode=file init.file=nope.png", "init.file: no such file: 'nope.png'"),
        ("encoder.weights=nope.pth", "encoder.weights: no such file: 'nope.pth'"),
        ("encoder.weights=vgg19", "encoder.weights: 'vgg19' is neither auto, imagenet nor a file"),
        ("output.copy=a.bmp", "output.copy: 'a.bmp' must end in one of .png, .jpg, .jpeg, .webp, "),
        ("output.copy=nope/a.png", "output.copy: no such folder: 'nope'"),
        (f"output.copy={PAINTING}", f"output.copy: '{PAINTING}' is style.images[0] itself and"),
        ("output.dir=pyproject.toml/runs", "output.dir: "),
        ("content.image=" + "a" * 300, "content.image: no such file"),
        ("encoder.weights=" + "a" * 300 + ".pth", "encoder.weights: no such file"),
        ("output.copy=" + "a" * 300 + "/a.png", "output.copy: no such folder"),
    ],
    ids=lambda value: value[:40],
)
def test_files_are_looked_for_before_anything_is_read(overrides: str, message: str) -> None:
    assert the_problem(*words(overrides)).startswith(message)


@pytest.mark.parametrize("suffix", [*WEIGHT_SUFFIXES, ".PTH"])
def test_weights_may_be_a_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    path.touch()
    assert load_config(values={"encoder.weights": str(path)}).encoder.weights == str(path)


def test_a_slim_network_is_no_pth_file(tmp_path: Path) -> None:
    path = tmp_path / "slim.pth"
    path.touch()
    found = the_problem("encoder.name=vgg19_slim", values={"encoder.weights": str(path)})
    assert found.startswith(f"encoder.weights: '{path}': a slim network is a .safetensors file")


@pytest.mark.parametrize("suffix", [*SAVE_OPTIONS, ".JPG"])
def test_a_copy_may_have_every_ending_that_can_be_written(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"copy{suffix}"
    assert load_config(values={"output.copy": str(path)}).output.copy == str(path)
    save_picture(Image.new("RGB", (2, 2)), path)
    assert load_config(values={"output.copy": str(path)}).output.copy == str(path)


def test_the_output_folder_need_not_exist_and_is_not_made(tmp_path: Path) -> None:
    folder = str(tmp_path / "a" / "b")
    assert load_config(values={"output.dir": folder}).output.dir == folder
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ({"tracking.project": "a/b"}, r"tracking.project: 'a/b' has / in it; W&B takes no"),
        ({"tracking.project": "a#b%"}, r"tracking.project: 'a#b%' has # % in it"),
        ({"tracking.project": "p" * 129}, r"tracking.project: 'p{20}...' has 129 characters"),
        ({"tracking.project": " "}, r"tracking.project: ' ' is empty"),
        ({"tracking.name": "n" * 129}, r"tracking.name: .* has 129 characters; .* 128"),
        ({"tracking.group": "g" * 129}, r"tracking.group: .* has 129 characters"),
        ({"tracking.entity": ""}, r"tracking.entity: '' is empty; null leaves it open"),
        ({"tracking.tags": ["a", ""]}, r"tracking.tags\[1\]: '' has 0 characters; .* 1 to 64"),
        ({"tracking.tags": ["t" * 65]}, r"tracking.tags\[0\]: 't{20}...' has 65 characters"),
    ],
)
def test_names_that_wandb_refuses_are_bad_settings_unless_it_is_off(
    make_config: Callable[..., Config], override: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        make_config(**{"tracking.mode": "auto", **override})
    assert make_config(**{"tracking.mode": "disabled", **override})


def test_names_of_the_greatest_length_are_taken(make_config: Callable[..., Config]) -> None:
    longest = {"tracking.project": "p" * 128, "tracking.tags": ["t" * 64, "t"]}
    assert make_config(**{"tracking.mode": "auto", "tracking.name": "n" * 128, **longest})


def test_several_processes_do_not_compile() -> None:
    found = the_problem("trainer.compile=always", "trainer.devices=2")
    assert found.startswith("trainer.compile: always is for one process")
    assert not find_problems(load_config(None, ["trainer.devices=2", "trainer.num_nodes=3"]))
