from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from overpaint.errors import WriteError
from overpaint.streams import deliver, keep_standard_streams

Redirect = Callable[..., io.TextIOWrapper]


@pytest.fixture
def redirect(monkeypatch: pytest.MonkeyPatch) -> Iterator[Redirect]:
    """Puts a stream over a file descriptor in the place of standard output, and keeps it."""
    opened = []

    def over(number: int, *, encoding: str = "utf-8") -> io.TextIOWrapper:
        original = io.TextIOWrapper(io.FileIO(number, "w"), encoding=encoding)
        opened.append(original)
        monkeypatch.setattr(sys, "stdout", original)
        monkeypatch.setattr(sys, "stderr", sys.stderr)
        keep_standard_streams()
        assert isinstance(sys.stdout, io.TextIOWrapper)
        assert sys.stdout is not original
        return sys.stdout

    yield over
    for one in opened:
        one.close()


def test_what_can_be_written_is_written_whole_and_in_order(redirect: Redirect) -> None:
    reader, writer = os.pipe()
    stream = redirect(writer)
    stream.write("one\n")
    stream.write("two, 緑\n")
    stream.flush()
    assert os.read(reader, 100) == "one\ntwo, 緑\n".encode()
    os.close(reader)


def test_a_reader_who_has_gone_is_no_fault(redirect: Redirect) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    stream = redirect(writer)
    for _ in range(3):
        stream.write("dropped " * 5000)
        stream.flush()
    deliver("also dropped")


def test_what_an_encoding_has_no_characters_for_is_escaped(redirect: Redirect) -> None:
    reader, writer = os.pipe()
    stream = redirect(writer, encoding="ascii")
    stream.write("a 緑 \udce9\n")
    stream.flush()
    assert os.read(reader, 100) == b"a \\u7dd1 \\udce9\n"
    os.close(reader)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a disk that is always full")
def test_a_full_disk_costs_no_log_line_but_is_told_of_what_was_asked_for(
    redirect: Redirect,
) -> None:
    stream = redirect(os.open("/dev/full", os.O_WRONLY))
    stream.write("a log line\n")
    stream.flush()
    with pytest.raises(WriteError, match=r"standard output.*No space left"):
        deliver("settings\n")


@pytest.mark.skipif(os.name != "posix", reason="only POSIX has pipes that do not block")
def test_a_slow_reader_of_a_stream_that_does_not_block_gets_all(redirect: Redirect) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    stream = redirect(writer)
    got = []

    def read_slowly() -> None:
        time.sleep(0.05)
        while sum(map(len, got)) < 200_000:
            got.append(os.read(reader, 65536))

    thread = threading.Thread(target=read_slowly)
    thread.start()
    stream.write("x" * 200_000)
    stream.flush()
    thread.join(10)
    assert b"".join(got) == b"x" * 200_000
    os.close(reader)


@pytest.mark.skipif(os.name != "posix", reason="a shell of POSIX closes them")
def test_streams_closed_from_the_start_lead_nowhere_for_child_processes_as_well(
    tmp_path: Path,
) -> None:
    code = (
        "import os, subprocess, sys\n"
        "from overpaint.streams import keep_standard_streams\n"
        "keep_standard_streams()\n"
        "mine = open(sys.argv[1], 'w')\n"
        "sys.stdout.write('out'), sys.stderr.write('err')\n"
        "child = 'import os; [os.fstat(number) for number in (0, 1, 2)]; os.write(1, b\"x\")'\n"
        "done = subprocess.run([sys.executable, '-c', child])\n"
        "mine.write(f'{mine.fileno() > 2} {done.returncode}')"
    )
    told = tmp_path / "told"
    words = ["bash", "-c", '"$@" <&- >&- 2>&-', "bash", sys.executable, "-c", code, str(told)]
    assert subprocess.run(words, check=False).returncode == 0
    assert told.read_text() == "True 0"


def test_a_stream_of_some_other_kind_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = io.StringIO()
    monkeypatch.setattr(sys, "stdout", notebook)
    monkeypatch.setattr(sys, "stderr", notebook)
    keep_standard_streams()
    assert sys.stdout is notebook
    deliver("text")
    assert notebook.getvalue() == "text"
