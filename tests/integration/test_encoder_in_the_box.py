from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY, wandb_records
from PIL import Image

from overpaint.encoder.packed import BOX
from overpaint.encoder.weights import VARIABLE
from overpaint.errors import WeightsError
from overpaint.files import file_sha256
from overpaint.pictures.io import read_picture
from overpaint.runs.stylize import stylize
from overpaint.settings.reading import load_config
from overpaint.settings.schema import Config

MakeConfig = Callable[..., Config]
STYLIZE = REPOSITORY / "scripts" / "stylize.py"

# Runs a script on a machine that reaches nobody but itself (W&B's own service is local).
UNPLUGGED = """
import runpy, socket, sys
real = socket.socket.connect
def connect(self, address):
    if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1"):
        raise OSError(101, "Network is unreachable")
    return real(self, address)
def getaddrinfo(host, *arguments, **options):
    if host in ("127.0.0.1", "::1", "localhost"):
        return find(host, *arguments, **options)
    raise socket.gaierror(-3, "Temporary failure in name resolution")
find = socket.getaddrinfo
socket.socket.connect = socket.socket.connect_ex = connect
socket.getaddrinfo = getaddrinfo
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def unplugged(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The main command without a network, without weights, and with an empty hub cache."""
    kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    kept.pop(VARIABLE, None)
    home = folder / "home"
    home.mkdir(exist_ok=True)
    places = {"HOME": str(home), "TORCH_HOME": str(home / "torch"), "NETRC": str(home / "none")}
    return subprocess.run(
        [
            *(sys.executable, "-c", UNPLUGGED, str(STYLIZE), "--config", "configs/default.yaml"),
            *("image.size=64", "schedule.steps=6", f"output.dir={folder / 'runs'}", *words),
        ],
        cwd=REPOSITORY,
        env={**kept, **places, "WANDB_ERROR_REPORTING": "false", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.weights
def test_the_main_command_paints_with_the_whole_network_and_asks_nobody(tmp_path: Path) -> None:
    done = unplugged(tmp_path)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    said = [line for line in done.stderr.splitlines() if "vgg19" in line]
    sha256 = file_sha256(BOX)
    assert len(said) == 1
    assert f"vgg19: {BOX} (sha256 {sha256[:12]})" in said[0]

    (folder,) = (tmp_path / "runs").iterdir()
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["weights"] == {"name": "vgg19", "path": str(BOX), "sha256": sha256}
    assert load_config(folder / "config.yaml").encoder.weights == "auto"
    with Image.open(folder / "result.png") as image:
        text, picture = image.info, np.asarray(image.convert("RGB"), float)
    assert text["overpaint weights"] == f"vgg19, sha256 {sha256}"

    parsed = wandb_records(folder)
    (config,) = (one["run"]["config"]["update"] for one in parsed if one["type"] == "run")
    assert config["encoder"]["name"] == "vgg19"
    assert config["weights_sha256"] == sha256

    # Six steps of three hundredths, and towards the painting: it is far bluer than the photo.
    photo = np.asarray(
        read_picture("assets/content/rocket.jpg").resize(picture.shape[1::-1]), float
    )
    assert 5 < abs(picture - photo).mean() < 60
    assert environment["losses"]["style"] < 0.5


@pytest.mark.slow
def test_the_main_command_refuses_imagenet_without_a_network_in_one_line(tmp_path: Path) -> None:
    done = unplugged(tmp_path, "encoder.weights=imagenet")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: torchvision's VGG-19 could not be had.")
    assert not (tmp_path / "runs").exists()


def test_imagenet_without_a_network_leaves_nothing_behind(
    make_config: MakeConfig, no_network: list[object], tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match="could not be had"):
        stylize(make_config("encoder.weights=imagenet"))
    assert not (tmp_path / "runs").exists()
