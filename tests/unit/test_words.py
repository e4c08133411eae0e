from __future__ import annotations

import re
from argparse import ArgumentParser, Namespace
from pathlib import Path

import pytest

from overpaint.errors import ConfigError
from overpaint.settings.schema import Config
from overpaint.words import Given, part_words, unknown_options


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a few files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["/usr/bin/overpaint"])
    for name in ("me.jpg", "a.jpg", "b.jpg", "tune-lr", "seed=1"):
        Path(name).touch()
    return tmp_path


def given(*words: str, **options: object) -> Given:
    defaults = {"words": list(words), "style": None, "content": None, "config": "default"}
    return Given(Namespace(**{**defaults, **options}))


@pytest.mark.parametrize(
    ("words", "files", "settings"),
    [
        ([], [], []),
        (["a.jpg", "none.png"], ["a.jpg", "none.png"], []),
        (["seed=2", "a.jpg", "style.weight=2"], ["a.jpg"], ["seed=2", "style.weight=2"]),
        (["style.layers.conv1=1", "init.file="], [], ["style.layers.conv1=1", "init.file="]),
        (["folder/x=1.jpg", "./seed=1"], ["folder/x=1.jpg", "./seed=1"], []),
        (["seed=1", "seed=2"], ["seed=1"], ["seed=2"]),  # the first is a file here
    ],
)
def test_words_are_parted_into_files_and_settings(
    words: list[str], files: list[str], settings: list[str]
) -> None:
    assert part_words(words) == (files, settings)


def test_a_setting_may_be_longer_than_a_file_s_name() -> None:
    word = f"tracking.notes={'x' * 300}"
    assert part_words([word]) == ([], [word])


@pytest.mark.parametrize(
    ("words", "options", "content", "styles"),
    [
        (["me.jpg"], {}, "me.jpg", None),
        (["me.jpg", "a.jpg"], {}, "me.jpg", ("a.jpg",)),
        (["me.jpg", "seed=5", "a.jpg", "b.jpg"], {}, "me.jpg", ("a.jpg", "b.jpg")),
        ([], {"content": "me.jpg", "style": ["a.jpg", "seed=5"]}, "me.jpg", ("a.jpg",)),
        (["a.jpg", "b.jpg"], {"content": "me.jpg"}, "me.jpg", ("a.jpg", "b.jpg")),
        (["me.jpg"], {"style": ["a.jpg"]}, "me.jpg", ("a.jpg",)),
        (["./tune-lr", "a.jpg"], {}, "./tune-lr", ("a.jpg",)),
        (["seed=5"], {}, None, None),
    ],
)
def test_the_photo_comes_first_and_options_take_its_place(
    words: list[str], options: dict[str, object], content: str | None, styles: tuple[str] | None
) -> None:
    config = given(*words, **options).load("run")
    samples = Config()
    assert config.content.image.endswith(content or samples.content.image)
    if styles is None:
        assert config.style.images[0].endswith(samples.style.images[0])
    else:
        assert config.style.images == styles
    assert config.seed == (5 if "seed=5" in [*words, *options.get("style", [])] else 0)  # type: ignore[misc]


def test_further_values_come_last() -> None:
    assert given("seed=5").load("run", {"seed": 7}).seed == 7


def test_the_words_given_can_be_said_again() -> None:
    one = given("me.jpg", "a.jpg", "b.jpg", "tune.steps=9", "seed=5", config="paper")
    words = ["--config", "paper", "--content", "me.jpg", "--style", "a.jpg", "b.jpg"]
    assert one.words() == [*words, "tune.steps=9", "seed=5"]
    assert one.words(without=("tune.",)) == [*words, "seed=5"]
    assert given().words() == ["--config", "default"]


def test_paintings_are_named_once() -> None:
    with pytest.raises(ConfigError, match=r"'b\.jpg' and --style: name the paintings once"):
        given("me.jpg", "b.jpg", style=["a.jpg"])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("me.jpg", "content.image=you.jpg"), "'me.jpg' and content.image=: name the photo once."),
        (("a.jpg", "b.jpg", "style.images=[c.jpg]"), "'b.jpg' and style.images=: name the paint"),
    ],
)
def test_a_picture_named_by_a_word_and_by_a_setting_is_refused(
    words: tuple[str, ...], told: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(told)):
        given(*words)
    assert given("me.jpg", "style.images=[c.jpg]").words()[2:] == [
        *("--content", "me.jpg", "style.images=[c.jpg]")
    ]


@pytest.mark.parametrize("word", ["tune_lr", "tunelr", "tune", "Tune-LR"])
def test_a_misspelt_command_is_recognised(word: str) -> None:
    with pytest.raises(ConfigError) as caught:
        given(word, "a.jpg")
    assert str(caught.value) == f"'{word}' is no file; did you mean `overpaint tune-lr ...`?"


def test_a_command_in_the_wrong_place_is_recognised(folder: Path) -> None:
    (folder / "tune-lr").unlink()
    with pytest.raises(ConfigError, match=r"'tune-lr' .* did you mean `overpaint tune-lr \.\.\.`"):
        given("me.jpg", "a.jpg", "tune-lr")


@pytest.mark.parametrize("word", ["hello", "stylize.jpg", "content.jpg", "content"])
def test_another_word_is_a_missing_picture(word: str) -> None:
    with pytest.raises(ConfigError, match=f"^content.image: no such file: '{word}'"):
        given(word).load("run")


@pytest.mark.parametrize("word", ["style.weight", "seed", "optimizer.sgd.momentum"])
def test_a_setting_without_a_value_is_recognised(word: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"needs a value: {word}=VALUE")):
        given("me.jpg", word, "3")


def test_a_capital_letter_does_not_make_a_setting_a_picture() -> None:
    with pytest.raises(ConfigError, match=r"Style\.weight: .*did you mean 'style'"):
        given("Style.weight=3").load("run")


def test_a_result_named_like_a_painting_is_recognised() -> None:
    words = ("me.jpg", "a.jpg", "result.png")
    with pytest.raises(ConfigError, match=r"for the result, write -o result\.png$"):
        given(*words, output=None)
    with pytest.raises(ConfigError, match=r"^content\.image: no such .*\nstyle\.images"):
        given("nope", *words[1:], output=None).load("run")  # more is missing than that
    with pytest.raises(ConfigError, match=r"^style\.images\[1\]: no such file: 'result\.png'"):
        given(*words).load("run")  # a command that makes no result


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("--ouput", "unknown option --ouput; did you mean --output?"),
        ("--ouput=x.png", "unknown option --ouput=x.png; did you mean --output?"),
        ("--seed=3", "unknown option --seed=3; a setting has no dashes: seed=3"),
        ("--seed", "unknown option --seed; a setting has no dashes: seed=VALUE"),
        ("--style.x=3", "unknown option --style.x=3; a setting has no dashes: style.x=3"),
        ("-x", "unknown option -x"),
    ],
)
def test_an_unknown_option_is_named_with_what_was_meant(word: str, message: str) -> None:
    parser = ArgumentParser()
    parser.add_argument("-o", "--output")
    assert unknown_options([word], parser) == message
