"""torchvision's VGG-19, trained on ImageNet anew by PyTorch's team: found, or downloaded."""

from __future__ import annotations

import http.client
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from overpaint.connection import answers
from overpaint.errors import WeightsError, WeightsUnavailableError, brief
from overpaint.files import file_sha256

logger = logging.getLogger(__name__)

# File name of torchvision's VGG19_Weights.IMAGENET1K_V1; the digits are its SHA-256's first ones.
HUB_FILE = "vgg19-dcbb9e9d.pth"
STALL_TIMEOUT_S = 10.0


def imagenet_file() -> Path:
    """The file of the weights in PyTorch's hub cache, downloaded if it is not there.

    Raises:
        WeightsUnavailableError: if it is not there and cannot be downloaded.
        WeightsError: if the one in the cache is damaged.
    """
    cached = Path(torch.hub.get_dir()) / "checkpoints" / HUB_FILE
    if not cached.is_file():
        _download(cached)
    elif not file_sha256(cached).startswith(_expected_hash()):
        raise WeightsError(f"'{cached}' is damaged: its SHA-256 does not match; delete the file.")
    return cached


def _expected_hash() -> str:
    return HUB_FILE.partition("-")[2].partition(".")[0]


def _download(path: Path) -> None:
    from torchvision.models import VGG19_Weights  # takes seconds to import, and is needed only here

    url = VGG19_Weights.IMAGENET1K_V1.url
    try:
        if not answers(url):
            raise OSError("the host does not answer")
        logger.info("Downloading VGG-19 (548 MB) from %s to %s", url, path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with _time_limit(STALL_TIMEOUT_S):
            # Writes to a temporary name, checks the hash, then renames.
            torch.hub.download_url_to_file(url, str(path), hash_prefix=_expected_hash())
    except (http.client.HTTPException, OSError, RuntimeError) as error:
        raise WeightsUnavailableError(
            f"torchvision's VGG-19 could not be had. Tried: the cache '{path}' (not there), {url} "
            f"({brief(error)}). Copy the file from a machine that can reach that host and name it "
            "with encoder.weights=PATH, or use the VGG-19 in this package: encoder.weights=auto."
        ) from error


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
