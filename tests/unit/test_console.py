from __future__ import annotations

import logging
from pathlib import Path

import pytest
from rich.console import Console

from overpaint.console import command, set_up_logging

logger = logging.getLogger("overpaint.somewhere")


@pytest.mark.parametrize(
    ("started", "stylize", "tune"),
    [
        ("/opt/bin/overpaint", "overpaint", "overpaint tune-lr"),
        (r"overpaint.exe", "overpaint", "overpaint tune-lr"),
        ("/lib/overpaint/__main__.py", "python -m overpaint", "python -m overpaint tune-lr"),
        ("/lib/ipykernel/__main__.py", "overpaint", "overpaint tune-lr"),
        ("scripts/stylize.py", "python scripts/stylize.py", "python scripts/tune_lr.py"),
        ("./scripts/tune_lr.py", "python scripts/stylize.py", "python scripts/tune_lr.py"),
        ("a b/stylize.py", "python 'a b/stylize.py'", "python 'a b/tune_lr.py'"),
        ("mine/stylize.py", "overpaint", "overpaint tune-lr"),  # no other script beside it
        ("", "overpaint", "overpaint tune-lr"),
    ],
)
def test_a_command_is_named_as_it_was_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, started: str, stylize: str, tune: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("scripts", "a b"):
        Path(folder).mkdir()
        for name in ("stylize.py", "tune_lr.py"):
            (Path(folder) / name).touch()
    monkeypatch.setattr("sys.argv", [started])
    assert (command("stylize"), command("tune-lr")) == (stylize, tune)


def test_a_message_stays_one_line_and_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(Console(stderr=True))
    message = "'[red]a[/red].png' " + "word " * 100
    logger.info(message)
    assert capsys.readouterr().err == f"{message}\n"


def test_setting_up_twice_does_not_log_twice(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        set_up_logging(Console(stderr=True))
    logger.warning("once")
    assert capsys.readouterr().err == "once\n"


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("warning", ["warned"]),
        ("DEBUG", ["traced", "told", "warned"]),
        ("loud", ["told", "warned"]),
        (None, ["told", "warned"]),
    ],
)
def test_the_log_level_comes_from_the_environment(
    capsys: pytest.CaptureFixture[str], level: str | None, shown: list[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if level is not None:
            patch.setenv("NEURAL_STYLE_LOG", level)
        set_up_logging(Console(stderr=True))
    logger.debug("traced")
    logger.info("told")
    logger.warning("warned")
    assert capsys.readouterr().err.split() == shown


def test_warnings_and_errors_stand_out_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(Console(stderr=True, force_terminal=True, color_system="standard"))
    logger.info("plain")
    logger.warning("careful")
    logger.error("error: none")
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["plain", "\x1b[1;33mcareful\x1b[0m", "\x1b[1;31merror: none\x1b[0m"]
