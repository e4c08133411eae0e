"""Words, settings and paths that the real command refuses: in words, and without a trace."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import pytorch_lightning as pl
from conftest import REPOSITORY
from refusals import command, refused

from overpaint.errors import WriteError
from overpaint.runs.stylize import stylize
from overpaint.settings.schema import Config

PHOTO = str(REPOSITORY / "assets" / "content" / "rocket.jpg")
LONG = "a" * 300

# What is typed behind `overpaint PHOTO`, and what is said.
REFUSED = [
    ("tracking.mode=off", "tracking.mode: expected one of 'auto', 'online'"),
    ("tracking.mode=On", "got 'On'"),
    ("optimizer.name=007", "got '007'"),
    ("optimizer.name=", "got None"),
    ("init.mode=12_30", "got '12_30'"),
    ("content.image=photo #3.jpg", "content.image: no such file: 'photo #3.jpg'"),
    ("content.image=12_30", "no such file: '12_30'"),
    ("content.image=on", "no such file: 'on'"),
    ("content.image=1e3", "no such file: '1e3'"),
    ("content.image=null", "no such file: 'null'"),
    ("content.image=", "content.image: expected a text, got None"),
    ("content.image=[a]", "no such file: '[a]'"),
    ("content.image={a", "no such file: '{a'"),
    ("content.image=a=b.jpg", "no such file: 'a=b.jpg'"),
    ("content.image=絵.jpg", "no such file: '絵.jpg'"),
    ("content.image=~nosuchuser/me.jpg", "no such file: '~nosuchuser/me.jpg'"),
    ("content.image=~/me.jpg", "me.jpg' (relative"),
    ("content.image=a\nb\nc\nd.jpg", r"no such file: 'a\nb\nc\nd.jpg'"),
    ("content.image=\x1b[31m.jpg", r"no such file: '\x1b[31m.jpg'"),
    (
        "content.image=${nope}.jpg",
        r"key 'nope' not found; for the characters themselves, write \${",
    ),
    ("content.image=${x", r"content.image: cannot read '${x'"),
    (f"content.image={LONG}", "content.image: no such file"),
    ("content.image=.", "'.' is a folder"),
    ("style.images=a.jpg,b.jpg", "as a list in brackets: style.images=[a.jpg,b.jpg]"),
    ("style.images=[a.jpg", "as a list in brackets: style.images=[a.jpg]"),
    ("style.images=['a #1.jpg']", "style.images[0]: no such file: 'a #1.jpg'"),
    ("style.images=['a=1, b.jpg']", "style.images[0]: no such file: 'a=1, b.jpg'"),
    ("style.images=", "style.images: empty"),
    ("init.file=nope.png init.mode=file", "init.file: no such file: 'nope.png'"),
    ("encoder.weights=~/nope.pth", "nope.pth"),
    ("encoder.weights=007", "encoder.weights: '007' is neither"),
    ("output.dir=", "output.dir: expected a text, got None"),
    ("output.dir=''", "output.dir: empty"),
    (f"output.dir={PHOTO}/runs", "is a file; name a folder"),
    ("output.copy=.", "output.copy: '.' is a folder"),
    ("output.copy=new/a.png", "output.copy: no such folder: 'new'"),
    ("output.copy=a.bmp", "output.copy: 'a.bmp' must end in"),
    (f"output.copy={PHOTO}", "would be overwritten"),
    ("seed=1_0x", "seed: expected a whole number"),
    ("seed=[", "seed: cannot read '['"),
    ("seed=" + 5000 * "9", "seed: cannot read '999"),
    ("seed=${seed}", "seed: "),
    ("seed=???", "seed: expected a whole number, got '???'"),
    ("style.weight={a: 1}", "style.weight: expected one value"),
    ("style.layers=relu1_1", "style.layers: expected 'key: value' pairs"),
    ("style.layers={on: 1}", "unknown layer 'on'"),
    ("snapshots.steps=[1", "snapshots.steps: cannot read '[1'"),
    ("trackin.name=Try [3", "unknown setting 'trackin'; did you mean 'tracking'"),
    ("tracking.nmae=x", "did you mean 'name'"),
    ("tracking.name.first=x", "tracking.name holds one value"),
    ("--config nope", "--config: no such file: 'nope'"),
    ("--config .", "--config: cannot read '.'"),
    ("--config ~/nope.yaml", "--config: no such file"),
    (f"--config {LONG}.yaml", "--config: no such file"),
    (f"--config {PHOTO}", "--config: "),
    ("--style a.jpg,b.jpg", "in brackets: style.images=[a.jpg,b.jpg]"),
    ("-o nowhere/a.png", "output.copy: no such folder: 'nowhere'"),
    ("-o a", "output.copy: 'a' must end in"),
    ("--print-config nope.jpg", "content.image: no such file: 'nope.jpg'"),
]

# Tried on the disk, and so after PyTorch is there.
PLACES = [
    (f"-o {'a' * 251}.jpeg", "output.copy: "),
    ("-o /proc/a.png", "output.copy: '/proc/a.png' cannot be written"),
    ("output.dir=/proc/runs", "output.dir: no runs can be kept in '/proc/runs'"),
    (f"output.dir=new/{LONG}", "output.dir: no runs can be kept in"),
]


def spread(words: str) -> list[str]:
    """One word, or an option and a word, or two settings."""
    if words.startswith("-"):
        return words.split(" ", 1)
    return words.split(" ") if words.endswith("init.mode=file") else [words]


@pytest.mark.slow
@pytest.mark.parametrize(("words", "told"), REFUSED, ids=lambda value: ascii(value[:40]))
def test_bad_words_are_refused_in_words(tmp_path: Path, words: str, told: str) -> None:
    env = {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    given = spread(words)
    has_photo = given[0].startswith(("content.image=", "--print-config"))
    photo = [] if has_photo else [f"content.image={PHOTO}"]
    assert told in refused([*photo, *given], cwd=tmp_path, env=env)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="nothing can be made in /proc")
@pytest.mark.parametrize(("words", "told"), PLACES, ids=lambda value: ascii(value[:40]))
def test_a_place_that_cannot_be_written_is_found_first(
    tmp_path: Path, words: str, told: str
) -> None:
    said = refused([PHOTO, *spread(words), "tracking.mode=disabled"], cwd=tmp_path)
    assert told in said
    assert len(said.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems know no such names")
@pytest.mark.parametrize(
    "env", [{}, {"LC_ALL": "C", "PYTHONUTF8": "0"}, {"LC_ALL": "POSIX", "PYTHONUTF8": "0"}]
)
def test_a_name_in_any_bytes_is_refused_or_used(
    tmp_path: Path, photo: Path, slim_file: Path, env: dict[str, str]
) -> None:
    told = refused([b"caf\xe9.jpg"], cwd=tmp_path, env=env)
    assert r"content.image: no such file: 'caf\udce9.jpg'" in told
    refused(["絵.jpg", "-o", "図.jpg"], cwd=tmp_path, env=env)

    content, style = tmp_path / "絵.png", os.fsencode(tmp_path) + b"/caf\xe9.png"
    for name in (os.fsencode(content), style):
        os.link(photo, name)
    done = command(
        [
            *("絵.png", b"caf\xe9.png", "-o", b"gr\xfcn.png", "output.dir=図", "image.size=32"),
            *("schedule.steps=2", "trainer.accelerator=cpu", "tracking.mode=disabled"),
            *("encoder.name=vgg19_slim", f"encoder.weights={slim_file}", "tracking.notes=絵"),
        ],
        cwd=tmp_path,
        env={**env, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert os.path.isfile(os.fsencode(tmp_path) + b"/gr\xfcn.png")
    (run,) = (tmp_path / "図").iterdir()
    told = (run / "environment.json").read_text(encoding="utf-8")
    assert "caf\\\\xe9.png" in told
    again = refused(["--config", str(run / "config.yaml"), "seed=-1"], cwd=tmp_path, env=env)
    assert again.startswith("error: seed: -1 is out of range")
    assert len(again.splitlines()) == 1  # every file was found


class Unplugged(pl.Callback):
    """Takes a folder away after the steps."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def on_train_end(self, *arguments: object) -> None:
        if self._folder.exists():
            self._folder.rmdir()


def test_a_copy_that_cannot_be_made_at_the_end_says_where_the_picture_is(
    tmp_path: Path, make_config: Callable[..., Config], caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "stick"
    folder.mkdir()
    config = make_config(output__copy=str(folder / "out.png"))
    caplog.set_level("INFO", logger="overpaint")
    with pytest.raises(WriteError, match=r"stick/out\.png"):
        stylize(config, callbacks=[Unplugged(folder)])
    (run,) = (tmp_path / "runs").iterdir()
    assert (run / "result.png").is_file()
    assert f"Result: {run / 'result.png'} " in caplog.text
