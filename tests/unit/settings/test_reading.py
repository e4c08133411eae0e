from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import PRESETS
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from overpaint.errors import ConfigError
from overpaint.pictures.io import save_picture
from overpaint.settings.reading import load_config, to_dict, to_preset, to_yaml
from overpaint.settings.rules import PICTURE_SUFFIXES, WEIGHT_SUFFIXES, find_problems
from overpaint.settings.schema import Config

REPOSITORY = Path(__file__).resolve().parents[3]
CONFIGS = REPOSITORY / "configs"
PAINTING = "assets/style/flow_field.jpg"


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default settings name pictures relative to it."""
    monkeypatch.chdir(REPOSITORY)


def write(folder: Path, text: str) -> Path:
    path = folder / "settings.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(
    *overrides: str, path: Path | None = None, values: Mapping[str, Any] | None = None
) -> tuple[str, ...]:
    with pytest.raises(ConfigError, match=":") as caught:
        load_config(path, overrides, values=values)
    return caught.value.problems


def the_problem(
    *overrides: str, path: Path | None = None, values: Mapping[str, Any] | None = None
) -> str:
    found = problems(*overrides, path=path, values=values)
    assert len(found) == 1, found
    return found[0]


def setting(config: Config, key: str) -> Any:
    found: Any = config
    for name in key.split("."):
        found = found[name] if isinstance(found, dict) else getattr(found, name)
    return found


def keys(settings: Mapping[str, Any], prefix: str = "") -> set[str]:
    found = set()
    for name, value in settings.items():
        inner = isinstance(value, Mapping)
        found |= keys(value, f"{prefix}{name}.") if inner else {f"{prefix}{name}"}
    return found


def with_rate(config: Config, lr: float) -> Config:
    return dataclasses.replace(config, optimizer=dataclasses.replace(config.optimizer, lr=lr))


def test_the_default_file_states_the_defaults() -> None:
    assert load_config(CONFIGS / "default.yaml") == with_rate(Config(), 0.03)


def test_the_default_file_shows_every_setting_and_no_other() -> None:
    shown = yaml.safe_load((CONFIGS / "default.yaml").read_text(encoding="utf-8"))
    assert keys(shown) == keys(dataclasses.asdict(Config()))


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.name)
def test_every_shipped_file_loads_and_states_something(path: Path) -> None:
    assert load_config(path).optimizer.lr is not None
    assert yaml.safe_load(path.read_text(encoding="utf-8"))


def test_without_file_and_overrides_there_are_the_defaults() -> None:
    assert load_config() == with_rate(Config(), 0.03)


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    assert load_config(write(tmp_path, "# nothing\n")) == load_config()


def test_the_file_changes_the_defaults_and_overrides_change_both(tmp_path: Path) -> None:
    path = write(tmp_path, "seed: 3\nschedule: {steps: 7}\nimage: {size: 64}\n")
    config = load_config(
        path, ["schedule.steps=8", "seed=4", "seed=5"], values={"image.size": 96, "seed": 6}
    )
    assert (config.image.size, config.schedule.steps, config.seed) == (96, 8, 6)
    assert config.style == Config().style


def test_a_file_may_change_one_setting_of_a_nested_section(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, "optimizer: {adam: {beta1: 0.5}}\n"))
    assert config.optimizer.adam == dataclasses.replace(Config().optimizer.adam, beta1=0.5)


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("image.size=64", "image.size", 64),
        ("style.weight=3", "style.weight", 3.0),
        ("style.weight=1e-3", "style.weight", 0.001),
        ("optimizer.sgd.momentum=.5", "optimizer.sgd.momentum", 0.5),
        ("init.mode=noise", "init.mode", "noise"),
        ("tracking.notes=a=b", "tracking.notes", "a=b"),
        ("tracking.name=123", "tracking.name", "123"),
        ("tracking.entity=null", "tracking.entity", None),
        ("tracking.notes='a: b'", "tracking.notes", "a: b"),
        ("snapshots.steps=[1, 5]", "snapshots.steps", (1, 5)),
        ("snapshots.steps=3", "snapshots.steps", (3,)),
        (f"style.images={PAINTING}", "style.images", (PAINTING,)),
        ("style.image_weights=1", "style.image_weights", (1.0,)),
        ("tracking.tags=quick", "tracking.tags", ("quick",)),
        ("seed=${schedule.steps}", "seed", 80),
        ("snapshots.steps=${schedule.steps}", "snapshots.steps", (80,)),
        ("style.layers.relu1_1=${style.weight}", "style.layers.relu1_1", 7.0),
    ],
)
def test_an_override_is_read_as_yaml_and_as_the_settings_type(
    override: str, key: str, value: object
) -> None:
    found = setting(load_config(overrides=[override]), key)
    assert found == value
    assert type(found) is type(value)


def test_interpolation_sees_the_final_values(tmp_path: Path) -> None:
    path = write(tmp_path, "seed: ${schedule.steps}\nschedule: {steps: 7}\n")
    assert load_config(path).seed == 7
    assert load_config(path, ["schedule.steps=9"]).seed == 9


@pytest.mark.parametrize(
    "overrides",
    [["style.layers={conv2_2: 1}"], ["style.layers.relu1_1=9", "style.layers={conv2_2: 1}"]],
)
def test_a_whole_mapping_of_layers_replaces_the_default(overrides: list[str]) -> None:
    assert load_config(overrides=overrides).style.layers == {"conv2_2": 1.0}


def test_a_mapping_of_layers_in_a_file_replaces_the_default(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, "content: {layers: {conv3_1: 2}}\n"))
    assert config.content.layers == {"conv3_1": 2.0}
    assert config.content.weight == 1.0


def test_a_dotted_layer_changes_or_adds_one() -> None:
    config = load_config(overrides=["style.layers.relu1_1=0.5", "style.layers.conv4_2=0.1"])
    usual = {"relu2_1": 0.2, "relu3_1": 0.17, "relu4_1": 0.18, "relu5_1": 0.1}
    assert config.style.layers == {"relu1_1": 0.5, **usual, "conv4_2": 0.1}


def test_settings_do_not_leak_into_the_next_load() -> None:
    load_config(overrides=["style.layers.relu1_1=0.5", "snapshots.steps=[1]"])
    assert load_config() == with_rate(Config(), 0.03)


@pytest.mark.parametrize(("name", "lr"), [("adam", 0.03), ("lbfgs", 1.0)])
def test_the_optimizer_brings_its_rate(name: str, lr: float) -> None:
    assert load_config(overrides=[f"optimizer.name={name}"]).optimizer.lr == lr


@pytest.mark.parametrize("name", ["adam", "lbfgs", "sgd"])
def test_a_rate_of_ones_own_is_kept(name: str) -> None:
    config = load_config(overrides=[f"optimizer.name={name}", "optimizer.lr=0.5"])
    assert config.optimizer.lr == 0.5


def test_the_settings_are_frozen() -> None:
    config = load_config()
    with pytest.raises(dataclasses.FrozenInstanceError, match="seed"):
        config.seed = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("sed=1", "sed: unknown setting 'sed'; did you mean 'seed'?"),
        ("optimiser.lr=1", "unknown setting 'optimiser'; did you mean 'optimizer'?"),
        ("style.wieght=1", "style.wieght: unknown setting 'wieght'; did you mean 'weight'?"),
        ("optimizer.adam.beta3=0", "optimizer.adam.beta3: unknown setting 'beta3'; did you mean"),
        ("lr=1", "lr: unknown setting 'lr' here; did you mean optimizer.lr"),
        ("weight=1", "did you mean content.weight or style.weight?"),
        ("style.steps=1", "did you mean schedule.steps or snapshots.steps or tune.steps?"),
        ("zzz.zzz=1", "zzz.zzz: unknown setting 'zzz'. All names: content, style, "),
        ("style.layers.relu9_1=1", "style.layers: unknown layer 'relu9_1'; did you mean 'relu"),
        (
            "content.layers={relu4_2: 1, vonv4_2: 1}",
            "unknown layer 'vonv4_2'; did you mean 'conv4_2'",
        ),
        ("content..image=a", "content..image: unknown setting ''"),
    ],
)
def test_an_unknown_key_is_answered_with_a_suggestion(override: str, hint: str) -> None:
    assert hint in the_problem(override)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("sed: 1", "sed: unknown setting 'sed'; did you mean 'seed'?"),
        ("style: {wieght: 1}", "style.wieght: unknown setting 'wieght'; did you mean 'weight'?"),
        (
            "optimizer: {adam: {eps2: 1}}",
            "optimizer.adam.eps2: unknown setting 'eps2'; did you mean",
        ),
        ("lr: 1", "did you mean optimizer.lr"),
        ("3: 4", "3: unknown setting '3'"),
        ("style: {layers: {1: 2}}", "style.layers"),
    ],
)
def test_an_unknown_key_of_a_file_is_answered_too(tmp_path: Path, text: str, hint: str) -> None:
    assert hint in the_problem(path=write(tmp_path, text))


@pytest.mark.parametrize("word", ["seed", "--seed", "=3"])
def test_a_word_that_is_no_override_is_refused(word: str) -> None:
    assert the_problem(word) == f"'{word}': expected key=value, for example optimizer.lr=0.01."


@pytest.mark.parametrize(
    "messages",
    [
        {
            "seed=abc": "seed: Value 'abc'",
            "image.size=512.0": "image.size: Value '512.0'",
            "style.weight=much": "style.weight: Value 'much'",
            "content.weight=true": "content.weight: Value 'True'",
            "optimizer.adam.beta1=x": "optimizer.adam.beta1: Value 'x'",
            "style.layers.relu1_1=y": "style.layers.relu1_1: Value 'y'",
            "optimizer.sgd.nesterov=perhaps": "optimizer.sgd.nesterov: Value 'perhaps'",
            "optimizer.name=adm": "optimizer.name: Invalid value 'adm', expected one of ['adam', ",
            "init.mode=blank": "init.mode: Invalid value 'blank', expected one of ['content', ",
            "trainer.precision=float16": "trainer.precision: Invalid value 'float16', expected one",
            "loss.normalization=sum": "loss.normalization: Invalid value 'sum'",
            "style.images=null": "style.images: ",
            "content.image=null": "content.image: ",
            "schedule.steps=${nope}": "schedule.steps: Interpolation key 'nope' not found.",
        },
        {
            "seed=1.5": "seed: Value '1.5'",
            "trainer.precision=16-mixed": "trainer.precision: Invalid value '16-mixed', expected",
            "content.image={a: 1}": "content.image",
            "image.size=null": "image.size: ",
        },
        {"trainer.precision=16": "trainer.precision: Invalid value '16', expected one of"},
    ],
    ids=["first", "second", "third"],
)
def test_every_value_of_another_type_is_refused(messages: dict[str, str]) -> None:
    found = problems(*messages)
    assert len(found) == len(messages)
    for message in messages.values():
        assert any(text.startswith(message) for text in found), message


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("style=3", "style: expected 'key: value' pairs, got 3."),
        ("style.layers=relu1_1", "style.layers: expected 'key: value' pairs, got 'relu1_1'."),
        ("style.layers=null", "style.layers: expected 'key: value' pairs, got None."),
        ("style.weight.x=3", "style.weight.x: style.weight holds one value"),
        ("style.images=[a", "style.images: cannot read '[a'"),
        ("tracking.name='${x'", "tracking.name: cannot read ''${x'"),
    ],
)
def test_a_value_in_the_wrong_place_is_refused(override: str, message: str) -> None:
    assert the_problem(override).startswith(message)


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("style.images={a: 1}", "style.images"),
        ("style.images=[[a]]", "style.images"),
        ("tracking.tags=[[a]]", "tracking.tags"),
        ("style.layers.relu1_1={x: 1}", "style.layers.relu1_1"),
        ("style.weight=1" + "0" * 400, "style.weight"),
        ("seed=???", "seed"),
    ],
    ids=lambda value: value[:30],
)
def test_a_value_of_a_shape_no_setting_has_is_refused(override: str, key: str) -> None:
    assert the_problem(override).startswith(key)


def test_an_element_of_the_wrong_type_is_named() -> None:
    assert re.match(r"snapshots\.steps.*'soon'", the_problem("snapshots.steps=[1, soon]"))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["content.weight=-1"], "content.weight: -1.0 is out of range; allowed: 0 or more."),
        (["content.weight=.inf"], "content.weight: inf is out of range"),
        (["style.weight=-0.5"], "style.weight: -0.5 is out of range; allowed: 0 or more."),
        (["style.weight=.nan"], "style.weight: nan is out of range"),
        (["loss.tv_weight=-1"], "loss.tv_weight: -1.0 is out of range; allowed: 0 or more."),
        (["init.noise_ratio=-0.1"], "init.noise_ratio: -0.1 is out of range; allowed: 0 to 1."),
        (["init.noise_ratio=1.1"], "init.noise_ratio: 1.1 is out of range; allowed: 0 to 1."),
        (["schedule.steps=0"], "schedule.steps: 0 is out of range; allowed: 1 or more."),
        (["schedule.lr_final=-0.1"], "schedule.lr_final: -0.1 is out of range; allowed: 0 to 1."),
        (["schedule.lr_final=1.1"], "schedule.lr_final: 1.1 is out of range; allowed: 0 to 1."),
        (["schedule.scales=[0, 1]"], "schedule.scales: 0.0 is out of range; allowed: above 0 to 1"),
        (["schedule.scales=[0.5]"], "schedule.scales: [0.5] must rise and end with 1.0"),
        (["schedule.scales=[0.5, 0.25, 1]"], "schedule.scales: [0.5, 0.25, 1.0] must rise"),
        (["schedule.scales=[0.5, 0.5, 1]"], "schedule.scales: [0.5, 0.5, 1.0] must rise"),
        (["schedule.scales=[]"], "schedule.scales: [] must rise and end with 1.0"),
        (["schedule.shares=[1, 2]"], "schedule.shares: 2 shares of the steps for 1 scales."),
        (["schedule.shares=[0]"], "schedule.shares: 0.0 is out of range; allowed: above 0, each."),
        (["style.scale=0"], "style.scale: 0.0 is out of range; allowed: above 0."),
        (["snapshots.every=-1"], "snapshots.every: -1 is out of range; allowed: 0 (off) or more."),
        (
            ["snapshots.steps=[5, 0]"],
            "snapshots.steps: 0 is out of range; allowed: 1 or more each.",
        ),
        (["tracking.log_every=0"], "tracking.log_every: 0 is out of range; allowed: 1 "),
        (["seed=-1"], "seed: -1 is out of range; allowed: 0 to 2**63 - 1."),
        (["seed=9223372036854775808"], "seed: 9223372036854775808 is out of range"),
        (["optimizer.lr=0"], "optimizer.lr: 0.0 is out of range; allowed: above 0."),
        (["optimizer.lr=-1"], "optimizer.lr: -1.0 is out of range; allowed: above 0."),
        (["optimizer.lr=.inf"], "optimizer.lr: inf is out of range"),
        (
            ["optimizer.adam.beta1=1"],
            "optimizer.adam.beta1: 1.0 is out of range; allowed: 0 to below 1.",
        ),
        (["optimizer.adam.beta1=-0.1"], "optimizer.adam.beta1: -0.1 is out of range"),
        (
            ["optimizer.adam.beta2=1"],
            "optimizer.adam.beta2: 1.0 is out of range; allowed: 0 to below 1.",
        ),
        (["optimizer.adam.beta2=-0.1"], "optimizer.adam.beta2: -0.1 is out of range"),
        (
            ["optimizer.adam.eps=-1e-8"],
            "optimizer.adam.eps: -1e-08 is out of range; allowed: 0 or more.",
        ),
        (
            ["optimizer.sgd.momentum=1"],
            "optimizer.sgd.momentum: 1.0 is out of range; allowed: 0 to below",
        ),
        (["optimizer.sgd.momentum=-0.1"], "optimizer.sgd.momentum: -0.1 is out of range"),
        (["optimizer.lbfgs.history_size=0"], "optimizer.lbfgs.history_size: 0 is out of range"),
        (
            ["optimizer.lbfgs.max_evaluations=1"],
            "optimizer.lbfgs.max_evaluations: 1 is out of range",
        ),
        (
            [f"style.images=[{PAINTING}, {PAINTING}]", "style.image_weights=[2, -1]"],
            "style.image_weights: -1.0 is out of range; allowed: 0 or more each.",
        ),
        (["style.image_weights=[.inf]"], "style.image_weights: inf is out of range"),
        (["style.layers.relu1_1=-1"], "style.layers.relu1_1: -1.0 is no weight"),
        (["style.layers.relu1_1=.nan"], "style.layers.relu1_1: nan is no weight"),
        (["content.layers.relu1_1=.inf"], "content.layers.relu1_1: inf is no weight"),
        (
            ["content.layers={}"],
            "content.layers: at least one layer needs a weight above 0, got {}.",
        ),
        (
            ["style.layers={conv1_1: 0}"],
            "style.layers: at least one layer needs a weight above 0, got",
        ),
        (
            ["image.size=15"],
            "image.size: 15 is too small; layers up to relu5_1 need at least 16 pixels.",
        ),
        (
            ["image.size=7", "style.layers={relu1_1: 1}"],
            "image.size: 7 is too small; layers up to relu4_2",
        ),
        (["style.images=[]"], "style.images: empty"),
        (["style.image_weights=[1, 2]"], "style.image_weights: 2 weights for 1 style images."),
        (["style.image_weights=[0]"], "style.image_weights: all are 0"),
        (["content.weight=0", "style.weight=0"], "content.weight and style.weight: both are 0"),
        (["init.mode=file"], "init.file: init.mode=file needs a picture"),
        (["optimizer.name=sgd"], "optimizer.lr: sgd has no default rate"),
        (
            ["optimizer.sgd.nesterov=true"],
            "optimizer.sgd.nesterov: needs optimizer.sgd.momentum above 0.",
        ),
        (
            ["optimizer.name=lbfgs", "trainer.precision=bf16-mixed"],
            "trainer.precision: L-BFGS needs the exact gradients of 32-true; bf16-mixed rounds",
        ),
        (["tune.lowest=0"], "tune.lowest: 0.0 is out of range; allowed: above 0, or null."),
        (["tune.lowest=-1e-9"], "tune.lowest: -1e-09 is out of range; allowed: above 0"),
        (["tune.lowest=.inf"], "tune.lowest: inf is out of range"),
        (["tune.highest=0"], "tune.highest: 0.0 is out of range; allowed: above 0, or null."),
        (["tune.highest=-1"], "tune.highest: -1.0 is out of range"),
        (["tune.highest=.nan"], "tune.highest: nan is out of range"),
        (
            ["tune.lowest=0.3", "tune.highest=0.1"],
            "tune.lowest: 0.3 must be below tune.highest, 0.1.",
        ),
        (
            ["tune.lowest=0.3", "tune.highest=0.3"],
            "tune.lowest: 0.3 must be below tune.highest, 0.3.",
        ),
        (["tune.candidates=1"], "tune.candidates: 1 is out of range; allowed: 2 or more."),
        (["tune.candidates=0"], "tune.candidates: 0 is out of range; allowed: 2 or more."),
        (["tune.rounds=0"], "tune.rounds: 0 is out of range; allowed: 1 or more."),
        (["tune.steps=3"], "tune.steps: 3 is out of range; allowed: 4 or more."),
        (
            ["tune.size=15"],
            "tune.size: 15 is too small; layers up to relu5_1 need at least 16 pixels.",
        ),
    ],
    ids=lambda value: " ".join(value)[:50] if isinstance(value, list) else "",
)
def test_every_rule_names_the_setting_the_value_and_what_is_allowed(
    overrides: list[str], message: str
) -> None:
    assert the_problem(*overrides).startswith(message)


@pytest.mark.parametrize(
    "override",
    [
        "content.weight=0",
        "style.weight=0",
        "init.noise_ratio=0",
        "init.noise_ratio=1",
        "schedule.steps=1",
        "schedule.scales=[0.1, 0.5, 1.0]",
        "schedule.shares=[0.1]",
        "schedule.lr_final=0",
        "schedule.lr_final=1",
        "style.scale=0.01",
        "snapshots.every=0",
        "snapshots.steps=[1]",
        "snapshots.steps=[]",
        "tracking.log_every=1",
        "seed=0",
        "seed=9223372036854775807",
        "optimizer.lr=1.0e-9",
        "optimizer.adam.beta1=0",
        "optimizer.adam.beta2=0",
        "optimizer.adam.eps=0",
        "optimizer.sgd.momentum=0",
        "optimizer.lbfgs.history_size=1",
        "optimizer.lbfgs.max_evaluations=2",
        "style.image_weights=[3]",
        "style.layers.relu1_1=0",
        "image.size=16",
        "tune.lowest=1.0e-30",
        "tune.highest=1.0e-30",
        "tune.lowest=null",
        "tune.candidates=2",
        "tune.rounds=1",
        "tune.steps=4",
        "tune.size=16",
        "tune.size=4096",
    ],
)
def test_the_ends_of_a_range_are_allowed(override: str) -> None:
    key, _, text = override.partition("=")
    value = yaml.safe_load(text)
    expected = tuple(value) if isinstance(value, list) else value
    assert setting(load_config(overrides=[override]), key) == expected


def test_seed_0_is_a_seed_like_any_other(tmp_path: Path) -> None:
    assert load_config(write(tmp_path, "seed: 7"), ["seed=0"]).seed == 0


@pytest.mark.parametrize(
    ("name", "precision"),
    [("adam", "bf16-mixed"), ("adam", "32-true"), ("lbfgs", "32-true"), ("lbfgs", "auto")],
)
def test_every_other_precision_goes_with_the_optimizer(name: str, precision: str) -> None:
    config = load_config(overrides=[f"optimizer.name={name}", f"trainer.precision={precision}"])
    assert config.trainer.precision == precision


def test_nesterov_goes_with_momentum() -> None:
    config = load_config(overrides=["optimizer.sgd.nesterov=true", "optimizer.sgd.momentum=0.9"])
    assert config.optimizer.sgd.nesterov is True


def test_sizes_are_checked_against_the_deepest_layer_of_both_terms() -> None:
    overrides = ["content.layers={relu1_1: 1}", "style.layers={relu1_1: 1}", "image.size=1"]
    assert load_config(overrides=overrides).image.size == 1


def test_a_size_of_nothing_is_refused_beside_unknown_layers() -> None:
    found = problems("image.size=0", "content.layers={nope: 1}", "style.layers={nope: 1}")
    assert [text.partition(":")[0] for text in found] == [
        "content.layers",
        "style.layers",
        "image.size",
    ]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["content.image=nope.jpg"], "content.image: no such file: 'nope.jpg'"),
        (["content.image=assets"], "content.image: 'assets' is a folder"),
        ([f"style.images=[{PAINTING}, nope.jpg]"], "style.images[1]: no such file: 'nope.jpg'"),
        (["style.images=[assets]"], "style.images[0]: 'assets' is a folder"),
        (["init.mode=file", "init.file=nope.png"], "init.file: no such file: 'nope.png'"),
        (["encoder.weights=nope.pth"], "encoder.weights: no such file: 'nope.pth'"),
        (
            ["encoder.weights=vgg19"],
            "encoder.weights: 'vgg19' is neither auto, imagenet nor a file",
        ),
        (["encoder.weights=configs"], "encoder.weights: 'configs' is neither auto"),
        (["encoder.name=vgg19_slim", "encoder.weights=imagenet"], "encoder.weights: imagenet is"),
        (
            ["encoder.name=vgg19_slim", "content.layers={relu5_2: 1}"],
            "content.layers: relu5_2 is not in vgg19_slim, which ends with relu5_1",
        ),
        (
            ["encoder.name=vgg19_slim", "style.layers={relu1_1: 1, conv5_4: 0.5}"],
            "style.layers: conv5_4 is not in vgg19_slim",
        ),
        (["output.copy=a.bmp"], "output.copy: 'a.bmp' must end in one of .png, "),
        (["output.copy=nope/a.png"], "output.copy: no such folder: 'nope'"),
        (["output.dir=pyproject.toml/runs"], "output.dir: "),
        (["content.image=" + "a" * 300], "content.image: "),
        (["encoder.weights=" + "a" * 300 + ".pth"], "encoder.weights: "),
        (["output.copy=" + "a" * 300 + "/a.png"], "output.copy: "),
    ],
    ids=lambda value: value[-1][:40] if isinstance(value, list) else "",
)
def test_files_are_checked_before_anything_is_read(overrides: list[str], message: str) -> None:
    assert the_problem(*overrides).startswith(message)


def test_a_file_to_start_from_is_checked_only_if_it_is_used() -> None:
    assert load_config(overrides=["init.file=nope.png"]).init.file == "nope.png"


@pytest.mark.parametrize("word", ["auto", "imagenet"])
def test_weights_may_be_named_by_a_word(word: str) -> None:
    assert load_config(overrides=[f"encoder.weights={word}"]).encoder.weights == word


@pytest.mark.parametrize("suffix", [*WEIGHT_SUFFIXES, ".PTH"])
def test_weights_may_be_a_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    path.touch()
    assert load_config(values={"encoder.weights": str(path)}).encoder.weights == str(path)


@pytest.mark.parametrize("suffix", [*PICTURE_SUFFIXES, ".JPG"])
def test_a_copy_may_have_every_ending_that_can_be_written(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"copy{suffix}"
    assert load_config(values={"output.copy": str(path)}).output.copy == str(path)
    save_picture(Image.new("RGB", (2, 2)), path)
    assert path.is_file()


def test_the_output_folder_need_not_exist(tmp_path: Path) -> None:
    folder = str(tmp_path / "a" / "b")
    assert load_config(values={"output.dir": folder}).output.dir == folder
    assert list(tmp_path.iterdir()) == []


def first_words(found: Sequence[str]) -> set[str]:
    return {text.partition(":")[0] for text in found}


def test_all_bad_values_are_reported_at_once() -> None:
    found = problems(
        "nope=1",
        "style.weight=-1",
        "schedule.steps=0",
        "content.image=nope.jpg",
        "optimizer.name=sgd",
    )
    assert len(found) == 5
    assert first_words(found) == {
        "nope",
        "style.weight",
        "schedule.steps",
        "content.image",
        "optimizer.lr",
    }


def test_all_wrong_types_are_reported_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, "seed: x\nstyle: {wieght: 1, weight: y}\n")
    found = problems("image.size=z", "oops", path=path)
    assert len(found) == 5
    assert first_words(found) == {"seed", "style.wieght", "style.weight", "image.size", "'oops'"}


def test_a_wrong_type_does_not_hide_a_bad_value() -> None:
    found = problems("seed=x", "schedule.steps=0", "content.image=nope.jpg")
    assert first_words(found) == {"seed", "schedule.steps", "content.image"}


def test_checked_settings_have_no_problems_and_bad_ones_have() -> None:
    assert find_problems(load_config()) == []
    assert find_problems(dataclasses.replace(load_config(), seed=-5)) == [
        "seed: -5 is out of range; allowed: 0 to 2**63 - 1."
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "is not valid YAML"),
        ("content:\n\timage: 3", "is not valid YAML"),
        ("seed: 1\nseed: 2", "duplicate key seed"),
        ("seed: ${x", "is not valid YAML"),
        ("- 1\n- 2", "holds no settings"),
        ("5", "int"),
    ],
)
def test_a_file_without_readable_settings_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    found = the_problem(path=path)
    assert found.startswith("--config: ")
    assert str(path) in found
    assert message in found


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nope.yaml"
    assert the_problem(path=path).startswith(f"--config: no such file: '{path}'")


@pytest.mark.parametrize("name", ["configs", "assets/style/flow_field.jpg"])
def test_a_folder_or_a_picture_is_no_file_of_settings(name: str) -> None:
    assert the_problem(path=Path(name)).startswith(f"--config: cannot read '{name}'")


@pytest.mark.parametrize("name", ["a=b, [c]: d.png", "# x.png", "null", "123", "a${b}.png"])
def test_values_are_taken_as_they_are(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.touch()
    config = load_config(values={"content.image": str(path), "style.images": [str(path)]})
    assert config.content.image == str(path)
    assert config.style.images == (str(path),)


def test_problems_of_values_are_reported_like_others() -> None:
    found = problems(values={"content.image": "nope.jpg", "style.imges": "a", "seed": -1})
    assert first_words(found) == {"style.imges", "seed", "content.image"}


def test_plain_settings_hold_lists_and_no_tuples() -> None:
    plain = to_dict(load_config(overrides=["snapshots.steps=[1, 2]"]))
    assert plain["snapshots"] == {"steps": [1, 2], "every": 50}
    assert plain["style"]["images"] == [PAINTING]
    assert plain["optimizer"]["adam"]["beta1"] == 0.9
    assert plain["seed"] == 0


def test_settings_written_as_yaml_are_read_back(tmp_path: Path) -> None:
    config = load_config(
        overrides=["style.layers={conv1_1: 1}", "snapshots.steps=[3, 1]", "optimizer.name=lbfgs"]
    )
    text = to_yaml(config)
    assert yaml.safe_load(text)["style"]["layers"] == {"conv1_1": 1.0}
    assert load_config(write(tmp_path, text)) == config


@pytest.mark.parametrize(
    "notes",
    [
        "${seed}",
        "${x",
        r"\${seed}",
        r"a\\${b}",
        "$",
        "a: b",
        "null",
        "1e3",
        "yes",
        "#",
        " a ",
        "\n",
        "'",
    ],
)
def test_any_text_written_as_yaml_is_read_back(tmp_path: Path, notes: str) -> None:
    config = load_config(values={"tracking.notes": notes})
    assert config.tracking.notes == notes
    assert load_config(write(tmp_path, to_yaml(config))) == config


@settings(deadline=None, max_examples=20)
@given(
    weight=st.floats(0, allow_infinity=False),
    ratio=st.floats(0, 1),
    lr=st.floats(0, exclude_min=True, allow_infinity=False),
    seed=st.integers(0, 2**63 - 1),
    steps=st.lists(st.integers(1, 10**6), max_size=3),
    notes=st.text(st.characters(exclude_characters="$", exclude_categories=["Cs"])),
)
def test_any_settings_written_as_yaml_are_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    weight: float,
    ratio: float,
    lr: float,
    seed: int,
    steps: list[int],
    notes: str,
) -> None:
    given_values = {
        "style.weight": weight,
        "init.noise_ratio": ratio,
        "optimizer.lr": lr,
        "seed": seed,
        "snapshots.steps": steps,
        "tracking.notes": notes,
    }
    config = load_config(values=given_values)
    assert (config.style.weight, config.seed, config.tracking.notes) == (weight, seed, notes)
    path = tmp_path_factory.mktemp("settings") / "settings.yaml"
    path.write_bytes(to_yaml(config).encode())
    assert load_config(path) == config


def test_the_defaults_make_an_empty_preset_that_loads(tmp_path: Path) -> None:
    text = to_preset(Config())
    assert yaml.safe_load(text) == {}
    assert load_config(write(tmp_path, text)) == load_config()


@pytest.mark.parametrize(
    ("overrides", "preset"),
    [
        ([], {"optimizer": {"lr": 0.03}}),
        (
            ["optimizer.name=sgd", "optimizer.lr=1.58e-23"],
            {"optimizer": {"name": "sgd", "lr": 1.58e-23}},
        ),
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
            ["optimizer.lr=0.5", "snapshots.steps=[3, 1]", "schedule.scales=[0.5, 1]", "seed=4"],
            {
                "optimizer": {"lr": 0.5},
                "schedule": {"scales": [0.5, 1.0]},
                "seed": 4,
                "snapshots": {"steps": [3, 1]},
            },
        ),
        (
            ["optimizer.lr=0.5", "optimizer.sgd.momentum=0.9", "optimizer.sgd.nesterov=true"],
            {"optimizer": {"lr": 0.5, "sgd": {"momentum": 0.9, "nesterov": True}}},
        ),
        (
            ["optimizer.lr=0.5", "tune.highest=3", "tracking.tags=[a, b]", "tracking.name=null"],
            {
                "optimizer": {"lr": 0.5},
                "tracking": {"tags": ["a", "b"]},
                "tune": {"highest": 3.0},
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
    assert load_config(write(tmp_path, text)) == config


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.name)
def test_every_shipped_file_gives_the_same_settings_as_its_preset(
    tmp_path: Path, path: Path
) -> None:
    config = load_config(path)
    assert load_config(write(tmp_path, to_preset(config))) == config


@pytest.mark.parametrize(
    "name", ["a${b}.png", "${seed}.png", r"a\${b}.png", "a=b, [c]: d.png", "# x.png", "null", "1e3"]
)
def test_any_path_in_a_preset_is_read_back(tmp_path: Path, name: str) -> None:
    picture = tmp_path / name
    picture.touch()
    given_values = {"content.image": str(picture), "style.images": [str(picture), PAINTING]}
    config = load_config(values={**given_values, "tracking.notes": name})
    again = load_config(write(tmp_path, to_preset(config)))
    assert again == config
    assert again.style.images == (str(picture), PAINTING)


def test_settings_are_checked_without_importing_pytorch() -> None:
    code = "import sys, overpaint; overpaint.load_config(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_slim_network_is_no_pth_file(tmp_path: Path) -> None:
    path = tmp_path / "slim.pth"
    path.touch()
    found = the_problem("encoder.name=vgg19_slim", values={"encoder.weights": str(path)})
    assert found.startswith(f"encoder.weights: '{path}': a slim network is a .safetensors file")


def test_a_layer_of_weight_0_may_be_one_that_the_slim_network_lacks() -> None:
    config = load_config(
        overrides=["encoder.name=vgg19_slim", "style.layers={relu1_1: 1, conv5_4: 0}"]
    )
    assert config.encoder.name == "vgg19_slim"
