from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import learning_pictures
import make_slim as make
import pytest
import skimage
import torch
from conftest import REPOSITORY, SLIM_WIDTHS
from PIL import Image

from overpaint.building.encoder import build_encoder, used_layers
from overpaint.building.objective import build_objective
from overpaint.encoder.choosing import find_encoder
from overpaint.encoder.layers import SLIM_CONVOLUTIONS, convolutions_up_to
from overpaint.encoder.slim import BUILT_IN, read_slim
from overpaint.encoder.vgg import Vgg19Features
from overpaint.encoder.weights import load_weights
from overpaint.losses.scoring import SCORE_LAYERS, Judge
from overpaint.pictures.io import read_picture
from overpaint.pictures.tensors import to_tensor
from overpaint.runs.stylize import stylize
from overpaint.settings.reading import load_config
from overpaint.settings.schema import Config

pytestmark = pytest.mark.usefixtures("one_thread")

MakeConfig = Callable[..., Config]


def test_the_slim_network_is_asked_for_by_name(make_config: MakeConfig) -> None:
    result = stylize(make_config("encoder.name=vgg19_slim", "encoder.weights=auto"))
    environment = json.loads((result.folder / "environment.json").read_text())
    assert environment["weights"]["name"] == "vgg19_slim"
    assert environment["weights"]["path"] == str(BUILT_IN)
    with Image.open(result.folder / "result.png") as image:
        assert image.info["overpaint weights"].startswith("vgg19_slim, sha256 ")


def test_the_preview_is_painted_with_the_slim_network() -> None:
    assert load_config(REPOSITORY / "configs" / "preview.yaml").encoder.name == "vgg19_slim"


@pytest.mark.weights
def test_the_slim_network_sees_nearly_what_vgg_19_sees(real_weights: Path) -> None:
    """On a photo that it has not learnt from, at the channels that it keeps."""
    _, info = read_slim(BUILT_IN)
    layers = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu4_2", "relu5_1")
    table = convolutions_up_to(layers)
    photo = to_tensor(read_picture(Path(skimage.__file__).parent / "data" / "coffee.png"))
    with torch.no_grad():
        true = Vgg19Features(layers, load_weights(str(real_weights), table).tensors)(photo)
        seen = Vgg19Features(layers, read_float32())(photo)
    bounds = dict(zip(layers, (1e-4, 0.02, 0.035, 0.045, 0.08, 0.32), strict=True))
    for layer in SLIM_CONVOLUTIONS:
        if layer.relu in layers:
            kept = true[layer.relu][:, list(info.channels[layer.conv])]
            error = (seen[layer.relu] - kept).square().sum() / kept.square().sum()
            assert error < bounds[layer.relu], layer.relu


@pytest.mark.weights
@pytest.mark.parametrize("pooling", ["max", "avg"])
@pytest.mark.parametrize("normalization", ["relative", "gatys", "paper"])
def test_its_losses_are_about_those_of_vgg_19(
    real_weights: Path, make_config: MakeConfig, normalization: str, pooling: str
) -> None:
    """Of a photo with noise on it, between a photo and a painting that it has not learnt from."""
    config = make_config(
        f"loss.normalization={normalization}", f"encoder.pooling={pooling}", "loss.tv_weight=0"
    )
    table = convolutions_up_to(used_layers(config))
    photo = to_tensor(read_picture(Path(skimage.__file__).parent / "data" / "coffee.png"))
    photo = torch.nn.functional.interpolate(photo, (160, 240), mode="area")
    painting = photo.flip(2).roll(1, 1)[..., :200]  # upside down in other colours
    noise = torch.rand(photo.shape, generator=torch.Generator().manual_seed(0))
    terms = {}
    for name, weights in (("vgg19", str(real_weights)), ("vgg19_slim", "auto")):
        found = find_encoder(name, weights, table)
        encoder = build_encoder(config, found, torch.device("cpu"), "32-true")
        with torch.no_grad():
            objective = build_objective(config, encoder, photo, [painting])
            terms[name] = objective(torch.lerp(photo, noise, 0.3))
    full, slim = terms["vgg19"], terms["vgg19_slim"]
    assert 0.6 < slim.content / full.content < 1.5
    balanced = sum(
        encoder.calibration[layer].balance * loss for layer, loss in full.style_layers.items()
    )
    assert 0.6 < slim.style / balanced < 1.5


def read_float32() -> dict[str, torch.Tensor]:
    return {name: value.float() for name, value in read_slim(BUILT_IN)[0].items()}


@pytest.mark.weights
def test_pictures_of_the_slim_network_please_the_full_one(
    real_weights: Path, make_config: MakeConfig
) -> None:
    table = convolutions_up_to(SCORE_LAYERS)
    encoder = Vgg19Features(SCORE_LAYERS, load_weights(str(real_weights), table).tensors)
    photo = REPOSITORY / "assets" / "content" / "rocket.jpg"
    painting = REPOSITORY / "assets" / "style" / "stained_glass.jpg"
    judge = Judge(encoder, read_picture(photo), read_picture(painting), 160)
    full, slim = (
        judge.score(
            stylize(
                make_config(
                    *(f"encoder.name={name}", f"encoder.weights={weights}"),
                    *("image.size=160", "schedule.steps=40"),
                    *(f"content.image={photo}", f"style.images=[{painting}]"),
                )
            ).image
        )
        for name, weights in (("vgg19", real_weights), ("vgg19_slim", "auto"))
    )
    assert slim.style < 2 * full.style
    assert slim.content < 1.5 * full.content


BALANCE = ("--balance", "1.1", "1.3", "1.5", "1.7", "1.9")
SMALL = ("--widths", *map(str, SLIM_WIDTHS), "--pictures", "4", "--edge", "32")
Make = Callable[..., dict[str, Any]]


@pytest.fixture
def make_slim(vgg_file: Path, monkeypatch: pytest.MonkeyPatch, scikit_learn: None) -> Make:
    """The script, with small pictures; returns what its file says of how it was made."""
    monkeypatch.setattr(learning_pictures, "LONGEST", 64)

    def run(target: Path, *words: str) -> dict[str, Any]:
        arguments = ("--weights", str(vgg_file), "--output", str(target), *SMALL, *words)
        monkeypatch.setattr(sys, "argv", ["make.py", *arguments])
        make.main()
        tensors, info = read_slim(target)
        assert tensors["conv5_1.weight"].shape == (12, 10, 3, 3)
        return dict(info.making)

    return run


@pytest.mark.slow
def test_the_first_two_steps_give_the_same_bytes_again(make_slim: Make, tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.safetensors" for name in "ab"]
    for path in paths:
        made = make_slim(path, "--steps", "0")
        torch.rand(7)  # nothing hangs on the global generator
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert "errors_after_distillation" not in made


@pytest.mark.slow
def test_the_whole_making_gives_a_network_that_paints(
    make_slim: Make, tmp_path: Path, make_config: MakeConfig
) -> None:
    path = tmp_path / "new" / "made.safetensors"
    made = make_slim(path, "--steps", "2", "--rounds", "1", "--examples", "1", *BALANCE)
    assert made["distillation"]["steps"] == 2
    assert set(made["errors_after_distillation"]) == {c.relu for c in SLIM_CONVOLUTIONS}
    info = read_slim(path)[1]
    assert info.calibration["relu1_1"].balance == 1.1
    assert info.calibration["conv5_1"].balance == 1.9
    assert info.licence == make.LICENCE
    result = stylize(make_config("encoder.name=vgg19_slim", f"encoder.weights={path}"))
    assert result.losses["total"] > 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--widths", *["4"] * 12, "513"], "conv5_1 has 512 channels, not 513"),
        (["--balance", *["1"] * 4, "0"], "0.0 is not above 0 and below 100"),
        (["--output", "slim.pth"], "'slim.pth' must end in .safetensors"),
        (["--edge", "40"], "40 is not at least 32, a multiple of 16"),
        (["--pictures", "3"], "3 is not at least 4"),
    ],
)
def test_options_that_cannot_be_are_refused_before_the_work(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["make.py", *words])
    with pytest.raises(SystemExit) as caught:
        make.main()
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_making_from_something_else_is_refused_in_one_line(
    make_slim: Make, tmp_path: Path, slim_file: Path
) -> None:
    target = tmp_path / "no.safetensors"
    with pytest.raises(SystemExit, match=r"^error: .* is no VGG-19[^\n]*$"):
        make_slim(target, "--weights", str(slim_file))
    assert not target.exists()


@pytest.mark.slow
def test_making_runs_as_a_script() -> None:
    script = REPOSITORY / "scripts/development/encoders/make_slim.py"
    done = subprocess.run(
        [sys.executable, str(script), "--weights", "missing.pth", *SMALL],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == "error: encoder.weights: no such file: 'missing.pth'.\n"
