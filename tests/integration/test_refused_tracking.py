"""W&B asked for by name where it cannot be had, and names that it refuses: one line, no step."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from refusals import refused
from wandb_server import answering

KEY = "0" * 40

pytestmark = pytest.mark.slow


def words_of(cwd: Path, photo: Path, painting: Path, slim_file: Path) -> list[str]:
    cwd.mkdir()
    return [
        *(str(photo), str(painting), "encoder.name=vgg19_slim", f"encoder.weights={slim_file}"),
        *("image.size=32", "schedule.steps=2", "trainer.accelerator=cpu"),
    ]


@pytest.fixture
def env(tmp_path: Path) -> Mapping[str, str]:
    """A home of its own, and no way out of this machine."""
    home = tmp_path / "home"
    home.mkdir()
    return {
        "HOME": str(home),
        "NETRC": str(home / "none"),
        "WANDB_BASE_URL": "http://127.0.0.1:9",
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "1000",
    }


@pytest.mark.parametrize(
    ("mode", "variables", "told"),
    [
        ("online", {}, "no W&B API key is set: run `wandb login`"),
        ("online", {"WANDB_API_KEY": KEY}, "http://127.0.0.1:9 does not answer"),
        ("online", {"WANDB_API_KEY": f"{KEY}\n"}, "W&B refuses WANDB_API_KEY: API key cannot"),
        ("online", {"WANDB_API_KEY": KEY, "WANDB_BASE_URL": "nowhere"}, "WANDB_BASE_URL='nowhere'"),
        ("offline", {"WANDB_MODE": "off"}, "W&B refuses WANDB_MODE='off'"),
        ("offline", {"WANDB_SERVICE": "3-1-unix-/nowhere"}, "W&B refuses WANDB_SERVICE="),
        ("offline", {"WANDB_TAGS": "a,,b"}, "W&B refuses WANDB_TAGS='a,,b': Tag at index 1"),
        ("offline", {"WANDB_DIR": "/dev/null/x"}, "W&B refuses WANDB_DIR=/dev/null/x"),
    ],
)
def test_a_mode_that_was_asked_for_and_cannot_be_had_is_one_line_before_any_step(
    tmp_path: Path,
    photo: Path,
    painting: Path,
    slim_file: Path,
    env: Mapping[str, str],
    mode: str,
    variables: Mapping[str, str],
    told: str,
) -> None:
    cwd = tmp_path / "here"
    words = words_of(cwd, photo, painting, slim_file)
    said = refused([*words, f"tracking.mode={mode}"], cwd=cwd, status=1, env={**env, **variables})
    (line,) = [line for line in said.splitlines() if line.startswith("error:")]
    assert line.startswith(f"error: tracking.mode={mode}: ")
    assert told in line
    assert KEY not in said
    assert "step" not in said


@pytest.mark.parametrize("how", ["a page", "null", "too many"])
def test_a_server_that_is_not_wandb_is_refused_by_name_where_online_was_asked_for(
    tmp_path: Path, photo: Path, painting: Path, slim_file: Path, env: Mapping[str, str], how: str
) -> None:
    cwd = tmp_path / "here"
    words = words_of(cwd, photo, painting, slim_file)
    with answering(how) as url:
        said = refused(
            [*words, "tracking.mode=online"],
            cwd=cwd,
            status=1,
            env={**env, "WANDB_BASE_URL": url, "WANDB_API_KEY": KEY},
        )
    assert f"error: tracking.mode=online: {url} does not answer as W&B does: " in said


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("tracking.project=a/b", "tracking.project: 'a/b' has / in it"),
        ("tracking.tags=['']", "tracking.tags[0]: '' has 0 characters"),
        (f"tracking.tags=[{'t' * 65}]", "has 65 characters; W&B takes 1 to 64"),
        (f"tracking.name={'n' * 129}", "has 129 characters; W&B takes at most 128"),
        (f"tracking.group={'g' * 129}", "has 129 characters; W&B takes at most 128"),
    ],
)
@pytest.mark.parametrize("mode", ["auto", "offline"])
def test_names_that_wandb_refuses_are_bad_settings(
    tmp_path: Path, photo: Path, painting: Path, slim_file: Path, word: str, told: str, mode: str
) -> None:
    cwd = tmp_path / "here"
    words = words_of(cwd, photo, painting, slim_file)
    assert told in refused([*words, word, f"tracking.mode={mode}"], cwd=cwd, env={"COLUMNS": "999"})


@pytest.mark.skipif(sys.platform != "linux", reason="other systems know no such names")
def test_a_folder_whose_name_is_not_utf_8_is_refused_offline(
    tmp_path: Path, photo: Path, painting: Path, slim_file: Path, env: Mapping[str, str]
) -> None:
    words = words_of(tmp_path / "here", photo, painting, slim_file)
    told = refused(
        [*words, "tracking.mode=offline", b"output.dir=caf\xe9"],
        cwd=tmp_path / "here",
        status=1,
        env=env,
    )
    assert "the run folder's name is not UTF-8, and W&B takes no other" in told
