from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

import overpaint.settings.shipped as shipped
from overpaint.errors import ConfigError
from overpaint.settings.reading import load_config
from overpaint.settings.shipped import find_picture, find_preset, preset_names, shipped_folder

REPOSITORY = Path(__file__).resolve().parents[3]
PAPER = REPOSITORY / "configs" / "paper.yaml"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder that is not the repository."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_names_of_the_presets_are_those_of_the_files_but_not_of_sweeps() -> None:
    assert preset_names() == [
        *("bold", "default", "gatys", "paper", "portrait", "poster", "preview", "texture"),
    ]


@pytest.mark.parametrize("word", ["paper", "configs/paper.yaml", "./configs/paper.yaml"])
def test_a_preset_is_found_from_any_folder(elsewhere: Path, word: str) -> None:
    assert find_preset(word) == PAPER
    assert load_config(word).loss.normalization == "paper"


def test_a_file_in_the_current_folder_wins(elsewhere: Path) -> None:
    (elsewhere / "paper").write_text("seed: 3")
    (elsewhere / "configs").mkdir()
    (elsewhere / "configs" / "gatys.yaml").write_text("seed: 4")
    assert load_config("paper").seed == 3
    assert load_config("configs/gatys.yaml").seed == 4


def test_a_folder_does_not_hide_the_preset_of_its_name(elsewhere: Path) -> None:
    (elsewhere / "paper").mkdir()
    (elsewhere / "other").mkdir()
    assert find_preset("paper") == PAPER
    with pytest.raises(ConfigError, match=r"--config: cannot read 'other': .*directory"):
        load_config("other")


@pytest.mark.parametrize("word", ["papr", "papr.yaml", "configs/papr.yaml"])
def test_a_close_name_is_suggested(elsewhere: Path, word: str) -> None:
    message = (
        f"--config: no such file: '{word}' (from {elsewhere}). Or a preset: unknown preset "
        "'papr'; did you mean 'paper'? All names: bold, default, gatys, paper, portrait, poster, "
        "preview, texture."
    )
    with pytest.raises(ConfigError, match=re.escape(message)):
        find_preset(word)


@pytest.mark.parametrize("word", ["mine/paper.yaml", "/nope/paper", "a" * 300 + "/paper"])
def test_a_path_elsewhere_is_no_name(elsewhere: Path, word: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find_preset(Path(word))
    assert str(caught.value) == f"--config: no such file: '{word}' (from {elsewhere})."


def test_a_sample_picture_is_found_from_any_folder(elsewhere: Path) -> None:
    found = str(REPOSITORY / "assets" / "content" / "rocket.jpg")
    assert find_picture("assets/content/rocket.jpg") == found
    assert find_picture(found) == found


def test_a_picture_of_ones_own_goes_before_a_sample(elsewhere: Path) -> None:
    (elsewhere / "assets" / "content").mkdir(parents=True)
    (elsewhere / "assets" / "content" / "rocket.jpg").touch()
    assert find_picture("assets/content/rocket.jpg") == "assets/content/rocket.jpg"


@pytest.mark.parametrize("name", ["assets/nope.jpg", "assets", "content/rocket.jpg", "rocket.jpg"])
def test_what_is_no_sample_stays_as_it_is(elsewhere: Path, name: str) -> None:
    assert find_picture(name) == name


def test_an_installed_package_holds_everything_itself(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = elsewhere / "lib" / "overpaint"
    shutil.copytree(REPOSITORY / "configs", package / "configs")
    (package / "assets").mkdir()
    (package / "assets" / "a.jpg").touch()
    monkeypatch.setattr(shipped, "_PACKAGE", package)
    assert shipped_folder() == package
    assert find_preset("paper") == package / "configs" / "paper.yaml"
    assert find_picture("assets/a.jpg") == str(package / "assets" / "a.jpg")
