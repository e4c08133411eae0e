"""`--like` on what no run can be repeated from, through the real command."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from conftest import make_picture
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from refusals import refused

from overpaint.files import file_sha256
from overpaint.records.provenance import provenance_text
from overpaint.settings.reading import load_config
from overpaint.settings.writing import to_yaml

Spoil = Callable[[Path], object]


def save(path: Path, text: Mapping[str, str]) -> None:
    info = PngInfo()
    for name, one in text.items():
        info.add_itxt(name, one, zip=True)
    make_picture((32, 24), seed=5).save(path, pnginfo=info)


def texts(folder: Path) -> dict[str, str]:
    """What a run of the pictures in a folder writes."""
    names = {"content.image": folder / "photo.png", "style.images[0]": folder / "painting.png"}
    values = {"content.image": "photo.png", "style.images": ["painting.png"]}
    settings = load_config(values=values, with_files=False)
    return provenance_text(
        to_yaml(settings),
        inputs={setting: file_sha256(path) for setting, path in names.items()},
        versions={},
        weights="vgg19",
    )


@pytest.fixture
def folder(photo: Path, painting: Path) -> Path:
    """A photo, a painting, and what a run made of them."""
    save(photo.parent / "made.png", texts(photo.parent))
    return photo.parent


def says(**changes: str) -> Spoil:
    """Texts in the place of those that a run writes."""
    named = {f"overpaint {keyword}": text for keyword, text in changes.items()}
    return lambda folder: save(folder / "made.png", {**texts(folder), **named})


def silent(folder: Path) -> None:
    make_picture((32, 24), seed=5).save(folder / "made.png")


def a_jpeg(folder: Path) -> None:
    with Image.open(folder / "made.png") as picture:
        picture.save(folder / "made.png", "JPEG")


def cut_short(folder: Path) -> None:
    path = folder / "made.png"
    path.write_bytes(path.read_bytes()[:60])


def a_flipped_bit(folder: Path) -> None:
    path = folder / "made.png"
    data = bytearray(path.read_bytes())
    data[data.index(b"overpaint settings") + 40] ^= 1
    path.write_bytes(data)


def a_bomb(folder: Path) -> None:
    save(folder / "made.png", {"overpaint settings": "a: 1\n" * 1_000_000})


def another_photo(folder: Path) -> None:
    make_picture((64, 48), seed=9).save(folder / "photo.png")


def a_folder_for_a_photo(folder: Path) -> None:
    (folder / "photo.png").unlink()
    (folder / "photo.png").mkdir()


def gone(*names: str) -> Spoil:
    return lambda folder: [(folder / name).unlink() for name in names]


def many_gone(folder: Path) -> None:
    values = {"content.image": "a.png", "style.images": [f"{i}.png" for i in range(9)]}
    settings = load_config(values=values, with_files=False)
    says(settings=to_yaml(settings), inputs="{}")(folder)


def nothing(folder: Path) -> None:
    """All is as it was left."""


DEEP = "[" * 100_000
LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{two}: &{two} [*{one}, *{one}]\n" for one, two in zip("abcdefgh", "bcdefghi", strict=True)
)
COPIES = "content: &a {weight: 1.0}\nstyle: *a\n"
WELL = f"a: {'[' * 60}{']' * 60}\n{COPIES}"
ROWS: list[tuple[str, Spoil, list[str], str]] = [
    ("no file", gone("made.png"), [], "'made.png': no such file"),
    ("a JPEG", a_jpeg, [], "'made.png': not a PNG"),
    ("a PNG of another program", silent, [], "'made.png' holds no settings"),
    ("half a PNG", cut_short, [], "'made.png'"),
    ("a flipped bit", a_flipped_bit, [], "'made.png'"),
    ("a text of megabytes", a_bomb, [], "'made.png'"),
    ("no YAML", says(settings="{"), [], "'made.png': is not valid YAML"),
    ("no settings", says(settings="a novel"), [], "unknown setting 'a novel'"),
    ("a number", says(settings="5"), [], "holds no settings"),
    ("nothing", says(settings=""), [], "holds no settings"),
    ("foreign settings", says(settings="a: 1\nb: 2\nc: 3\nd: 4"), [], "And 3 more."),
    ("a value that cannot be", says(settings="seed: x"), [], "seed: expected a whole number"),
    ("brackets without end", says(settings=DEEP), [], "is not valid YAML"),
    ("brackets with copies beyond", says(settings=WELL), [], "is nested too deeply"),
    ("Python", says(settings="seed: !!python/object/apply:os.getpid []"), [], "not valid YAML"),
    ("copies of copies", says(settings=LAUGHS), [], "there are references"),
    ("a copy", says(settings=COPIES), [], "there are references"),
    ("the environment", says(settings="tracking: {notes: '${oc.env:HOME}'}"), [], "references"),
    ("damaged hashes", says(inputs="{"), [], "'overpaint inputs' in it is damaged"),
    ("hashes that are none", says(inputs='{"content.image": "x"}'), [], "is damaged"),
    ("hashes in a list", says(inputs=json.dumps(["x"])), [], "is damaged"),
    ("hashes without end", says(inputs=DEEP), [], "is damaged"),
    ("no photo", gone("photo.png"), [], "content.image: 'photo.png' is gone"),
    ("nothing left", gone("photo.png", "painting.png"), [], "style.images[0]: 'painting.png' is"),
    ("many gone", many_gone, [], "And 8 more pictures"),
    ("another photo", another_photo, [], "'photo.png' is not the picture that the run read"),
    ("a folder for a photo", a_folder_for_a_photo, [], "content.image: 'photo.png' is gone"),
    ("no photo, another painting", gone("photo.png"), ["--style", "painting.png"], "is gone"),
    ("a photo that is not there", nothing, ["no.png"], "no such file: 'no.png'"),
    ("an unknown setting", nothing, ["style.wieght=3"], "did you mean 'weight'?"),
    ("settings beside it", nothing, ["--config", "paper"], "--like and --config"),
    ("a run that goes on", nothing, ["--resume", "run"], "--resume: the run has its pictures"),
]


@pytest.mark.parametrize(
    ("spoil", "words", "told"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_what_no_run_can_be_repeated_from_is_refused(
    folder: Path, spoil: Spoil, words: list[str], told: str
) -> None:
    spoil(folder)
    assert told in refused(["--like", "made.png", *words], cwd=folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads any file")
def test_a_photo_that_may_not_be_read_is_told(folder: Path) -> None:
    (folder / "photo.png").chmod(0)
    said = refused(["--like", "made.png"], cwd=folder)
    assert "content.image: 'photo.png' cannot be read" in said
