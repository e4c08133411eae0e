from __future__ import annotations

import hashlib
import http.client
import re
import socket
import subprocess
import sys
import threading
import urllib.error
from pathlib import Path

import pytest
import torch
from torch import Tensor

from overpaint import connection as network
from overpaint.encoder import imagenet
from overpaint.encoder.imagenet import HUB_FILE
from overpaint.encoder.layers import convolutions_up_to
from overpaint.encoder.weights import VARIABLE, load_weights
from overpaint.errors import WeightsError, WeightsUnavailableError

RELU1_1 = convolutions_up_to(["relu1_1"])

real_download = torch.hub.download_url_to_file


def small_state(seed: int = 0) -> dict[str, Tensor]:
    """Torchvision's names and shapes of conv1_1."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "features.0.weight": torch.randn((64, 3, 3, 3), generator=generator),
        "features.0.bias": torch.randn(64, generator=generator),
    }


def torchvision_url() -> str:
    from torchvision.models import VGG19_Weights

    return str(VGG19_Weights.IMAGENET1K_V1.url)


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Path in an empty hub cache; an attempt to download fails the test."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)  # what a torch.hub.set_dir would have set

    def download(*args: object, **kwargs: object) -> None:
        pytest.fail("tried to download")

    monkeypatch.setattr(imagenet, "answers", lambda url: True)
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder / HUB_FILE


def save_trusted(path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> Path:
    """Saves a small state as a .pth under a name that carries its SHA-256, as the hub's does."""
    torch.save(small_state(seed=seed), path)
    digits = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    monkeypatch.setattr(imagenet, "HUB_FILE", f"vgg19-{digits}.pth")
    return path.rename(path.with_name(f"vgg19-{digits}.pth"))


def test_imagenet_skips_the_variable(
    cached: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = save_trusted(cached, monkeypatch, seed=1)
    torch.save(small_state(seed=2), tmp_path / "mine.pth")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "mine.pth"))
    loaded = load_weights("imagenet", RELU1_1)
    assert loaded.path == hub
    assert torch.equal(loaded.tensors["conv1_1.bias"], small_state(seed=1)["features.0.bias"])


def test_the_hub_cache_is_where_torch_says(
    tmp_path: Path, cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere" / "checkpoints"
    elsewhere.mkdir(parents=True)
    hub = save_trusted(elsewhere / HUB_FILE, monkeypatch, seed=1)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "elsewhere"))
    assert load_weights("imagenet", RELU1_1).path == hub


def test_a_cached_file_of_another_hash_is_refused(cached: Path) -> None:
    torch.save(small_state(), cached)
    with pytest.raises(WeightsError, match=f"{HUB_FILE}' is damaged.*delete the file"):
        load_weights("imagenet", RELU1_1)
    assert cached.exists()  # that is up to the user


def test_the_cached_name_is_that_of_torchvision() -> None:
    assert torchvision_url().rsplit("/", 1)[1] == HUB_FILE


def test_what_is_not_cached_is_downloaded_from_torchvision(
    cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def download(url: str, target: str, hash_prefix: str | None = None) -> None:
        calls.append((url, target, hash_prefix, socket.getdefaulttimeout()))
        torch.save(small_state(seed=3), target)

    cached.parent.rmdir()  # a fresh machine has no such folder
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    before = socket.getdefaulttimeout()
    loaded = load_weights("imagenet", RELU1_1)
    assert calls == [(torchvision_url(), str(cached), "dcbb9e9d", imagenet.STALL_TIMEOUT_S)]
    assert socket.getdefaulttimeout() == before
    assert torch.equal(loaded.tensors["conv1_1.bias"], small_state(seed=3)["features.0.bias"])


def test_a_host_that_does_not_answer_is_not_asked_for_the_file(
    cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(imagenet, "answers", asked.append)
    with pytest.raises(WeightsUnavailableError, match="the host does not answer"):
        load_weights("imagenet", RELU1_1)
    assert asked == [torchvision_url()]


@pytest.mark.parametrize(
    "error",
    [
        urllib.error.URLError("name or service not known"),
        urllib.error.HTTPError("https://host", 403, "Forbidden", http.client.HTTPMessage(), None),
        TimeoutError("timed out"),
        ConnectionResetError("reset by peer"),
        RuntimeError('invalid hash value (expected "dcbb9e9d", got "0123")'),
        http.client.BadStatusLine("not http"),
        http.client.IncompleteRead(b"half"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_failed_download_names_the_places_tried_and_the_way_out(
    cached: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def download(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    before = socket.getdefaulttimeout()
    with pytest.raises(WeightsUnavailableError, match=r"encoder\.weights=PATH") as caught:
        load_weights("imagenet", RELU1_1)
    message = str(caught.value)
    for part in (
        str(cached),
        "encoder.weights=auto",
        f"https://download.pytorch.org/models/{HUB_FILE}",
    ):
        assert part in message
    assert str(error) in message
    assert list(cached.parent.iterdir()) == []
    assert socket.getdefaulttimeout() == before


def test_a_download_of_other_bytes_leaves_no_file(
    cached: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    served = tmp_path / "served.pth"
    torch.save(small_state(), served)

    def download(url: str, target: str, hash_prefix: str | None = None) -> None:
        real_download(served.as_uri(), target, hash_prefix=hash_prefix, progress=False)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    with pytest.raises(WeightsError, match=r'invalid hash value.*"dcbb9e9d"'):
        load_weights("imagenet", RELU1_1)
    assert list(cached.parent.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_reported(cached: Path, tmp_path: Path) -> None:
    cached.parent.rmdir()
    cached.parent.write_text("a file where the folder should be")
    with pytest.raises(WeightsError, match=re.escape(f"the cache '{cached}'")):
        load_weights("imagenet", RELU1_1)


def test_a_host_that_stays_silent_is_given_up_soon(
    no_network: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    given_up = threading.Event()

    def silent(*args: object, timeout: float) -> socket.socket:
        given_up.wait(10)
        return socket.socket()  # an answer, if it was waited for

    monkeypatch.setattr(network, "ANSWER_TIMEOUT_S", 0.05)
    monkeypatch.setattr(socket, "create_connection", silent)
    with pytest.raises(WeightsUnavailableError, match="the host does not answer"):
        load_weights("imagenet", RELU1_1)
    given_up.set()


@pytest.mark.slow
def test_the_package_never_needs_torchvision_for_its_own_network() -> None:
    """Lightning's metrics import it where it is; here it cannot be imported at all."""
    code = (
        "import sys; sys.modules['torchvision'] = None\n"
        "from overpaint.encoder.choosing import load_encoder; import torch\n"
        "print(load_encoder()(torch.zeros(1, 3, 16, 16))['relu5_1'].shape[1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout == "512\n", done.stderr
