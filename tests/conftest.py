"""Fixtures: small pictures, a VGG-19 file with seeded random weights, and leak checks."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from hypothesis import settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from overpaint.encoder.calibration import Calibration
from overpaint.encoder.layers import CONVOLUTIONS, SLIM_CONVOLUTIONS, SLIM_LAYER_NAMES
from overpaint.encoder.packed import BOX
from overpaint.encoder.slim import SlimInfo, save_slim
from overpaint.encoder.vgg import Vgg19Features
from overpaint.encoder.weights import VARIABLE, load_weights
from overpaint.settings.reading import load_config
from overpaint.settings.schema import Config

pytest_plugins = ["commands", "fits"]

REPOSITORY = Path(__file__).resolve().parent.parent
SWEEPS = sorted((REPOSITORY / "configs" / "sweeps").rglob("*.yaml"))
PRESETS = sorted(set((REPOSITORY / "configs").rglob("*.yaml")) - set(SWEEPS))  # settings of a run
TRACKING_VARIABLES = ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_PROJECT", "NETRC")


SLIM_WIDTHS = (4, 4, 6, 6, 8, 8, 8, 8, 10, 10, 10, 10, 12)


def random_tensors(widths: Sequence[int] = SLIM_WIDTHS, seed: int = 0) -> dict[str, torch.Tensor]:
    """He-initialised kernels and small biases of a network up to conv5_1."""
    generator = torch.Generator().manual_seed(seed)
    tensors, inputs = {}, 3
    for layer, width in zip(SLIM_CONVOLUTIONS, widths, strict=True):
        kernel = torch.randn((width, inputs, 3, 3), generator=generator)
        tensors[f"{layer.conv}.weight"] = kernel * (2 / (9 * inputs)) ** 0.5
        tensors[f"{layer.conv}.bias"] = 0.1 * torch.randn(width, generator=generator)
        inputs = width
    return tensors


def doubled(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same network with each channel twice; what reads them halves its kernel."""
    found = {}
    for layer in SLIM_CONVOLUTIONS:
        weight, bias = tensors[f"{layer.conv}.weight"], tensors[f"{layer.conv}.bias"]
        if layer.conv != "conv1_1":
            weight = weight.repeat_interleave(2, 1) / 2
        found[f"{layer.conv}.weight"] = weight.repeat_interleave(2, 0)
        found[f"{layer.conv}.bias"] = bias.repeat_interleave(2, 0)
    return found


def slim_info(widths: Sequence[int] = SLIM_WIDTHS) -> SlimInfo:
    return SlimInfo(
        channels={
            layer.conv: tuple(range(1, width + 1))
            for layer, width in zip(SLIM_CONVOLUTIONS, widths, strict=True)
        },
        calibration={name: Calibration(2.0, 4.0, 64) for name in SLIM_LAYER_NAMES},
        teacher_sha256="0" * 64,
        making={"seed": 0},
        licence="none",
    )


def random_vgg_tensors(seed: int = 0) -> dict[str, torch.Tensor]:
    """He-initialised kernels under torchvision's names, so that maps keep their magnitude."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for layer in CONVOLUTIONS:
        shape = (layer.out_channels, layer.in_channels, 3, 3)
        gain = (2 / (9 * layer.in_channels)) ** 0.5
        kernel = torch.randn(shape, generator=generator) * gain
        tensors[f"features.{layer.index}.weight"] = kernel.half()
        tensors[f"features.{layer.index}.bias"] = torch.zeros(layer.out_channels)
    return tensors


def with_a_flipped_bit(path: Path, target: Path, place: float) -> Path:
    """A copy of a safetensors file, one bit of its values flipped.

    Args:
        path: the file.
        target: of the copy.
        place: share of the values before the bit; negative: bytes from the end.
    """
    content = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(content[:8], "little")  # behind the header
    where = int(place) if place < 0 else start + int(place * (len(content) - start))
    content[where] ^= 1
    target.write_bytes(content)
    return target


Array = NDArray[np.float64]

shapes = st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 4), st.integers(1, 4))
seeds = st.integers(0, 2**32 - 1)
quickly = settings(max_examples=50, deadline=None, derandomize=True)


def draw(shape: tuple[int, ...], seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def summed_gram(features: Tensor) -> Array:
    """Eq. 3 of the paper as it stands: G_ij = sum_k F_ik F_jk, of one image."""
    maps = features.double().numpy()
    channels = maps.shape[0]
    gram = np.zeros((channels, channels))
    for i in range(channels):
        for j in range(channels):
            for y in range(maps.shape[1]):
                for x in range(maps.shape[2]):
                    gram[i, j] += maps[i, y, x] * maps[j, y, x]
    return gram


def positions(features: Tensor) -> int:
    return int(features.shape[-2] * features.shape[-1])


@pytest.fixture(scope="session")
def vgg_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole set of VGG-19 feature weights, random but well scaled."""
    path = tmp_path_factory.mktemp("weights") / "vgg19.safetensors"
    save_file(random_vgg_tensors(), path)
    return path


@pytest.fixture(scope="session")
def slim_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A slim network of very few channels, random but well scaled."""
    path = tmp_path_factory.mktemp("weights") / "slim.safetensors"
    save_slim(random_tensors(), slim_info(), path)
    return path


@pytest.fixture
def no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """A machine that reaches nobody and has no VGG-19 of its own; the list says what was tried."""
    tried: list[object] = []

    def unreachable(*arguments: object, **options: object) -> None:
        tried.append(arguments[-1] if arguments else None)
        raise OSError("Network is unreachable")

    monkeypatch.setattr(socket.socket, "connect", unreachable)
    monkeypatch.setattr(socket, "create_connection", unreachable)
    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    return tried


@pytest.fixture(scope="session")
def make_encoder(vgg_file: Path) -> Callable[..., Vgg19Features]:
    """Builds a random VGG-19 for some layers."""
    weights = load_weights(str(vgg_file), CONVOLUTIONS)

    def build(*layers: str, **options: Any) -> Vgg19Features:
        return Vgg19Features(layers, weights.tensors, **options)

    return build


# `wandb leet inspect --json`, of all runs in one process.
INSPECT = """
import sys
from wandb.cli.cli import cli
for run in sys.argv[1:]:
    print("run", flush=True)
    try:
        cli(["leet", "inspect", "--json", run])
    except SystemExit as done:
        if done.code:
            raise
"""


def wandb_runs(folder: Path) -> list[list[dict[str, Any]]]:
    """The records of each offline W&B run in a run folder."""
    runs = map(str, sorted((folder / "wandb").glob("offline-run-*")))
    records = subprocess.run(
        [sys.executable, "-c", INSPECT, *runs],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    found: list[list[dict[str, Any]]] = []
    for line in records.splitlines():
        if line == "run":
            found.append([])
        elif line.startswith("{"):
            found[-1].append(json.loads(line))
    return found


def wandb_records(folder: Path) -> list[dict[str, Any]]:
    """The records of the one offline W&B run in a run folder."""
    (records,) = wandb_runs(folder)
    return records


def wandb_history(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What a run logged, row by row."""
    return [record["history"]["item"] for record in records if record["type"] == "history"]


def wandb_summary(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The summary that a run ended with."""
    summary: dict[str, Any] = {}
    for record in records:
        if record["type"] == "summary":
            summary |= record["summary"]["update"]
    return summary


def make_picture(size: tuple[int, int], seed: int) -> Image.Image:
    """A soft random pattern of (width, height)."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    return coarse.resize(size, Image.Resampling.BICUBIC)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    make_picture((64, 48), seed=1).save(path)
    return path


@pytest.fixture
def painting(tmp_path: Path) -> Path:
    path = tmp_path / "painting.png"
    make_picture((56, 60), seed=2).save(path)
    return path


@pytest.fixture
def make_config(
    tmp_path: Path, photo: Path, painting: Path, vgg_file: Path
) -> Callable[..., Config]:
    """The real default settings, shrunk to a run of a second and pointed at `tmp_path`."""
    small = {
        "content.image": str(photo),
        "style.images": [str(painting)],
        "encoder.weights": str(vgg_file),
        "image.size": 32,
        "schedule.steps": 4,
        "snapshots.every": 0,
        "tracking.mode": "disabled",
        "output.dir": str(tmp_path / "runs"),
        "trainer.accelerator": "cpu",
    }

    def build(*overrides: str, path: Path | None = None, **values: object) -> Config:
        given: Mapping[str, object] = {key.replace("__", "."): v for key, v in values.items()}
        keys = {override.partition("=")[0] for override in overrides}
        if "regions" in keys:
            keys.add("style.images")  # the regions name them
        kept = {key: value for key, value in small.items() if key not in keys}
        return load_config(
            path or REPOSITORY / "configs" / "default.yaml", overrides, values={**kept, **given}
        )

    return build


@pytest.fixture
def scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that import it: it sets environment variables, and here they are taken back."""
    for name, value in (("KMP_DUPLICATE_LIB_OK", "True"), ("KMP_INIT_AT_FORK", "FALSE")):
        monkeypatch.setenv(name, value)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """For pictures so small that threads on a busy machine only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class InterruptAfter(pl.Callback):
    """Plays Ctrl-C after a step of a fit."""

    def __init__(self, step: int) -> None:
        self._step = step

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:
        if trainer.global_step == self._step:
            raise KeyboardInterrupt


@pytest.fixture
def open_port() -> Iterator[int]:
    """A port of this machine that accepts connections."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


@pytest.fixture
def closed_port() -> Iterator[int]:
    """One that refuses them, and that nobody else can take meanwhile."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        yield server.getsockname()[1]


@pytest.fixture(scope="session")
def real_weights() -> Path:
    """VGG-19 itself, as it comes with the package; tests that use it are marked `weights`."""
    return BOX


def _environment() -> dict[str, str]:
    # pytest, wandb's background service and PyTorch write these themselves.
    own = ("PYTEST_CURRENT_TEST", "WANDB_SERVICE", "TORCHINDUCTOR_CACHE_DIR")
    return {key: value for key, value in os.environ.items() if key not in own}


@pytest.fixture(autouse=True)
def isolated() -> Iterator[None]:
    """Keeps the user's W&B account and logging out of tests, and notices what a test leaves.

    Uses no `monkeypatch`, so that it ends after that of the test.
    """
    hidden = {name: os.environ.pop(name) for name in TRACKING_VARIABLES if name in os.environ}
    package = logging.getLogger("overpaint")
    logging_before = (list(package.handlers), package.level, package.propagate)
    environment, threads = _environment(), set(threading.enumerate())
    yield
    package.handlers, package.level, package.propagate = logging_before
    changed = set(_environment().items()) ^ set(environment.items())
    os.environ.update(hidden)
    assert not changed, f"the test changed environment variables: {changed}"
    left = [t for t in threading.enumerate() if t not in threads and not t.daemon]
    assert not left, f"the test left threads: {left}"
