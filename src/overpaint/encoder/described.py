"""Safetensors files that say what they hold, and are checked against it when they are read.

One metadata entry is JSON: a `format`, whatever else there is to say, and the SHA-256 of all of it
and of the tensors, so that a flipped bit anywhere is found.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from overpaint.errors import WeightsError
from overpaint.files import write_bytes

Said = dict[str, Any]


def save_described(
    tensors: Mapping[str, Tensor], said: Mapping[str, Any], path: Path, *, entry: str
) -> None:
    """Writes a file, the same bytes for the same values.

    Args:
        tensors: on the CPU, contiguous.
        said: JSON values; `format` among them.
        path: ends in `.safetensors`.
        entry: name of the metadata entry.

    Raises:
        WriteError: if the file cannot be written.
    """
    whole = {**said, "sha256": _digest(tensors, said)}
    # One entry, because the format keeps no order among several.
    data = save(dict(tensors), {entry: json.dumps(whole, sort_keys=True)})
    write_bytes(path, data)


def read_described(
    path: Path,
    names: Sequence[str],
    *,
    entry: str,
    form: str,
    what: str,
    hint: str,
    check: Callable[[Mapping[str, Tensor], Said], None],
) -> tuple[dict[str, Tensor], Said]:
    """Tensors and what the file says of itself.

    Args:
        path: the file.
        names: of the tensors.
        entry: name of the metadata entry.
        form: the `format` that the reader knows.
        what: words for such a file, for messages.
        hint: what to do with a file without the entry.
        check: raises KeyError, TypeError or ValueError if tensors are not those described.

    Raises:
        WeightsError: if the file is missing, damaged or something else.
    """
    if not path.is_file():
        raise WeightsError(f"encoder.weights: no such file: '{path}'.")
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(entry)
            tensors = {name: file.get_tensor(name) for name in names if text}
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"'{path}' is damaged or no {what} ({error}).") from error
    if text is None:
        raise WeightsError(f"'{path}' is no {what} (its metadata has no '{entry}' entry); {hint}")
    try:
        said = json.loads(text)
        if said["format"] != form:
            raise ValueError(f"its format is {said['format']!r}, this version reads {form!r}")
        check(tensors, said)
        if _digest(tensors, said) != said["sha256"]:
            raise ValueError("its values are not those that were written (SHA-256)")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise WeightsError(f"'{path}' is a damaged or foreign {what}: {error}.") from error
    return tensors, said


def _digest(tensors: Mapping[str, Tensor], said: Mapping[str, Any]) -> str:
    """The SHA-256 of a file's tensors, in the order given, and of all that it says but this."""
    rest = {key: value for key, value in said.items() if key != "sha256"}
    digest = hashlib.sha256(json.dumps(rest, sort_keys=True).encode())
    for value in tensors.values():
        digest.update(value.numpy().data)
    return digest.hexdigest()
