from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from run_folders import WEIGHTS, make_run, texture, unfinished

from overpaint.errors import ConfigError
from overpaint.reports.columns import MISSING
from overpaint.reports.compare import write_page

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path, photo: Path, painting: Path) -> Make:
    def build(name: str, *settings: str, **options: Any) -> Path:
        sources = {"photo": photo, "painting": painting, **options}
        return make_run(tmp_path / "runs" / name, *settings, **sources)

    return build


class Page(HTMLParser):
    """A page as a browser takes it apart: its tags, its texts, and the data in it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._data: list[str] = []
        self._is_data = self._is_code = False
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.data = json.loads("".join(self._data))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        self._is_data = found.get("id") == "data"
        self._is_code = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._is_data = self._is_code = False

    def handle_data(self, data: str) -> None:
        if self._is_data:
            self._data.append(data)
        elif not self._is_code and data.strip():
            self.texts.append(" ".join(data.split()))

    @property
    def text(self) -> str:
        return "\n".join(self.texts)

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


def page_of(tmp_path: Path, *runs: Path, **options: Any) -> Page:
    return Page(write_page(runs or [tmp_path / "runs"], tmp_path / "page.html", **options))


def test_a_page_holds_each_run_with_its_pictures_numbers_and_settings(
    make: Make, tmp_path: Path
) -> None:
    make("a", "style.weight=1", seed=1)
    make("b", "style.weight=4", seed=2, steps=30)
    page = page_of(tmp_path)
    data = page.data
    assert [run["title"] for run in data["runs"]] == ["1 · 20", "4 · 30"]
    assert [[step for step, _ in run["frames"]] for run in data["runs"]] == [
        [1, 10, 20],
        [1, 10, 20, 30],
    ]
    assert data["steps"] == [1, 10, 20, 30]
    assert data["columns"]["style.weight"]["values"] == [1.0, 4.0]
    assert data["columns"]["final/total"]["texts"] == ["3", "6"]
    assert data["columns"]["speed"]["values"] == [20 / 8, 30 / 8]
    assert data["columns"]["memory"]["texts"] == ["500", "500"]
    assert data["curves"][0]["step"] == list(range(1, 21))
    assert data["curves"][1]["loss/total"][:2] == [18.0, 9.0]
    assert data["grid"] is None
    assert f"{WEIGHTS['name']} {WEIGHTS['sha256']}" in page.text
    assert f"overpaint --config {tmp_path / 'runs' / 'a' / 'config.yaml'}" in page.text


def test_every_picture_is_in_the_page_once_and_none_elsewhere(make: Make, tmp_path: Path) -> None:
    make("a", seed=1)
    make("b", seed=2)
    page = page_of(tmp_path)
    pictures = page.data["pictures"]
    # One photo, one painting; of each run two snapshots, and the result for the third.
    assert len(pictures) == 2 + 2 * 3
    assert len(set(pictures.values())) == len(pictures)
    assert all(one.startswith("data:image/webp;base64,") for one in pictures.values())
    assert {run["photo"] for run in page.data["runs"]} <= set(pictures)
    for tag, found in page.tags:
        assert not (found.get("src") or "").startswith(("http", "//", "file")), (tag, found)
        assert tag != "link" or found["href"] == "data:,"
    policy = next(found["content"] for tag, found in page.tags if found.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_settings_of_where_a_run_is_recorded_are_no_difference(make: Make, tmp_path: Path) -> None:
    make("a", "tracking.name=one", "snapshots.every=10")
    make("b", "tracking.name=two", "snapshots.every=20")
    columns = page_of(tmp_path).data["columns"]
    assert not [key for key, one in columns.items() if one["differs"]]
    assert columns["tracking.name"]["texts"] == ["one", "two"]


def test_layers_with_their_weights_count_as_one_setting(make: Make, tmp_path: Path) -> None:
    make("a", "content.layers={relu4_2: 1.0}")
    make("b", "content.layers={relu3_1: 0.5, relu4_2: 0.5}")
    page = page_of(tmp_path)
    assert page.data["columns"]["content.layers"]["texts"] == [
        "relu4_2",
        "relu3_1 0.5 · relu4_2 0.5",
    ]
    assert "losses of different kinds do not compare" in page.text


def test_where_only_weights_differ_it_says_which_losses_compare(make: Make, tmp_path: Path) -> None:
    make("a", "style.weight=1")
    make("b", "style.weight=2")
    assert "their total losses do not compare; content and style" in page_of(tmp_path).text


EVIL = "</script><script>alert(1)</script> \"'`<img src=x onerror=alert(2)> {{ 7*7 }} 絵 🎨"


def test_nothing_that_a_run_says_becomes_a_part_of_the_page(make: Make, tmp_path: Path) -> None:
    make("a", values={"tracking.name": "plain"})
    tags = page_of(tmp_path).tags
    make("a b", values={"tracking.name": "other"})
    two = page_of(tmp_path)
    warnings = [{"kind": "too_low", "step": 3, "message": EVIL}]
    facts = {"warnings": warnings, "diverged": EVIL, "device": EVIL, "losses": {EVIL: 1.0}}
    run = make("evil", values={"tracking.name": EVIL, "output.dir": EVIL}, facts=facts)
    (run / "metrics.csv").write_text(f"step,{EVIL.replace(chr(34), '')}\n1,2\n")
    page = page_of(tmp_path)
    for tag in ("script", "style"):
        assert page.count(tag) == two.count(tag) == sum(name == tag for name, _ in tags)
    assert page.count("img") == two.count("img") + 2  # of a run more
    assert not [found for _, found in page.tags if any(key.startswith("on") for key in found)]
    assert EVIL in page.text
    assert EVIL in page.data["columns"]["tracking.name"]["texts"]
    assert EVIL.replace('"', "") in page.data["curves"][-1]
    assert "</script><script>alert" not in page.source


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have names in UTF-8 alone")
def test_names_that_are_not_utf8_are_shown_escaped(make: Make, tmp_path: Path, photo: Path) -> None:
    odd = photo.with_name(os.fsdecode(b"caf\xe9.png"))
    photo.rename(odd)
    make(os.fsdecode(b"r\xfcn"), photo=odd)
    page = page_of(tmp_path)
    assert r"caf\xe9.png" in page.text
    assert r"r\xfcn" in page.text
    assert page.data["runs"][0]["photo"] in page.data["pictures"]


def test_unfinished_and_damaged_runs_are_listed_as_such(make: Make, tmp_path: Path) -> None:
    make("a")
    unfinished(make("b"))
    damaged = make("c")
    (damaged / "environment.json").write_text('{"steps": ')
    (damaged / "result.png").write_bytes(b"half")
    (damaged / "snapshots" / "step_00010.png").write_bytes(b"")
    (damaged / "metrics.csv").unlink()
    (tmp_path / "runs" / "d" / "snapshots").mkdir(parents=True)
    page = page_of(tmp_path)
    assert page.data["columns"]["state"]["texts"] == ["done", "unfinished", "damaged", "damaged"]
    frames = [[step for step, _ in run["frames"]] for run in page.data["runs"]]
    assert frames == [[1, 10, 20], [1, 10, 20], [1, 20], []]
    assert page.data["columns"]["steps"]["texts"][1:] == ["20", "20", MISSING]
    for told in ("result.png cannot be read.", "snapshots/step_00010.png cannot be read."):
        assert told in page.text
    assert f"overpaint --resume {tmp_path / 'runs' / 'b'}" in page.text
    assert f"overpaint --resume {tmp_path / 'runs' / 'a'}" not in page.text


def test_of_damaged_settings_nothing_is_known_and_nothing_differs(
    make: Make, tmp_path: Path
) -> None:
    make("a")
    (make("b") / "config.yaml").write_text("{")
    columns = page_of(tmp_path).data["columns"]
    assert columns["style.weight"]["texts"] == ["2", MISSING]
    assert not [key for key, one in columns.items() if one["differs"]]


def test_a_photo_that_has_changed_or_gone_is_not_shown_as_that_of_the_run(
    make: Make, tmp_path: Path, photo: Path, painting: Path
) -> None:
    make("a")
    photo.write_bytes(painting.read_bytes())
    painting.unlink()
    page = page_of(tmp_path)
    assert "Another picture has this name now." in page.text
    assert "It is no longer where it was." in page.text
    assert page.data["runs"][0]["photo"] is None


def test_other_photos_are_told_with_their_runs(make: Make, tmp_path: Path, painting: Path) -> None:
    make("a")
    make("b", photo=painting)
    make("c")
    page = page_of(tmp_path)
    assert "Photo of runs 1, 3" in page.text
    assert "Photo of run 2" in page.text
    first, second, third = (run["photo"] for run in page.data["runs"])
    assert first == third != second


def test_a_grid_is_of_settings_that_there_are(make: Make, tmp_path: Path) -> None:
    make("a", "style.weight=1")
    assert page_of(tmp_path, grid=("style.weight", "content.layers")).data["grid"] == [
        "style.weight",
        "content.layers",
    ]
    with pytest.raises(ConfigError, match=r"unknown setting 'style.wight'; did you mean 'style.we"):
        write_page([tmp_path / "runs"], tmp_path / "no.html", grid=("style.wight", "seed"))
    with pytest.raises(ConfigError, match="name two settings, not 'seed' twice"):
        write_page([tmp_path / "runs"], tmp_path / "no.html", grid=("seed", "seed"))
    assert not (tmp_path / "no.html").exists()


def test_without_runs_there_is_nothing_to_compare(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to compare"):
        write_page([], tmp_path / "page.html")


def test_long_runs_keep_their_first_and_last_and_fit(make: Make, tmp_path: Path) -> None:
    make("a", steps=2500, every=50)
    page = page_of(tmp_path)
    (run,) = page.data["runs"]
    steps = [step for step, _ in run["frames"]]
    assert (steps[0], steps[-1], len(steps)) == (1, 2500, 25)
    curve = page.data["curves"][0]
    assert (curve["step"][0], curve["step"][-1], len(curve["step"])) == (1, 2500, 1000)
    assert len(curve["loss/total"]) == 1000


@pytest.mark.slow
def test_twelve_runs_of_300_steps_fit_into_15_megabytes(make: Make, tmp_path: Path) -> None:
    for number in range(12):
        weight = f"style.weight={1 + number % 4}"
        layers = f"content.layers={{relu{2 + number // 4}_1: 1.0}}"
        options = {"steps": 300, "every": 50, "seed": number, "size": (512, 384)}
        make(f"{number:02}", weight, layers, picture=texture, **options)
    page = page_of(tmp_path)
    assert len(page.data["pictures"]) == 2 + 12 * 7
    assert (tmp_path / "page.html").stat().st_size < 15e6
    assert all(len(one) > 20_000 for one in list(page.data["pictures"].values())[2:])


def test_the_titles_are_escaped_in_attributes_too(make: Make, tmp_path: Path) -> None:
    make("a", values={"tracking.name": 'x" onclick="alert(1)'})
    page = page_of(tmp_path)
    assert not re.search(r"<[^>]*\sonclick=\"alert", page.source)
