from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from overpaint.exits import status_of
from overpaint.starting import interrupts_quit, interrupts_raise


def process(code: str) -> tuple[int, str, str]:
    """Status and output of Python code in a process of its own, `signal` and `begin` imported."""
    done = subprocess.run(
        [sys.executable, "-c", f"import signal\nfrom overpaint.starting import *\n{code}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_ctrl_c_ends_the_process_at_once_and_quietly() -> None:
    code = "begin()\ntry: signal.raise_signal(signal.SIGINT)\nfinally: print('went on')"
    assert process(code) == (130, "", "Interrupted.\n")


def test_what_is_told_of_it_may_be_lost() -> None:
    code = "import os\nbegin()\nos.close(2)\nsignal.raise_signal(signal.SIGINT)"
    assert process(code) == (130, "", "")


def test_ctrl_c_raises_where_there_may_be_something_to_keep_and_only_there() -> None:
    code = (
        "begin()\n"
        "with interrupts_raise():\n"
        "    try: signal.raise_signal(signal.SIGINT)\n"
        "    except KeyboardInterrupt: print('kept', flush=True)\n"
        "signal.raise_signal(signal.SIGINT)\n"
        "print('went on')"
    )
    assert process(code) == (130, "kept\n", "Interrupted.\n")


@pytest.mark.parametrize("status", [0, 1, 130])
def test_ctrl_c_after_the_end_does_not_change_the_status(status: int) -> None:
    code = f"begin()\nend({status})\nsignal.raise_signal(signal.SIGINT)\nprint('went on')"
    assert process(code) == (status, "", "")


def test_ctrl_c_while_python_winds_up_does_not_change_the_status() -> None:
    code = (
        "class Late:\n"
        "    def __del__(self, send=signal.raise_signal, number=signal.SIGINT): send(number)\n"
        "begin()\nend(0)\nlate = Late()\nimport sys\nsys.late = late"
    )
    assert process(code) == (0, "", "")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no terminals that hang up")
def test_a_terminal_that_is_closed_does_not_end_the_process() -> None:
    assert process("begin()\nsignal.raise_signal(signal.SIGHUP)\nprint('went on')") == (
        *(0, "went on\n", ""),
    )


def test_an_ignored_ctrl_c_stays_ignored() -> None:
    code = (
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\nbegin()\n"
        "for inside in (interrupts_raise, interrupts_quit):\n"
        "    with inside(): signal.raise_signal(signal.SIGINT)\n"
        "print('went on')"
    )
    assert process(code) == (0, "went on\n", "")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to send")
@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", -signal.SIGTERM)])
def test_further_imports_end_at_once_as_well(name: str, status: int) -> None:
    code = (
        "from overpaint.interrupts import sigterm_as_interrupt\n"
        "begin()\n"
        "with sigterm_as_interrupt(), interrupts_raise(), interrupts_quit():\n"
        f"    try: signal.raise_signal(signal.{name})\n"
        "    finally: print('went on')"
    )
    assert process(code)[:2] == (status, "")


def test_handlers_are_given_back() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    with interrupts_quit():
        assert signal.getsignal(signal.SIGINT) != before[0]
    with interrupts_raise():
        pass
    assert [signal.getsignal(number) for number in numbers] == before


def test_a_thread_leaves_handlers_alone() -> None:
    seen = []

    def look() -> None:
        with interrupts_raise(), interrupts_quit():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]


@pytest.mark.parametrize("link", ["cause", "context"])
def test_what_a_library_makes_of_an_interrupt_counts_as_one(
    capsys: pytest.CaptureFixture[str], link: str
) -> None:
    def act(console: object) -> int:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as interrupt:
            if link == "cause":
                raise ImportError("half a module") from interrupt
            raise ImportError("half a module")  # noqa: B904

    assert status_of(act) == 130
    assert capsys.readouterr().err == "Interrupted.\n"
