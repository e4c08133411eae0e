"""Texts stay texts, on the command line, from W&B's agent and in files."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from faults import the_problem
from hypothesis import example, given, settings
from hypothesis import strategies as st
from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

from overpaint.settings.parsing import kind_of, read_word
from overpaint.settings.reading import load_config
from overpaint.settings.schema import Config
from overpaint.settings.writing import to_yaml

REPOSITORY = Path(__file__).resolve().parents[3]

WORDS = [
    "run #2 more style",
    "Try #3: more",
    "12_30",
    "on",
    "No",
    "1e3",
    "007",
    "1:30",
    "1.10",
    "0x10",
    "1_000.5",
    ".inf",
    "2026-11-27",
    "~",
    "???",
    "a=b, c=d",
    "[draft] of {one}",
    "{a",
    "[b",
    "]",
    "it's me",
    'say "hi"',
    "- x",
    "a: b",
    "*star",
    "&and",
    "!now",
    "@home",
    "%",
    "`",
    "|",
    ">",
    "? why",
    " spaces around ",
    "tab\there",
    "C:\\Users\\me",
    "\\",
    "$5",
    "🎨 gemalt",
    "絵",
    "true",
    "None",
    "=",
    "<<",
]


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default settings name pictures relative to it."""
    monkeypatch.chdir(REPOSITORY)


def sent_by_wandb(values: dict[str, Any]) -> list[str]:
    """What `${args_no_hyphens}` becomes in a sweep's command."""
    arguments = {"args": {key: {"value": value} for key, value in values.items()}}
    words = create_sweep_command_args(arguments)["args_no_hyphens"]
    assert isinstance(words, list)
    return words


@pytest.mark.parametrize("word", WORDS)
def test_a_text_is_taken_as_it_was_typed(word: str) -> None:
    words = [f"tracking.name={word}", f"tracking.notes={word}", f"tracking.tags={word}"]
    tracking = load_config(overrides=words).tracking
    assert (tracking.name, tracking.notes, tracking.tags) == (word, word, (word,))


@pytest.mark.parametrize("word", WORDS)
def test_a_text_of_a_sweep_is_taken_as_it_was_written(word: str) -> None:
    values = {"tracking.name": word, "tracking.tags": [word, "b"]}
    tracking = load_config(overrides=sent_by_wandb(values)).tracking
    assert tracking.name == word
    if word.isprintable() and "\\" not in word:  # Python writes others with escapes
        assert tracking.tags == (word, "b")


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12))
@example("'")
@example("''")
def test_no_word_becomes_another_text(word: str) -> None:
    quoted = len(word) > 1 and word[0] == word[-1] and word[0] in "'\""
    kind = kind_of("tracking.name")
    if not quoted and word not in ("null", "Null", "NULL"):
        assert read_word(word, kind) == word
    assert read_word("'" + word.replace("'", "''") + "'", kind) == word


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.text(st.characters(exclude_categories=("Cs",)), max_size=8), max_size=4))
def test_a_list_of_quoted_texts_is_those_texts(texts: list[str]) -> None:
    word = "[" + ", ".join("'" + text.replace("'", "''") + "'" for text in texts) + "]"
    assert read_word(word, kind_of("tracking.tags")) == texts


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("'a: b'", "a: b"),
        ('"a: b"', "a: b"),
        ("'it''s'", "it's"),
        (r"'it\'s \"so\"'", r"it's \"so\""),
        (r'"a\tb"', "a\tb"),
        (r'"C:\Users"', r"C:\Users"),
        ("'null'", "null"),
        ("'a' and 'b'", "'a' and 'b'"),
        ("'open", "'open"),
        ("''", ""),
    ],
)
def test_quotes_around_the_whole_are_taken_off(word: str, text: str) -> None:
    assert load_config(overrides=[f"tracking.notes={word}"]).tracking.notes == text


@pytest.mark.parametrize(
    ("word", "texts"),
    [
        ("[a.jpg,b.jpg]", ["a.jpg", "b.jpg"]),
        ("[ a.jpg , b.jpg ]", ["a.jpg", "b.jpg"]),
        ("['photo #3.jpg', 'a=1,b.jpg', \"c, d.jpg\"]", ["photo #3.jpg", "a=1,b.jpg", "c, d.jpg"]),
        ("[photo #3.jpg, a=1.jpg, x: y]", ["photo #3.jpg", "a=1.jpg", "x: y"]),
        ("[007, on, null]", ["007", "on", "null"]),
        ("[it's, here]", ["it's", "here"]),
        (r"""['it\'s "x"', "it's"]""", ['it\'s "x"', "it's"]),
        ("[a,]", ["a"]),
        ("[]", []),
        ("[ ]", []),
        ("", []),
        ("a,b", ["a,b"]),
        ("[1].jpg", ["[1].jpg"]),
        ("'[a]'", ["[a]"]),
    ],
)
def test_a_list_of_texts_is_written_in_brackets(word: str, texts: list[str]) -> None:
    assert read_word(word, kind_of("style.images")) == texts


def test_a_text_may_be_none_only_where_its_setting_may() -> None:
    words = ["tracking.name=null", "tracking.notes=", "output.copy=NULL", "output.dir=null"]
    config = load_config(overrides=words)
    assert (config.tracking.name, config.tracking.notes, config.output.copy) == (None, None, None)
    assert config.output.dir == "null"


def test_a_word_that_is_no_choice_is_told_as_it_was_typed() -> None:
    assert the_problem("tracking.mode=off").endswith("got 'off'.")
    assert the_problem("optimizer.lbfgs.line_search=no").endswith("got 'no'.")


def test_the_kind_of_each_setting_is_known() -> None:
    assert kind_of("tracking.name") == str | None
    assert kind_of("style.layers.relu1_1") is float
    assert dataclasses.is_dataclass(kind_of("optimizer.adam"))
    for unknown in ("nope", "seed.nope", "style.layers.relu1_1.nope", "", "style..scale"):
        assert kind_of(unknown) is None


def read(folder: Path, text: str) -> Config:
    path = folder / "settings.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path)


@pytest.mark.parametrize(
    "word", ["12_30", "on", "No", "1e3", "007", "1:30", "1.10", "0x10", ".inf", "2026-11-27"]
)
def test_a_text_of_a_file_needs_no_quotes(tmp_path: Path, word: str) -> None:
    config = read(
        tmp_path, f"tracking: {{name: {word}, tags: [{word}]}}\noutput:\n  dir: {word} # here\n"
    )
    tracking = config.tracking
    assert (tracking.name, tracking.tags, config.output.dir) == (word, (word,), word)
    assert read(tmp_path, f"tracking: {{tags: {word}}}").tracking.tags == (word,)
    section = load_config(overrides=[f"tracking={{name: {word}, log_every: 7}}"]).tracking
    assert (section.name, section.log_every) == (word, 7)


def test_what_is_no_text_in_a_file_is_read_as_ever(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        """
tracking: {name: null, notes: ~, entity: 'null', log_every: 0x10}
style: {weight: 1e1, scale: 1_0, layers: {relu1_1: 1e-1}}
optimizer: {sgd: {momentum: .5, nesterov: on}}
snapshots: {steps: [007, 1_0]}
""",
    )
    tracking, style = config.tracking, config.style
    assert (tracking.name, tracking.notes, tracking.entity) == (None, None, "null")
    assert (tracking.log_every, style.weight, style.scale) == (16, 10.0, 10.0)
    assert style.layers == {"relu1_1": 0.1}
    assert (config.optimizer.sgd.momentum, config.optimizer.sgd.nesterov) == (0.5, True)
    assert config.snapshots.steps == (7, 10)


def test_anchors_merges_and_long_texts_of_a_file_are_read_as_ever(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        """
style: &one
  weight: 3.0
content:
  <<: *one
  image: &photo assets/content/rocket.jpg
init: {file: *photo}
tracking:
  name: 2026-11-27
  tags: &tags [1, b]
  notes: |
    On: one

    007 #2
""",
    )
    assert (config.content.weight, config.init.file) == (3.0, "assets/content/rocket.jpg")
    assert config.tracking.notes == "On: one\n\n007 #2\n"
    assert config.tracking.tags == ("1", "b")


@pytest.mark.parametrize("word", WORDS)
def test_every_text_is_written_and_read_back(tmp_path: Path, word: str) -> None:
    config = load_config(values={"tracking.name": word, "tracking.tags": [word, "1_0"]})
    assert read(tmp_path, to_yaml(config)) == config


def test_a_name_that_is_not_utf_8_is_written_and_read_back(tmp_path: Path) -> None:
    name = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png")
    config = load_config(values={"output.copy": name})
    written = to_yaml(config)
    assert written.encode("utf-8")
    assert "!!binary" in written
    assert read(tmp_path, written).output.copy == name
    assert isinstance(yaml.safe_load(written)["output"]["copy"], bytes)


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_what_no_file_can_be_called_is_refused(name: str) -> None:
    found = the_problem(**{"values": {"output.dir": name}})
    assert found.startswith("output.dir: ")
    assert found.endswith("can be no file's name.")
    assert found.isprintable()


def test_the_home_folder_may_be_written_as_a_tilde(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for name in ("me.jpg", "a.jpg", "slim.safetensors"):
        (tmp_path / name).touch()
    paths = {
        "content.image": "~/me.jpg",
        "style.images": "[~/a.jpg]",
        "init.file": "~/me.jpg",
        "encoder.weights": "~/slim.safetensors",
        "output.dir": "~/runs",
        "output.copy": "~/out.png",
    }
    words = load_config(overrides=[f"{key}={path}" for key, path in paths.items()])
    lines = [f"{key}: {path}" for key, path in paths.items()]
    (tmp_path / "s.yaml").write_text(
        "\n".join(f"{section}:\n  {line}" for section, line in (x.split(".", 1) for x in lines[:4]))
        + f"\noutput:\n  {lines[4].split('.', 1)[1]}\n  {lines[5].split('.', 1)[1]}\n"
    )
    file = load_config("~/s.yaml")
    for config in (words, file):
        assert config.content.image == str(tmp_path / "me.jpg")
        assert config.style.images == (str(tmp_path / "a.jpg"),)
        assert config.init.file == str(tmp_path / "me.jpg")
        assert config.encoder.weights == str(tmp_path / "slim.safetensors")
        assert config.output.dir == str(tmp_path / "runs")
        assert config.output.copy == str(tmp_path / "out.png")


def test_a_tilde_is_no_home_elsewhere() -> None:
    config = load_config(overrides=["tracking.name=~", "output.dir=runs~/~"])
    assert (config.tracking.name, config.output.dir) == ("~", "runs~/~")


def test_a_text_that_is_not_utf_8_is_told_like_any_other() -> None:
    assert r"'caf\xe9' is no SHA-256" in the_problem("encoder.sha256=caf\udce9")
    assert load_config(overrides=["tracking.notes=caf\udce9"]).tracking.notes == r"caf\xe9"
