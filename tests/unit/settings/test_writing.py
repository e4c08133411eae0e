from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import PRESETS
from hypothesis import given, settings
from hypothesis import strategies as st

from overpaint.settings.reading import load_config
from overpaint.settings.schema import (
    Config,
    ContentConfig,
    EncoderConfig,
    InitConfig,
    OutputConfig,
    StyleConfig,
)
from overpaint.settings.writing import (
    repeatable,
    to_dict,
    to_preset,
    to_yaml,
    with_absolute_paths,
)

REPOSITORY = Path(__file__).resolve().parents[3]
PAINTING = "assets/style/flow_field.jpg"


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default settings name pictures relative to it."""
    monkeypatch.chdir(REPOSITORY)


def read(folder: Path, text: str) -> Config:
    path = folder / "settings.yaml"
    path.write_bytes(text.encode())
    return load_config(path)


def test_plain_settings_hold_lists_and_no_tuples() -> None:
    plain = to_dict(load_config(overrides=["snapshots.steps=[1, 2]"]))
    assert plain["snapshots"] == {"steps": [1, 2], "every": 50, "max_edge": 2048}
    assert plain["style"]["images"] == [PAINTING]
    assert plain["optimizer"]["adam"]["beta1"] == 0.9


def test_settings_written_as_yaml_are_read_back(tmp_path: Path) -> None:
    config = load_config(
        overrides=["style.layers={conv1_1: 1}", "snapshots.steps=[3, 1]", "optimizer.name=lbfgs"]
    )
    text = to_yaml(config)
    assert yaml.safe_load(text)["style"]["layers"] == {"conv1_1": 1.0}
    assert read(tmp_path, text) == config


@pytest.mark.parametrize("write", [to_yaml, to_preset])
@pytest.mark.parametrize(
    "notes",
    ["${seed}", "${x", r"\${seed}", r"a\\${b}", "$", "a: b", "null", "1e3", "yes", "#", "\n", "'"],
)
def test_any_text_is_read_back(tmp_path: Path, notes: str, write: Any) -> None:
    config = load_config(values={"tracking.notes": notes, "tracking.tags": [notes]})
    assert config.tracking.notes == notes
    assert read(tmp_path, write(config)) == config


@settings(deadline=None, max_examples=20)
@given(
    weight=st.floats(0, allow_infinity=False),
    lr=st.floats(0, exclude_min=True, allow_infinity=False),
    seed=st.integers(0, 2**63 - 1),
    steps=st.lists(st.integers(1, 10**6), max_size=3),
    notes=st.text(st.characters(exclude_characters="$", exclude_categories=["Cs"])),
)
def test_any_settings_written_as_yaml_are_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    weight: float,
    lr: float,
    seed: int,
    steps: list[int],
    notes: str,
) -> None:
    given_values = {
        "style.weight": weight,
        "optimizer.lr": lr,
        "seed": seed,
        "snapshots.steps": steps,
        "tracking.notes": notes,
    }
    config = load_config(values=given_values)
    assert (config.style.weight, config.seed, config.tracking.notes) == (weight, seed, notes)
    assert read(tmp_path_factory.mktemp("settings"), to_yaml(config)) == config


def test_the_defaults_make_an_empty_preset() -> None:
    assert yaml.safe_load(to_preset(Config())) == {}


@pytest.mark.parametrize(
    ("overrides", "preset"),
    [
        (
            ["style.layers={conv1_1: 1, relu5_4: 0.5}", "style.weight=3"],
            {
                "optimizer": {"lr": 0.03},
                "style": {"layers": {"conv1_1": 1.0, "relu5_4": 0.5}, "weight": 3.0},
            },
        ),
        # one layer of the default mapping alone, at its default weight, is another mapping
        (
            ["style.layers={relu1_1: 0.35}", "content.layers.relu4_2=2"],
            {
                "content": {"layers": {"relu4_2": 2.0}},
                "optimizer": {"lr": 0.03},
                "style": {"layers": {"relu1_1": 0.35}},
            },
        ),
        (
            [
                "optimizer.name=sgd",
                "optimizer.lr=1.58e-23",
                "optimizer.sgd.momentum=0.9",
                "snapshots.steps=[3, 1]",
                "tracking.name=null",
                "tune.highest=3",
                "seed=4",
            ],
            {
                "optimizer": {"name": "sgd", "lr": 1.58e-23, "sgd": {"momentum": 0.9}},
                "snapshots": {"steps": [3, 1]},
                "tune": {"highest": 3.0},
                "seed": 4,
            },
        ),
    ],
)
def test_a_preset_states_what_differs_and_gives_the_same_settings(
    tmp_path: Path, overrides: list[str], preset: dict[str, Any]
) -> None:
    config = load_config(overrides=overrides)
    text = to_preset(config)
    assert yaml.safe_load(text) == preset
    assert read(tmp_path, text) == config


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.name)
def test_every_shipped_file_gives_the_same_settings_as_its_preset(
    tmp_path: Path, path: Path
) -> None:
    config = load_config(path)
    assert read(tmp_path, to_preset(config)) == config


def test_settings_to_repeat_a_run_know_its_weights_and_overwrite_nothing() -> None:
    config = Config(encoder=EncoderConfig("vgg19_slim"), output=OutputConfig("there", copy="f.png"))
    again = repeatable(config, weights_sha256="a" * 64)
    assert again == dataclasses.replace(
        config,
        encoder=EncoderConfig("vgg19_slim", sha256="a" * 64),
        output=OutputConfig("there", copy=None),
    )


def test_absolute_paths_start_at_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = Config(
        content=ContentConfig("a.png"),
        style=StyleConfig(("b.png", "/c.png")),
        init=InitConfig(file="d.png"),
        encoder=EncoderConfig(weights="e.pth"),
        output=OutputConfig("runs", copy="f.png"),
    )
    moved = with_absolute_paths(config)
    assert moved.content.image == f"{tmp_path}/a.png"
    assert moved.style.images == (f"{tmp_path}/b.png", "/c.png")
    assert moved.init.file == f"{tmp_path}/d.png"
    assert moved.encoder.weights == f"{tmp_path}/e.pth"
    assert moved.output == OutputConfig("runs", copy=f"{tmp_path}/f.png")
    assert (
        dataclasses.replace(
            moved,
            **{
                name: getattr(config, name)
                for name in ("content", "style", "init", "encoder", "output")
            },
        )
        == config
    )


@pytest.mark.parametrize("word", ["auto", "imagenet"])
def test_words_and_missing_names_are_no_paths(word: str) -> None:
    config = Config(encoder=EncoderConfig(weights=word))
    moved = with_absolute_paths(config)
    assert (moved.encoder, moved.init, moved.output) == (
        config.encoder,
        config.init,
        config.output,
    )


@pytest.mark.parametrize(
    ("words", "stated"),
    [
        (["style.statistics=covariance"], None),
        (["style.statistics=gram"], {"statistics": "gram"}),
        (["loss.normalization=gatys"], None),
    ],
)
def test_a_preset_states_the_statistics_only_where_they_were_chosen(
    words: list[str], stated: dict[str, str] | None
) -> None:
    preset = yaml.safe_load(to_preset(load_config(overrides=words)))
    assert preset.get("style") == stated


def test_a_preset_names_the_samples_as_every_installation_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_config(overrides=["seed=3", "content.image=assets/content/cat.jpg"])
    assert Path(config.content.image).is_absolute()
    assert yaml.safe_load(to_preset(config)) == {
        "content": {"image": "assets/content/cat.jpg"},
        "optimizer": {"lr": 0.03},
        "seed": 3,
    }
