from __future__ import annotations

import hashlib
import io
from pathlib import Path

import learning_pictures
import numpy as np
import pytest
from conftest import make_picture
from learning_pictures import GCOMPRIS, from_gcompris
from make_slim import Pictures
from PIL import Image


def webp(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()


def write_resources(folder: Path, **files: list[bytes]) -> None:
    """Files as Qt's resource compiler writes them: pictures between other bytes."""
    for name in GCOMPRIS:
        content = b"qres\x00\x00\x00\x03" + b"\x00\x01RIFF\x00".join(files.get(name, []))
        (folder / f"{name}.rcc").write_bytes(content + b"RIFFnothing")


def test_pictures_are_found_in_resource_files_but_not_sprites(tmp_path: Path) -> None:
    wanted = [make_picture((700, 350), seed=1), make_picture((300, 300), seed=2)]
    small, clear = make_picture((700, 200), seed=3), make_picture((300, 300), seed=4)
    clear.putalpha(100)
    contents = [webp(picture) for picture in (*wanted, small, clear)]
    write_resources(tmp_path, details=contents[:1], erase=contents[1:])
    found = dict(from_gcompris(tmp_path))
    assert list(found) == [hashlib.sha256(one).hexdigest()[:12] for one in contents[:2]]
    first, second = found.values()
    assert first.shape == (320, 640, 3)  # its longer edge is brought to 640 pixels
    np.testing.assert_array_equal(second, np.asarray(wanted[1], np.float32) / np.float32(255))


def test_a_folder_without_resource_files_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=rf"{GCOMPRIS[0]}\.rcc"):
        list(from_gcompris(tmp_path))


@pytest.mark.usefixtures("scikit_learn")
def test_paintings_photos_and_the_one_held_out_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = [webp(make_picture((260, 260), seed=seed)) for seed in range(3)]
    digests = [hashlib.sha256(one).hexdigest()[:12] for one in contents]
    write_resources(tmp_path, details=contents)
    monkeypatch.setattr("make_slim.GCOMPRIS_PAINTINGS", digests[:1])
    monkeypatch.setattr("make_slim.GCOMPRIS_HELD_OUT", digests[1])
    alone, more = Pictures(0, 32), Pictures(0, 32, tmp_path)
    assert len(more.photos) == len(alone.photos) + 1
    assert len(more.paintings) == len(alone.paintings) + 1
    assert len(alone.photos) == sum(map(len, learning_pictures.PHOTOS.values()))
