from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys

import pytest
from rich.console import Console

from overpaint.errors import (
    ConfigError,
    DivergedError,
    ImageError,
    TrackingError,
    WeightsError,
    WeightsUnavailableError,
)
from overpaint.exits import leave, status_of


def raises(error: BaseException) -> int:
    """The status of something that raises."""

    def act(console: Console) -> int:
        raise error

    return status_of(act)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConfigError("trainer.accelerator: none here"), 2),
        (ImageError("'a.png': none here"), 2),
        (WeightsError("'a.pth': none here"), 2),
        (WeightsUnavailableError("no connection: none here"), 1),
        (DivergedError("the loss is nan: none here"), 1),
        (TrackingError("no connection: none here"), 1),
        (OSError(28, "none here"), 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_a_known_failure_is_one_line(
    capsys: pytest.CaptureFixture[str], error: Exception, status: int
) -> None:
    assert raises(error) == status
    assert capsys.readouterr() == ("", f"error: {error}\n")


def test_each_fault_of_the_settings_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert raises(ConfigError(["seed: bad", "style.weight: [worse]"])) == 2
    assert capsys.readouterr().err == "error: seed: bad\nerror: style.weight: [worse]\n"


def test_an_unforeseen_failure_shows_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert raises(RuntimeError("a bug")) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: this should not have happened\nTraceback ")
    assert err.endswith("RuntimeError: a bug\n")


def test_ctrl_c_exits_with_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert raises(KeyboardInterrupt()) == 130
    assert capsys.readouterr() == ("", "Interrupted.\n")


def test_sigterm_exits_with_143_and_its_handler_is_given_back(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def act(console: Console) -> int:
        signal.raise_signal(signal.SIGTERM)
        return 0

    handler = signal.getsignal(signal.SIGTERM)
    assert status_of(act) == 143
    assert capsys.readouterr() == ("", "Interrupted.\n")
    assert signal.getsignal(signal.SIGTERM) is handler


@pytest.mark.parametrize(
    ("outcome", "status"), [(0, 0), (1, 1), (130, 143)], ids=["done", "failed", "picture kept"]
)
def test_sigterm_counts_only_where_it_cut_something_short(outcome: int, status: int) -> None:
    def act(console: Console) -> int:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        return outcome

    assert status_of(act) == status


def test_what_is_done_may_draw_and_log_on_one_console(capsys: pytest.CaptureFixture[str]) -> None:
    def act(console: Console) -> int:
        console.print("drawn")
        logging.getLogger("overpaint.somewhere").info("logged")
        return 0

    assert status_of(act) == 0
    assert capsys.readouterr() == ("", "drawn\nlogged\n")


@pytest.mark.parametrize("status", [0, 1, 2])
def test_a_process_leaves_with_its_status(status: int) -> None:
    with pytest.raises(SystemExit) as left:
        leave(status)
    assert left.value.code == status


def test_an_interrupted_process_waits_for_nobody_and_loses_no_output() -> None:
    code = (
        "import atexit, sys, time; from overpaint.exits import leave; "
        "atexit.register(time.sleep, 3600); sys.stdout.write('out'); leave(130)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": ""},  # as it mostly is
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (130, b"out")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signal to end by")
def test_a_process_that_sigterm_cut_short_ends_by_it_and_loses_no_output() -> None:
    code = "import sys; from overpaint.exits import leave; sys.stdout.write('out'); leave(143)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": ""},  # as it mostly is
        check=False,
    )
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, b"out")


def test_a_run_that_sigterm_ended_ends_its_process_by_the_signal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raised: list[object] = []
    monkeypatch.setattr(signal, "signal", lambda *given: raised.append(given))
    monkeypatch.setattr(signal, "raise_signal", raised.append)
    with pytest.raises(SystemExit) as ended:
        leave(143)
    assert raised == [(signal.SIGTERM, signal.SIG_DFL), signal.SIGTERM]
    assert ended.value.code == 143
    raised.clear()
    with pytest.raises(SystemExit):
        leave(0)
    assert raised == []
