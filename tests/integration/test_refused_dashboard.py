"""`overpaint dashboard` where there is no W&B to talk to: one line, exit status 1."""

from __future__ import annotations

from pathlib import Path

import pytest
from refusals import refused
from wandb_server import answering

KEY = "0" * 40


def test_without_a_key_it_says_how_to_get_one(tmp_path: Path) -> None:
    for name in ("home", "work"):
        (tmp_path / name).mkdir()
    env = {"HOME": str(tmp_path / "home"), "NETRC": str(tmp_path / "none")}
    told = refused(["dashboard"], cwd=tmp_path / "work", status=1, env=env)
    assert told == "error: no W&B API key is set: run `wandb login`.\n"


@pytest.mark.parametrize("words", [[], ["--report", "some group"]])
def test_without_a_connection_the_host_is_named(
    tmp_path: Path, closed_port: int, words: list[str]
) -> None:
    url = f"http://127.0.0.1:{closed_port}"
    env = {"WANDB_API_KEY": KEY, "WANDB_BASE_URL": url}
    told = refused(["dashboard", *words], cwd=tmp_path, status=1, env=env)
    assert told == f"error: {url} does not answer\n"


@pytest.mark.slow
@pytest.mark.parametrize("how", ["an error", "silence"])
def test_a_server_that_is_not_wandb_is_named(tmp_path: Path, how: str) -> None:
    with answering(how) as url:
        env = {"WANDB_API_KEY": KEY, "WANDB_BASE_URL": url}
        told = refused(["dashboard"], cwd=tmp_path, status=1, env=env)
    assert told.startswith(f"error: {url} does not answer as W&B does: ")


def test_words_that_it_does_not_know_are_refused(tmp_path: Path) -> None:
    told = refused(["dashboard", "--group=some"], cwd=tmp_path)
    assert "unknown option --group=some" in told
