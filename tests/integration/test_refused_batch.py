"""Batches that the real command refuses: in words, and before anything is made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from refusals import command, refused

BOTH = ["photos", "paintings"]
FAST = ["tracking.mode=disabled", "encoder.name=vgg19_slim", "schedule.steps=1", "image.size=32"]


def folders(place: Path, photo: Path, painting: Path) -> None:
    """Two folders with a picture each."""
    for name, picture in (("photos", photo), ("paintings", painting)):
        (place / name).mkdir()
        (place / name / f"{name[:-1]}.png").write_bytes(picture.read_bytes())


REFUSED: list[tuple[list[str], str]] = [
    ([], "--content: name a folder of pictures, or pictures"),
    (["photos"], "'photos': name photos and paintings by two words"),
    ([*BOTH, "more"], "'more': name photos and paintings by two words"),
    (["--content", "photos"], "--style: name a folder of pictures, or pictures"),
    ([*BOTH, "--style", "paintings"], "name photos and paintings by two words"),
    (["nothing", "paintings"], "--content: no such file or folder: 'nothing'"),
    (["photos", "nothing.jpg"], "--style: no such file or folder: 'nothing.jpg'"),
    ([*BOTH, "-o", "photos"], "--output: '{}/photos' holds what --content names"),
    ([*BOTH, "-o", "photos/photo.png"], "photo.png' is a file; name a folder for the pictures"),
    ([*BOTH, "-o", "photos/photo.png/in"], "photo.png' is a file; name a folder for the pictures"),
    ([*BOTH, "-o", ""], "--output: empty; name a folder"),
    ([*BOTH, "-o", "loop"], "/loop' is a link to nothing; name a folder for the pictures"),
    ([*BOTH, "-o", "loop/in"], "/loop' is a link to nothing; name a folder for the pictures"),
    (
        ["--content", "made/a_b.png", "photos", "--style", "paintings", "-o", "made"],
        "--content: 'made/a_b.png' is a picture that this batch made; leave it out",
    ),
    ([*BOTH, "-o", "a\0b".replace("\0", "\x01") * 200], "nothing can be written in"),
    ([*BOTH, "--shard", "0/0"], "no part 0 of 0; parts are counted from 1"),
    ([*BOTH, "--shard", "0/4"], "no part 0 of 4; parts are counted from 1: `#SBATCH --array=1-N`"),
    ([*BOTH, "--shard", "5/4"], "--shard: there is no part 5 of 4"),
    ([*BOTH, "--shard", "4"], "--shard: expected I/N, such as 1/8, got '4'"),
    ([*BOTH, "--shard", "1/-2"], "got '1/-2'"),
    ([*BOTH, "--shard", "a/b"], "got 'a/b'"),
    ([*BOTH, "--shard", "1/2/3"], "got '1/2/3'"),
    (
        [*BOTH, "--jobs", "0"],
        "--jobs: expected a whole number of pictures at a time, 1 to 64",
    ),
    ([*BOTH, "--jobs", "-1"], "1 to 64, got '-1'"),
    ([*BOTH, "--jobs", "x"], "1 to 64, got 'x'"),
    ([*BOTH, "--jobs", "1.5"], "1 to 64, got '1.5'"),
    ([*BOTH, "-j", "1000000000"], "1 to 64, got '1000000000'"),
    ([*BOTH, "--jobs", "٢"], "1 to 64, got '٢'"),
    ([*BOTH, "--jobs", ""], "1 to 64, got ''"),
    (
        [*BOTH, "--jobs", "2", "trainer.devices=2"],
        "--jobs 2, trainer.devices=2, trainer.num_nodes=1: either several pictures at a time, or",
    ),
    ([*BOTH, "style.wieght=3"], "did you mean 'weight'"),
    ([*BOTH, "style.weight=-3"], "style.weight: -3"),
    ([*BOTH, "image.size"], "a setting is key=value"),
    ([*BOTH, "content.image=a.jpg"], "content.image: each picture of a batch has its own"),
    ([*BOTH, "output.copy=a.png"], "output.copy: each picture of a batch has its own"),
    ([*BOTH, "--config", "nope"], "--config: no such file: 'nope'"),
    ([*BOTH, "--sahrd", "1/2"], "did you mean --shard"),
    ([*BOTH, "--pairs", "pairs.csv"], "'photos' and --pairs: the table names photos and paintings"),
    (["--pairs", "pairs.csv"], "--pairs: 'pairs.csv': cannot be read (No such file"),
    (["--pairs", ""], "--pairs: empty; name a table"),
    (["--pairs", "/dev/zero"], "--pairs: '/dev/zero': is a device; name a file or a pipe"),
    (["--pairs", "photos"], "--pairs: 'photos': cannot be read (Is a directory"),
    (["--pairs", "photos/photo.png"], "is not UTF-8; save it as 'CSV UTF-8'"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("words", "told"), REFUSED, ids=lambda one: ascii(one)[-40:])
def test_a_batch_that_cannot_be_made_says_why(
    words: list[str], told: str, tmp_path: Path, photo: Path, painting: Path
) -> None:
    folders(tmp_path, photo, painting)
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "made" / "runs" / "a_b").mkdir(parents=True)
    (tmp_path / "made" / "a_b.png").write_bytes(photo.read_bytes())
    assert told.format(tmp_path) in refused(["batch", *words], cwd=tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("words", [[], ["--jobs", "2"], ["trainer.devices=2"]], ids=str)
def test_a_batch_that_torchrun_has_started_more_than_once_is_none(
    words: list[str], tmp_path: Path, photo: Path, painting: Path
) -> None:
    folders(tmp_path, photo, painting)
    started = {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}
    told = refused(["batch", *BOTH, *words], cwd=tmp_path, env=started)
    assert "torchrun has started 2 processes, and each would paint the same pictures" in told
    assert "--jobs N" in told
    assert "--shard I/N" in told


HEAD = "content,style\n"
ROW = "photos/photo.png,paintings/painting.png\n"
TABLES: list[tuple[str, str]] = [
    ("", "no column 'content'; the first line names the columns"),
    ("\n\n", "no column 'content'"),
    (ROW, "no column 'content'; the first line names the columns, content,style and settings such"),
    ("content,painting\n" + ROW, "no column 'style'"),
    (HEAD, "no pairs in it, only the names of its columns"),
    ("content,style,content\n" + ROW, "two columns 'content'"),
    (HEAD + "photos/a, b.png,paintings/painting.png\n", "line 2: 3 cells for 2 columns; a name w"),
    (HEAD + ROW + "photos/no.png,paintings/painting.png\n", "line 3: no such file: 'photos/no.png"),
    (HEAD + "photos,paintings/painting.png\n", "line 2: 'photos' is a folder; name one picture"),
    (HEAD + "photos/photo.png,\n", "line 2: no style."),
    (HEAD + ",paintings/painting.png\n", "line 2: no content."),
    (HEAD + "photos/photo.png,[]\n", "line 2: style: an empty list"),
    (HEAD + 'photos/photo.png,"paintings/painting.png\n', "line 2: unexpected end of data"),
    (HEAD + "a\0b,c\n", "is not UTF-8; save it as 'CSV UTF-8'"),
    ("\0".join(HEAD + ROW), "is not UTF-8; save it as 'CSV UTF-8'"),
    ("content,style,,seed\n" + ROW.strip() + ",5,1\n", "a column ''; each is named by a setting"),
    ("content,style,seed=1\n" + ROW.strip() + ",5\n", "a column 'seed=1'; each is named by a set"),
    (HEAD + 200 * "no.jpg,no.png\n", "and 398 more like these"),
    ("content,style,style.wieght\n" + ROW.strip() + ",3\n", "did you mean 'weight'"),
    ("content,style,style.weight\n" + ROW.strip() + ",much\n", "style.weight: expected a number"),
    (
        "content,style,name,seed\n" + "".join(f"{ROW.strip()},n{i},x{i}\n" for i in range(5000)),
        "error: and more like these",
    ),
    ("content,style,output.dir\n" + ROW.strip() + ",a\n", "output.dir: each picture of a batch"),
    ("content,style,name\n" + ROW.strip() + ",../up\n", "name: '../up' is no name of a file"),
    (
        "content,style,name\n" + ROW.strip() + ",a.png\n",
        "name: 'a.png' has an ending; leave it out",
    ),
    ("content,style,name\n" + ROW.strip() + ',"a\nb"\n', "name: 'a\\nb' is no name of a file"),
    ("content,style,name\n" + ROW.strip() + "," + "n" * 250 + "\n", "is too long; at most 240 by"),
    (HEAD + ROW + ROW, "'photo_painting.png' would be made twice"),
    ("content,style,name\n" + ROW.strip() + ",A\n" + ROW.strip() + ",a\n", "'a.png' would be made"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("text", "told"), TABLES, ids=lambda one: ascii(one)[-40:])
def test_a_table_that_cannot_be_used_says_where(
    text: str, told: str, tmp_path: Path, photo: Path, painting: Path
) -> None:
    folders(tmp_path, photo, painting)
    (tmp_path / "pairs.csv").write_text(text, encoding="utf-8")
    assert told in refused(["batch", "--pairs", "pairs.csv"], cwd=tmp_path)


def emptied(place: Path) -> None:
    (place / "photos" / "photo.png").unlink()


def of_texts(place: Path) -> None:
    (place / "photos" / "photo.png").rename(place / "photos" / "notes.txt")


def twice(place: Path) -> None:
    data = (place / "photos" / "photo.png").read_bytes()
    (place / "photos" / "photo.jpg").write_bytes(data)


def ambiguous(place: Path) -> None:
    """`a_b` with `c`, and `a` with `b_c`."""
    for folder, name in (("photos", "photo"), ("paintings", "painting")):
        (place / folder / f"{name}.png").rename(place / folder / "a.png")
    for folder, names in (("photos", ("a_b",)), ("paintings", ("c", "b_c"))):
        for name in names:
            data = (place / folder / "a.png").read_bytes()
            (place / folder / f"{name}.png").write_bytes(data)


SPOILT: list[tuple[Callable[[Path], None], str]] = [
    (emptied, "no pictures in the folder 'photos'"),
    (of_texts, "no pictures in the folder 'photos' (files that end in .jpg, "),
    (twice, "from 'photos/photo.jpg' with 'paintings/painting.png' and from 'photos/photo.png' w"),
    (ambiguous, "'a_b_c.png' would be made twice"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("spoil", "told"), SPOILT, ids=lambda one: getattr(one, "__name__", ""))
def test_folders_that_cannot_be_used_are_named(
    spoil: Callable[[Path], None], told: str, tmp_path: Path, photo: Path, painting: Path
) -> None:
    folders(tmp_path, photo, painting)
    spoil(tmp_path)
    assert told in refused(["batch", *BOTH], cwd=tmp_path)


@pytest.mark.slow
def test_pictures_that_are_none_cost_only_themselves(
    tmp_path: Path, photo: Path, painting: Path
) -> None:
    folders(tmp_path, photo, painting)
    data = (tmp_path / "photos" / "photo.png").read_bytes()
    (tmp_path / "photos" / "cut.png").write_bytes(data[: len(data) // 2])
    (tmp_path / "photos" / "empty.jpg").write_bytes(b"")
    (tmp_path / "photos" / "page.jpg").write_text("<html>no such picture</html>")
    (tmp_path / "photos" / "tiny.png").symlink_to(tmp_path / "photos" / "photo.png")
    (tmp_path / "photos" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    done = command(["batch", *BOTH, *FAST], cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert [line.split(": ")[1] for line in errors] == [
        *("cut_painting", "empty_painting", "page_painting"),
    ]
    made = sorted(path.name for path in (tmp_path / "painted").glob("*.png"))
    assert made == ["photo_painting.png", "tiny_painting.png"]
