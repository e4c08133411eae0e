"""Regions, masks and weight maps that have to be refused, through the real command."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import make_picture
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from refusals import refused

from overpaint.building.sources import read_masks
from overpaint.errors import ConfigError, ImageError
from overpaint.pictures.inputs import Inputs
from overpaint.pictures.io import read_picture
from overpaint.settings.reading import load_config


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo, a painting, and masks of all kinds."""
    path = tmp_path_factory.mktemp("regions")
    make_picture((64, 48), seed=1).save(path / "photo.png")
    make_picture((40, 60), seed=2).save(path / "painting.png")
    make_picture((48, 48), seed=3).save(path / "other.png")
    grey = np.zeros((48, 64), np.uint8)
    Image.fromarray(grey).save(path / "black.png")
    grey[:, :32] = 255
    Image.fromarray(grey).save(path / "half.png")
    Image.fromarray(grey[:, :48]).save(path / "square.png")
    Image.fromarray(grey).transpose(Image.Transpose.ROTATE_90).save(path / "tall.png")
    Image.fromarray(grey).resize((128, 96)).save(path / "large.png")
    data = (path / "half.png").read_bytes()
    (path / "cut.png").write_bytes(data[:40])
    (path / "text.png").write_text("no picture")
    (path / "empty.png").write_bytes(b"")
    (path / "folder.png").mkdir()
    return path


REGIONS = [
    ("no mask", "{style: painting.png}", "regions[0].content_mask: missing; every region needs on"),
    ("null for a mask", "{content_mask: null}", "regions[0].content_mask: expected a text"),
    ("no such mask", "{content_mask: gone.png, style: painting.png}", "content_mask: no such file"),
    ("no such painting", "{content_mask: half.png, style: gone.png}", "regions[0].style: no such"),
    (
        "no such part",
        "{content_mask: half.png, style: painting.png, style_mask: gone.png}",
        "regions[0].style_mask: no such file: 'gone.png'",
    ),
    (
        "a folder",
        "{content_mask: folder.png, style: painting.png}",
        "content_mask: 'folder.png' is",
    ),
    ("text", "{content_mask: text.png, style: painting.png}", "'text.png': not a picture"),
    ("nothing in it", "{content_mask: empty.png, style: painting.png}", "'empty.png': "),
    ("cut short", "{content_mask: cut.png, style: painting.png}", "'cut.png': "),
    ("no painting", "{content_mask: half.png}", "regions: none has a style and a weight above 0"),
    (
        "a weight of nothing",
        "{content_mask: half.png, style: painting.png, weight: 0}",
        "regions: none has a style and a weight above 0",
    ),
    (
        "a negative weight",
        "{content_mask: half.png, style: painting.png, weight: -1}",
        "regions[0].weight: -1.0 is out of range; allowed: 0 or more",
    ),
    (
        "endless weight",
        "{content_mask: half.png, style: painting.png, weight: .inf}",
        "regions[0].weight: inf is out of range",
    ),
    (
        "a part of no painting",
        "{content_mask: half.png, style_mask: half.png}",
        "regions[0].style_mask: 'half.png' needs a style that it is of",
    ),
    (
        "an unknown key",
        "{content_mask: half.png, stile: painting.png}",
        "regions[0].stile: unknown setting of a region 'stile'; did you mean 'style'?",
    ),
    (
        "a black mask",
        "{content_mask: black.png, style: painting.png}",
        "regions[0].content_mask: 'black.png' is black everywhere",
    ),
    (
        "another aspect",
        "{content_mask: square.png, style: painting.png}",
        "'square.png' is 48x48, of another aspect than 'photo.png', 64x48",
    ),
    ("on its side", "{content_mask: tall.png, style: painting.png}", "'tall.png' is 48x64, of an"),
    (
        "a part of another aspect",
        "{content_mask: half.png, style: painting.png, style_mask: half.png}",
        "regions[0].style_mask: 'half.png' is 64x48, of another aspect than 'painting.png', 40x60",
    ),
    ("a text", "half.png", "regions[0]: expected 'key: value' pairs, got 'half.png'"),
    ("a number", "3", "regions[0]: expected 'key: value' pairs, got 3"),
    ("a list", "[half.png]", "regions[0]: expected 'key: value' pairs, got ['half.png']"),
]


@pytest.mark.parametrize(
    ("region", "told"), [row[1:] for row in REGIONS], ids=[row[0] for row in REGIONS]
)
def test_regions_that_mean_nothing_are_refused(folder: Path, region: str, told: str) -> None:
    words = ["photo.png", f"regions=[{region}]", "tracking.mode=disabled"]
    assert told in refused(words, cwd=folder)


GOOD = "regions=[{content_mask: half.png, style: painting.png}]"
FLOW = "assets/style/flow_field.jpg"
BESIDE = [
    ("paintings", ["photo.png", "other.png", GOOD], "style.images: ['other.png'], but each of the"),
    ("a sample", ["photo.png", FLOW, GOOD], "flow_field.jpg'], but each of the regions"),
    ("shares", ["photo.png", GOOD, "style.image_weights=[1]"], "style.image_weights: are of style"),
    ("a map that is gone", ["photo.png", "style.weight_map=gone.png"], "style.weight_map: no such"),
    (
        "a black map",
        ["photo.png", "painting.png", "content.weight_map=black.png"],
        "content.weight_map: 'black.png' is black everywhere",
    ),
    (
        "a map of another aspect",
        ["photo.png", "painting.png", "style.weight_map=square.png"],
        "style.weight_map: 'square.png' is 48x48",
    ),
    ("a map of numbers", ["photo.png", "style.weight_map=[1,2]"], "style.weight_map"),
    (
        "a mask of too many pixels",
        ["photo.png", GOOD.replace("half", "large"), "image.max_pixels=4000"],
        "'large.png': too many pixels to open safely (it has 0 megapixels, image.max_pixels is 40",
    ),
    (
        "a setting in regions",
        ["photo.png", "regions.0.weight=1"],
        "regions.0.weight: regions holds",
    ),
]


@pytest.mark.parametrize(
    ("words", "told"), [row[1:] for row in BESIDE], ids=[row[0] for row in BESIDE]
)
def test_what_does_not_go_with_regions_and_maps_is_refused(
    folder: Path, words: list[str], told: str
) -> None:
    assert told in refused([*words, "tracking.mode=disabled"], cwd=folder)


texts = st.text(max_size=6)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
keys = st.sampled_from(["content_mask", "style", "style_mask", "weight"]) | texts


@given(regions=st.lists(st.dictionaries(keys, values, max_size=5) | values, max_size=3))
def test_whatever_stands_in_a_list_of_regions_is_told_in_words(
    folder: Path, regions: list[object]
) -> None:
    """Nothing but a `ConfigError`, and what is taken is regions of files that are there."""
    problems: list[str] = []
    taken = 0
    try:
        taken = len(load_config(values={"regions": regions}).regions)
    except ConfigError as error:
        problems = [*error.problems]
    assert bool(problems) != (taken == len(regions))
    assert all(problem.count("\n") == 0 and ": " in problem for problem in problems)


@given(regions=st.lists(st.dictionaries(keys, values, max_size=4), min_size=1, max_size=2))
def test_files_of_such_regions_are_told_in_words_too(
    tmp_path_factory: pytest.TempPathFactory, regions: list[object]
) -> None:
    path = tmp_path_factory.mktemp("yaml") / "regions.yaml"
    path.write_text(yaml.safe_dump(json.loads(json.dumps({"regions": regions}))), encoding="utf-8")
    with pytest.raises(ConfigError, match="regions"):
        load_config(path)


def spoilt(data: bytes, rng: random.Random) -> bytes:
    """A picture file with bytes changed, cut off or put in."""
    found = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        found[rng.randrange(len(found))] = rng.randrange(256)
    return bytes(found[: rng.randint(1, len(found))] if rng.random() < 0.5 else found)


@given(seed=st.integers(0, 2**32 - 1))
def test_a_damaged_mask_is_read_or_refused_in_words(folder: Path, seed: int) -> None:
    rng = random.Random(seed)
    stream = io.BytesIO()
    form = rng.choice(["PNG", "JPEG", "GIF", "BMP", "TIFF"])
    mode = rng.choice(["L", "RGB", "1", "L"])
    read_picture(folder / "half.png").convert(mode).save(stream, form)
    path = folder / "folder.png" / "damaged.png"
    path.write_bytes(spoilt(stream.getvalue(), rng))
    photo, painting = (read_picture(folder / name) for name in ("photo.png", "painting.png"))
    regions = [{"content_mask": str(path), "style": str(folder / "painting.png")}]
    config = load_config(values={"regions": regions})
    hashes: dict[str, str] = {}
    told = ""
    try:
        read_masks(config, Inputs(photo, [painting], None, ("photo", "it")), hashes)
    except ImageError as error:
        told = str(error)
    assert ("damaged.png" in told) != (str(path) in hashes and not told)
