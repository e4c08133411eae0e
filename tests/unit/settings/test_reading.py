from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import PRESETS
from faults import faulty, problems, the_problem

from overpaint.settings.reading import load_config
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


def defaults() -> Config:
    """As a run sees them: what depends on other settings is filled in."""
    config = Config()
    return dataclasses.replace(
        config,
        style=dataclasses.replace(config.style, statistics="covariance"),
        optimizer=dataclasses.replace(config.optimizer, lr=0.03),
    )


def test_the_default_file_states_the_defaults() -> None:
    assert load_config(CONFIGS / "default.yaml") == defaults()


def test_the_default_file_shows_every_setting_and_no_other() -> None:
    shown = yaml.safe_load((CONFIGS / "default.yaml").read_text(encoding="utf-8"))
    assert keys(shown) == keys(dataclasses.asdict(Config()))


@pytest.mark.parametrize(
    ("normalization", "statistics"),
    [("relative", "covariance"), ("gatys", "gram"), ("paper", "gram")],
)
def test_the_statistics_are_those_that_the_losses_are_made_for(
    normalization: str, statistics: str
) -> None:
    config = load_config(overrides=[f"loss.normalization={normalization}"])
    assert config.style.statistics == statistics


def test_statistics_that_were_chosen_stay() -> None:
    assert load_config(overrides=["style.statistics=gram"]).style.statistics == "gram"


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.name)
def test_every_shipped_file_loads_and_states_something(path: Path) -> None:
    assert load_config(path).optimizer.lr is not None
    assert yaml.safe_load(path.read_text(encoding="utf-8"))


def test_without_file_and_overrides_there_are_the_defaults() -> None:
    assert load_config() == defaults()


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    assert load_config(write(tmp_path, "# nothing\n")) == load_config()


def test_the_file_changes_the_defaults_and_overrides_change_both(tmp_path: Path) -> None:
    path = write(tmp_path, "seed: 3\nschedule: {steps: 7}\nimage: {size: 64}\n")
    config = load_config(
        path, ["schedule.steps=8", "seed=4", "seed=5"], values={"image.size": 96, "seed": 6}
    )
    assert (config.image.size, config.schedule.steps, config.seed) == (96, 8, 6)
    assert config.style == defaults().style


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
        ("seed=${schedule.steps}", "seed", 120),
        ("snapshots.steps=${schedule.steps}", "snapshots.steps", (120,)),
        ("style.layers.relu1_1=${style.weight}", "style.layers.relu1_1", 2.0),
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
    assert load_config() == defaults()


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
        ("style: {layers: {1: 2}}", "style.layers: unknown layer '1'"),
    ],
)
def test_an_unknown_key_of_a_file_is_answered_too(tmp_path: Path, text: str, hint: str) -> None:
    assert hint in the_problem(path=write(tmp_path, text))


@pytest.mark.parametrize("word", ["seed", "--seed", "=3"])
def test_a_word_that_is_no_override_is_refused(word: str) -> None:
    assert the_problem(word) == f"'{word}': expected key=value, for example optimizer.lr=0.01."


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("style=3", "style: expected 'key: value' pairs, got 3."),
        ("style.layers=relu1_1", "style.layers: expected 'key: value' pairs, got 'relu1_1'."),
        ("style.layers=null", "style.layers: expected 'key: value' pairs, got None."),
        ("style.weight.x=3", "style.weight.x: style.weight holds one value"),
        ("snapshots.steps=[1", "snapshots.steps: cannot read '[1'"),
        pytest.param("seed=1" + "0" * 5000, "seed: cannot read '1000", id="a long number"),
        ("tracking.name='${x'", "tracking.name: cannot read ''${x'"),
    ],
)
def test_a_value_in_the_wrong_place_is_refused(override: str, message: str) -> None:
    assert the_problem(override).startswith(message)


def test_what_cannot_be_filled_in_is_told_with_everything_else() -> None:
    found = problems(
        "schedule.steps=${nope}",
        "seed=${seed}",
        "snapshots.steps=[1, '${nope}']",
        "image.size=${style}",
    )
    assert faulty(found) == ["image.size", "schedule.steps", "seed", "snapshots.steps"]
    assert found[0] == (
        "schedule.steps: Interpolation key 'nope' not found; for the characters themselves, "
        "write \\${."
    )
    assert "expected a whole number, got {'images'" in found[-1]


def test_a_value_that_no_yaml_can_hold_is_refused_like_any_other() -> None:
    found = problems(values={"seed": {1}, "style.weight": 1j, "tracking.tags": [2j]})
    assert found == (
        "style.weight: expected a number, got 1j.",
        "tracking.tags[0]: expected a text, got 2j.",
        "seed: expected a whole number, got {1}.",
    )


def test_omegaconf_s_sign_for_a_missing_value_is_a_text_like_any_other() -> None:
    assert the_problem("seed=???") == "seed: expected a whole number, got '???'."
    config = load_config(overrides=["tracking.notes=???", "tracking.tags=[???, a]"])
    assert (config.tracking.notes, config.tracking.tags) == ("???", ("???", "a"))


def test_what_a_search_reads_is_checked_for_a_search_alone() -> None:
    assert load_config(overrides=["tune.rounds=0"]).tune.rounds == 0
    assert the_problem("tune.rounds=0", task="tune").startswith("tune.rounds: 0 is out of range")


def test_seed_0_is_a_seed_like_any_other(tmp_path: Path) -> None:
    assert load_config(write(tmp_path, "seed: 7"), ["seed=0"]).seed == 0


def test_all_bad_values_are_reported_at_once() -> None:
    found = problems(
        "nope=1",
        "style.weight=-1",
        "schedule.steps=0",
        "content.image=nope.jpg",
        "optimizer.name=sgd",
    )
    assert len(found) == 5
    assert faulty(found) == sorted(
        {
            "nope",
            "style.weight",
            "schedule.steps",
            "content.image",
            "optimizer.lr",
        }
    )


def test_all_wrong_types_are_reported_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, "seed: x\nstyle: {wieght: 1, weight: y}\n")
    found = problems("image.size=z", "oops", path=path)
    assert len(found) == 5
    assert faulty(found) == sorted({"seed", "style.wieght", "style.weight", "image.size", "'oops'"})


def test_a_wrong_type_does_not_hide_a_bad_value() -> None:
    found = problems("seed=x", "schedule.steps=0", "content.image=nope.jpg")
    assert faulty(found) == sorted({"seed", "schedule.steps", "content.image"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "is not valid YAML"),
        ("content:\n\timage: 3", "is not valid YAML"),
        ("seed: 1\nseed: 2", "duplicate key seed"),
        ("seed: ${x", "is not valid YAML"),
        pytest.param(
            "seed: 1" + "0" * 5000, "is not valid YAML: Exceeds the limit", id="a long number"
        ),
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
    assert faulty(found) == sorted({"style.imges", "seed", "content.image"})


def test_settings_are_checked_without_importing_pytorch() -> None:
    code = (
        "import sys, overpaint; overpaint.load_config('paper')\n"
        "print({'torch', 'pytorch_lightning', 'wandb', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
