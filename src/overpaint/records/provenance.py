"""What a finished picture says of how it was made, in its PNG text chunks."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from overpaint.errors import ImageError
from overpaint.files import readable
from overpaint.pictures.io import read_png_text
from overpaint.version import __version__

_SETTINGS, _INPUTS = "overpaint settings", "overpaint inputs"
_VERSIONS, _WEIGHTS = "overpaint versions", "overpaint weights"
_RECOLORED = "overpaint recolor"
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Provenance:
    """How a picture was made."""

    settings: str
    """YAML."""
    inputs: Mapping[str, str]
    """The setting of each picture to the SHA-256 of its file; empty in older pictures."""
    versions: Mapping[str, str]
    """Package to version."""


def provenance_text(
    settings: str,
    *,
    inputs: Mapping[str, str],
    versions: Mapping[str, str],
    weights: str,
) -> dict[str, str]:
    """Keywords and texts for a PNG; `read_provenance` reads them.

    Args:
        settings: YAML that repeats the run.
        inputs: the setting of each picture to the SHA-256 of its file.
        versions: package to version.
        weights: of the encoder: its name and its SHA-256, in words.
    """
    return {
        "Software": f"overpaint {__version__}",
        _SETTINGS: settings,
        _INPUTS: json.dumps(dict(inputs)),
        _VERSIONS: json.dumps(dict(versions)),
        _WEIGHTS: weights,
    }


def recolored_text(keep: str, photo: str) -> dict[str, str]:
    """What a PNG says beside what its run wrote when its colours are another's.

    Args:
        keep: how they were taken.
        photo: the name of the picture that has them.
    """
    return {_RECOLORED: f"{keep} of {readable(photo)}"}


def read_provenance(path: str | Path) -> Provenance:
    """Reads what a picture says of how it was made.

    Args:
        path: a PNG as runs leave it, or a copy of one.

    Raises:
        ImageError: if it is no PNG, or says nothing or nothing whole.
    """
    text = read_png_text(path)
    if not text.get(_SETTINGS, "").strip():
        raise ImageError(
            f"'{path}' holds no settings; pictures that a run leaves as PNG do, unless a program "
            "has saved them anew."
        )
    inputs = _names(text.get(_INPUTS, "{}"))
    if inputs is None or not all(map(_SHA256.fullmatch, inputs.values())):
        raise ImageError(f"'{path}': the text '{_INPUTS}' in it is damaged.")
    return Provenance(text[_SETTINGS], inputs, _names(text.get(_VERSIONS, "{}")) or {})


def _names(text: str) -> dict[str, str] | None:
    """A JSON mapping of texts; None if it is anything else."""
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return None
    is_mapping = isinstance(read, dict) and all(isinstance(one, str) for one in read.values())
    return read if is_mapping else None
