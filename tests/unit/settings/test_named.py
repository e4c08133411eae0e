"""Regions and weight maps as settings: words, files, and what is written down."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import make_picture

from overpaint.errors import ConfigError
from overpaint.settings.named import masks_read, pictures_read, pictures_written, with_names
from overpaint.settings.parsing import kind_of, read_word, read_yaml
from overpaint.settings.reading import load_config
from overpaint.settings.resolving import resolved
from overpaint.settings.schema import Config, RegionConfig
from overpaint.settings.shipped import find_picture
from overpaint.settings.writing import to_preset, to_yaml, with_absolute_paths

GLASS, FLOW = "assets/style/stained_glass.jpg", "assets/style/flow_field.jpg"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for number, name in enumerate(("photo", "mask", "one", "two", "part")):
        make_picture((32, 24), seed=number).save(tmp_path / f"{name}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


WORDS = (
    "content.image=photo.png",
    "style.weight_map=part.png",
    "regions=[{content_mask: mask.png, style: one.png, style_mask: part.png, weight: 2}, "
    "{content_mask: mask.png, style: two.png}, {content_mask: part.png}, "
    "{content_mask: mask.png, style: one.png}]",
)


def test_paintings_of_regions_are_those_of_the_run_each_once(place: Path) -> None:
    config = load_config(None, WORDS)
    assert config.style.images == ("one.png", "two.png")
    assert config.regions[0] == RegionConfig("mask.png", "one.png", "part.png", 2.0)
    assert config.regions[2] == RegionConfig("part.png")
    assert resolved(config) == config


def test_every_picture_is_named_by_its_setting(place: Path) -> None:
    config = load_config(None, WORDS)
    masks = {
        "style.weight_map": "part.png",
        "regions[0].content_mask": "mask.png",
        "regions[0].style_mask": "part.png",
        "regions[1].content_mask": "mask.png",
        "regions[2].content_mask": "part.png",
        "regions[3].content_mask": "mask.png",
    }
    assert masks_read(config) == masks
    photo = {"content.image": "photo.png"}
    paintings = {"style.images[0]": "one.png", "style.images[1]": "two.png"}
    assert pictures_read(config) == {**photo, **paintings, **masks}
    written = {f"regions[{i}].style": name for i, name in ((0, "one.png"), (1, "two.png"))}
    assert pictures_written(config) == {**photo, **written, "regions[3].style": "one.png", **masks}


def test_a_start_is_a_picture_that_is_read_if_the_run_starts_from_it() -> None:
    config = load_config(None, ("init.file=gone.png",), with_files=False)
    assert "init.file" not in pictures_read(config)
    config = load_config(None, ("init.mode=file", "init.file=gone.png"), with_files=False)
    assert pictures_read(config)["init.file"] == "gone.png"


def test_all_names_change_together(place: Path) -> None:
    config = load_config(None, (*WORDS, "content.weight_map=mask.png", "init.file=one.png"))
    changed = with_names(config, lambda name: f"/{name}")
    files = [*pictures_read(changed).values(), changed.init.file, changed.regions[0].style]
    assert all(name is not None and name.startswith("/") for name in files)
    assert with_names(changed, lambda name: name.removeprefix("/")) == config


def test_settings_with_regions_read_back_from_anywhere(
    place: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = with_absolute_paths(load_config(None, WORDS))
    path = place / "config.yaml"
    path.write_text(to_yaml(config))
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert load_config(path) == config
    changed = load_config(
        path, [f"regions=[{{content_mask: {place}/mask.png, style: {place}/two.png}}]"]
    )
    assert changed.style.images == (f"{place}/two.png",)


def test_a_preset_of_regions_names_no_painting_besides(place: Path) -> None:
    path = place / "preset.yaml"
    path.write_text(to_preset(load_config(None, WORDS)))
    assert "images" not in path.read_text()
    assert load_config(path) == load_config(None, WORDS)


def test_sample_pictures_of_regions_are_found_from_any_folder(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [WORDS[0], f"regions=[{{content_mask: mask.png, style: {FLOW}}}]"]
    config = load_config(None, words)
    assert config.regions[0].style == find_picture(FLOW) != FLOW
    assert config.style.images == (find_picture(FLOW),)


def test_names_in_regions_stay_as_they_were_written() -> None:
    kind = kind_of("regions")
    word = "[{content_mask: 12_30, style: on, style_mask: 1e3, weight: 2}]"
    expected = [{"content_mask": "12_30", "style": "on", "style_mask": "1e3", "weight": 2}]
    assert read_word(word, kind) == expected
    assert read_yaml(f"regions: {word}") == {"regions": expected}


def test_one_region_needs_no_list(place: Path) -> None:
    one = load_config(None, ["regions={content_mask: mask.png, style: one.png}"])
    assert one.regions == (RegionConfig("mask.png", "one.png"),)


def test_regions_beside_paintings_of_ones_own_are_refused(place: Path) -> None:
    with pytest.raises(ConfigError, match=r"style.images: \['two.png'\], but each of the regions"):
        load_config(None, [WORDS[2].replace("two", "one"), "style.images=two.png"])


@pytest.mark.parametrize("word", [f"style.images={FLOW}", f"style={{images: [{FLOW}]}}"])
def test_the_sample_painting_beside_regions_is_refused_too(place: Path, word: str) -> None:
    refused = r"style.images: \['.*flow_field.jpg'\], but each of the regions"
    for words in ([WORDS[2], word], [word, WORDS[2]]):
        with pytest.raises(ConfigError, match=refused):
            load_config("default", words)
    with pytest.raises(ConfigError, match=refused):
        load_config(None, WORDS, values={"style.images": [FLOW]})


def test_a_file_with_all_defaults_names_no_painting(place: Path) -> None:
    (place / "all.yaml").write_text(to_yaml(Config()))
    assert load_config(place / "all.yaml", WORDS) == load_config(None, WORDS)
    (place / "own.yaml").write_text("style: {images: [two.png]}")
    with pytest.raises(ConfigError, match=r"style.images: \['two.png'\], but each of the regions"):
        load_config(place / "own.yaml", [WORDS[2].replace("two", "one")])


def test_without_regions_nothing_is_new() -> None:
    assert Config().regions == ()
    assert masks_read(Config()) == {}
