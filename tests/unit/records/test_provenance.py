from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import make_picture

from overpaint.errors import ImageError
from overpaint.pictures.io import save_picture
from overpaint.records.provenance import provenance_text, read_provenance

HASHES = {"content.image": "0" * 64, "style.images[0]": "ab" * 32}
TEXT = provenance_text("seed: 1 # ü\n", inputs=HASHES, versions={"torch": "2.9"}, weights="vgg19")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "result.png"
    save_picture(make_picture((8, 6), seed=1), path, TEXT)
    found = read_provenance(path)
    assert found.settings == "seed: 1 # ü\n"
    assert found.inputs == HASHES
    assert found.versions == {"torch": "2.9"}


def test_older_pictures_hold_no_hashes(tmp_path: Path) -> None:
    path = tmp_path / "result.png"
    older = {"overpaint settings": "seed: 1"}
    save_picture(make_picture((8, 6), seed=1), path, older)
    found = read_provenance(path)
    assert (found.settings, found.inputs, found.versions) == ("seed: 1", {}, {})


@pytest.mark.parametrize("text", ["", " \n"])
def test_a_picture_without_settings_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "result.png"
    save_picture(make_picture((8, 6), seed=1), path, {**TEXT, "overpaint settings": text})
    with pytest.raises(ImageError, match=r"result\.png' holds no settings"):
        read_provenance(path)


@pytest.mark.parametrize(
    "inputs", ["", "[", "[]", "1", '{"a": 1}', '{"a": "b"}', json.dumps({"a": "F" * 64})]
)
def test_damaged_hashes_are_told(tmp_path: Path, inputs: str) -> None:
    path = tmp_path / "result.png"
    save_picture(make_picture((8, 6), seed=1), path, {**TEXT, "overpaint inputs": inputs})
    with pytest.raises(ImageError, match="'overpaint inputs' in it is damaged"):
        read_provenance(path)
