from __future__ import annotations

import logging
import os
import time
import warnings
from collections import Counter
from pathlib import Path

import pytest
from fuzz_pictures import damaged_files, fuzz, whole_files
from PIL import Image

from overpaint.errors import ImageError
from overpaint.pictures.io import read_picture


def breaks(path: Path) -> None:
    raise KeyError("no such thing")


def warns(path: Path) -> None:
    warnings.warn("careful", stacklevel=1)


def talks(path: Path) -> None:
    os.write(2, b"a remark\n")


def logs(path: Path) -> None:
    for _ in range(2):
        logging.getLogger("overpaint").warning("a line")


def hangs(path: Path) -> None:
    time.sleep(60)


def dies(path: Path) -> None:
    os._exit(7)


def refuses(path: Path) -> None:
    raise ImageError("damaged")


@pytest.mark.parametrize(
    ("reader", "what"),
    [
        (breaks, "raised KeyError"),
        (warns, "warned careful"),
        (talks, "wrote b'a remark'"),
        (logs, "logged 2 lines"),
        (hangs, "took over 0.2 s"),
        (dies, "ended the process with 7"),
    ],
)
def test_what_no_file_may_do_is_a_fault(reader: object, what: str) -> None:
    faults = fuzz(2, limit=0.2 if reader is hangs else 20, reader=reader)
    assert [fault.number for fault in faults] == [0, 1]
    assert all(what in fault.what for fault in faults)


def test_a_refusal_is_none() -> None:
    assert fuzz(3, reader=refuses) == []


def test_the_files_are_pictures_before_the_damage(tmp_path: Path) -> None:
    formats = Counter[str | None]()
    for name, data in whole_files().items():
        path = tmp_path / "picture"
        path.write_bytes(data)
        assert read_picture(path).mode == "RGB", name
        with Image.open(path) as image:
            formats[image.format] += 1
    assert set(formats) == {"JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"}


def test_the_damage_is_the_same_each_time_and_hits_half_of_the_files_hard(tmp_path: Path) -> None:
    files = list(damaged_files(100, seed=3))
    assert files == list(damaged_files(100, seed=3))
    assert files != list(damaged_files(100, seed=4))
    refused = 0
    for _, data in files:
        path = tmp_path / "picture"
        path.write_bytes(data)
        try:
            read_picture(path)
        except ImageError:
            refused += 1
    assert 20 <= refused <= 80


def test_damaged_files_give_a_picture_or_an_image_error() -> None:
    faults = fuzz(200, seed=1)
    assert not faults, "\n".join(f"{one.number}, {one.seed}: {one.what}" for one in faults)
