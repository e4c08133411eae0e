from __future__ import annotations

import json
import sys
from pathlib import Path

import judge
import pytest
from conftest import make_picture
from PIL import Image

from overpaint.errors import ImageError

pytestmark = pytest.mark.usefixtures("one_thread")

SIZE = (176, 132)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Two photos, two paintings, and two sets of pictures: the photos, and the paintings."""
    for name in ("photos", "paintings", "kept", "painted"):
        (tmp_path / name).mkdir()
    for index, name in enumerate(("cat", "dog")):
        make_picture(SIZE, seed=index).save(tmp_path / f"photos/{name}.png")
    for index, name in enumerate(("red_sea", "sky")):
        make_picture((150, 200), seed=5 + index).save(tmp_path / f"paintings/{name}.png")
    for photo in ("cat", "dog"):
        for painting in ("red_sea", "sky"):
            kept = Image.open(tmp_path / f"photos/{photo}.png")
            kept.save(tmp_path / f"kept/{photo}__{painting}.png")
            painted = Image.open(tmp_path / f"paintings/{painting}.png").resize(SIZE)
            painted.save(tmp_path / f"painted/{photo}__{painting}.png")
    return tmp_path


def run(folders: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    sets = [f"{name}={folders / name}" for name in ("kept", "painted")]
    sources = ["--photos", str(folders / "photos"), "--paintings", str(folders / "paintings")]
    output = ["--output", str(folders / "judged.json")]
    monkeypatch.setattr(sys, "argv", ["judge.py", *sets, *sources, *output, *words])
    judge.main()


def test_pairs_are_those_that_all_sets_have(folders: Path) -> None:
    (folders / "kept" / "cat__sky.png").unlink()
    (folders / "kept" / "notes.txt").write_text("cat__sky")
    (folders / "painted" / "loose.png").write_bytes(b"")
    pairs = judge.find_pairs({name: folders / name for name in ("kept", "painted")})
    assert list(pairs) == [("cat", "red_sea"), ("dog", "red_sea"), ("dog", "sky")]
    assert pairs["dog", "sky"]["kept"] == folders / "kept" / "dog__sky.png"


def test_blind_sheets_show_each_picture_where_the_key_says(folders: Path) -> None:
    pairs = judge.find_pairs({name: folders / name for name in ("kept", "painted")})
    key = judge.blind_sheets(pairs, folders / "sheets", seed=3)
    assert key == json.loads((folders / "sheets" / "key.json").read_text())
    assert sorted(key) == ["cat by red_sea", "cat by sky", "dog by red_sea", "dog by sky"]
    assert all(sorted(row.values()) == ["kept", "painted"] for row in key.values())
    assert len({row["A"] for row in key.values()}) == 2, "the order is the same in all rows"
    assert judge.blind_sheets(pairs, folders / "sheets", seed=3) == key
    assert {path.name for path in (folders / "sheets").glob("*.png")} == {"cat.png", "dog.png"}


@pytest.mark.slow
@pytest.mark.weights
def test_the_photo_keeps_all_and_the_painting_is_the_style(
    folders: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, source in (("kept", "photos/cat"), ("painted", "paintings/sky")):
        picture = Image.open(folders / f"{source}.png").resize((150, 200))
        picture.save(folders / name / "sky__sky.png")
    run(folders, monkeypatch)
    means = json.loads((folders / "judged.json").read_text())["means"]
    kept, painted = means["kept"], means["painted"]
    for network in ("vgg", "net"):
        for reduction in (1, 2, 4):
            name = f"style {network} 1/{reduction}"
            assert kept[name] == pytest.approx(1)
            assert painted[name] < 0.7
    assert kept["edges"] == pytest.approx(1, abs=1e-3)
    assert kept["layout"] == pytest.approx(1)
    assert painted["edges"] < 0.4
    assert painted["layout"] < 0.6
    assert painted["palette"] < kept["palette"] / 3
    assert painted["identity"] == 0 < kept["identity"]
    for name in ("tints %", "clipped %", "noise dB", "checker dB", "border", "ghosts %"):
        assert kept[name] == pytest.approx(0, abs=1), name
    shown = capsys.readouterr().out
    assert shown.startswith("5 pairs\n\n| | kept | painted |\n| --- | --- | --- |\n")
    assert "| edges | **1.000** |" in shown


@pytest.mark.slow
@pytest.mark.weights
def test_pictures_that_keep_their_photos_colours_are_held_against_the_painting_in_them(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for keep in ("luminance", "statistics"):
        run(folders, monkeypatch, "--keep", keep)
        means = json.loads((folders / "judged.json").read_text())["means"]
        kept, painted = means["kept"], means["painted"]
        assert kept["chroma"] == 0 < painted["chroma"]
        assert kept["style vgg 1/1"] == pytest.approx(1)
    # The painting in the photo's colours has nearly the photo's own.
    run(folders, monkeypatch)
    plain = json.loads((folders / "judged.json").read_text())["means"]["kept"]
    assert kept["palette"] < plain["palette"] / 2
    assert "chroma" not in plain


def test_the_best_of_a_row_is_bold_also_where_higher_is_better() -> None:
    shown = judge.table({"a": {"edges": 0.5, "border": 12.0}, "b": {"edges": 0.25, "border": 1.0}})
    assert shown.splitlines()[2:] == [
        "| edges | **0.500** | 0.250 |",
        "| border | 12.0 | **1.000** |",
    ]


def test_pictures_of_one_pair_are_judged_at_one_size(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_picture((160, 140), seed=9).save(folders / "painted" / "dog__sky.png")
    with pytest.raises(SystemExit, match=r"dog__sky\.png': 160x140 pixels, but .* 176x132 here\.$"):
        run(folders, monkeypatch, "--sheets", str(folders / "sheets"))


def test_pictures_too_small_for_the_networks_are_refused(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("kept", "painted"):
        make_picture((300, 100), seed=9).save(folders / name / "cat__sky.png")
    with pytest.raises(SystemExit, match=r"cat__sky\.png': 300x100 pixels; .* from 128 on\.$"):
        run(folders, monkeypatch, "--sheets", str(folders / "sheets"))


def test_a_missing_source_is_named(folders: Path) -> None:
    assert judge.find_source("sky", [folders / "photos", folders / "paintings"]).stem == "sky"
    with pytest.raises(ImageError, match=r"^'bird': no such picture in .*photos\.$"):
        judge.find_source("bird", [folders / "photos"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["kept"], "'kept' is no NAME=FOLDER of an existing folder"),
        (["a=nowhere"], "'a=nowhere' is no NAME=FOLDER"),
    ],
)
def test_a_set_needs_a_name_and_a_folder(
    words: list[str],
    message: str,
    folders: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        run(folders, monkeypatch, *words)
    assert message in capsys.readouterr().err


def test_sets_without_a_common_pair_are_refused(
    folders: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (folders / "kept").iterdir():
        path.unlink()
    with pytest.raises(SystemExit):
        run(folders, monkeypatch)
    assert "no picture named PHOTO__PAINTING is in all sets" in capsys.readouterr().err
