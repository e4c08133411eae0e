"""What is written for terminals that show pictures, and nothing for all others."""

from __future__ import annotations

import base64
import builtins
import fcntl
import io
import os
import re
import struct
import termios
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PIL import Image
from rich.console import Console
from rich.progress import Progress

from overpaint.errors import MissingPackageError
from overpaint.pictures.terminal import LONG_EDGE, VARIABLE, Screen, TerminalPicture, find_screen

RED = Image.new("RGB", (320, 240), (255, 0, 0))
UNKNOWING = ("TMUX", "STY", "TERM_PROGRAM", "KITTY_PID", "KITTY_WINDOW_ID", "LC_TERMINAL")


class Pty:
    """A terminal of some size, and what is written to it."""

    def __init__(self) -> None:
        self._ours, theirs = os.openpty()
        # Rows, columns, and the pixels of both.
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 1000, 800))
        os.set_blocking(self._ours, False)
        self.file = os.fdopen(theirs, "w", encoding="utf-8")
        self._seen = ""

    def written(self) -> str:
        self.file.flush()
        try:
            while read := os.read(self._ours, 1 << 16):
                self._seen += read.decode()
        except BlockingIOError:
            pass
        return self._seen

    def close(self) -> None:
        self.file.close()
        os.close(self._ours)


class Reading(io.StringIO):
    """A terminal that takes any length at once."""

    def __init__(self, fileno: int) -> None:
        super().__init__()
        self._fileno = fileno

    def fileno(self) -> int:
        return self._fileno


@pytest.fixture
def pty() -> Iterator[Pty]:
    made = Pty()
    yield made
    made.close()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, pty: Pty) -> Callable[..., Console]:
    """A console on a terminal with some environment."""

    def make(**variables: str) -> Console:
        for name in (*UNKNOWING, VARIABLE, "TERM", "COLUMNS", "LINES", "KONSOLE_VERSION"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return Console(file=Reading(pty.file.fileno()), force_terminal=True, width=100, height=40)

    return make


def test_terminals_are_known_by_their_environment(terminal: Callable[..., Console]) -> None:
    for protocol, variables in (
        ("kitty", {"TERM": "xterm-kitty"}),
        ("kitty", {"TERM": "xterm-ghostty", "TERM_PROGRAM": "ghostty"}),
        ("iterm", {"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}),
        ("sixel", {"TERM": "foot"}),
        ("sixel", {"TERM": "mlterm"}),
        ("sixel", {"TERM": "xterm-256color", VARIABLE: "Sixel"}),
    ):
        screen = find_screen(terminal(**variables))
        assert screen == Screen(protocol, (10, 20)), variables  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"TERM": "dumb"},
        {"TERM": "unknown"},
        {"TERM": "linux", VARIABLE: "kitty"},
        {"TERM": "vt100"},
        {"TERM": "xterm-256color"},
        {"TERM": "xterm-256color", "TERM_PROGRAM": "Apple_Terminal"},
        {"TERM": "tmux-256color", "TMUX": "/tmp/a", "KITTY_PID": "3"},
        {"TERM": "xterm-kitty", "TMUX": "/tmp/a"},
        {"TERM": "xterm-kitty", "STY": "1.pts"},
        {"TERM": "screen.xterm-256color"},
        {"TERM": "xterm-kitty", VARIABLE: "none"},
        {"TERM": "xterm-kitty", VARIABLE: "kity"},
    ],
    ids=str,
)
def test_terminals_that_are_not_known_to_show_pictures_get_none(
    variables: dict[str, str], terminal: Callable[..., Console], pty: Pty
) -> None:
    assert find_screen(terminal(**variables)) is None
    assert pty.written() == ""  # nor is a question asked


def test_what_is_no_terminal_gets_none_whatever_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm-kitty")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    ours, theirs = os.pipe()
    with os.fdopen(theirs, "w") as pipe:
        assert find_screen(Console(file=pipe, force_terminal=True)) is None
    os.close(ours)
    assert find_screen(Console(file=io.StringIO(), force_terminal=True)) is None
    assert find_screen(None) is None


def test_without_chafa_it_says_what_to_install(
    terminal: Callable[..., Console], monkeypatch: pytest.MonkeyPatch
) -> None:
    console = terminal(TERM="xterm-kitty")
    importing = builtins.__import__

    def without(name: str, *arguments: Any) -> Any:
        if name == "chafa":
            raise OSError("libglib-2.0.so.0: cannot open shared object file")
        return importing(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingPackageError, match=r"pip install 'overpaint\[preview\]'"):
        find_screen(console)


def printed(picture: Image.Image, screen: Screen, **options: Any) -> str:
    console = Console(
        file=io.StringIO(), force_terminal=True, **{"width": 100, "height": 40, **options}
    )
    console.print(TerminalPicture(picture, screen), crop=False)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def parted(written: str) -> tuple[int, str]:
    """Rows of room, and the drawing; the cursor goes up by them and back to where it was."""
    found = re.fullmatch(r"(\n+)\x1b7\x1b\[(\d+)A(.*)\x1b8", written, re.DOTALL)
    assert found is not None, ascii(written[:80])
    assert len(found[1]) == int(found[2])
    return int(found[2]), found[3]


def test_kitty_gets_the_pixels_in_so_many_columns_and_rows() -> None:
    rows, drawing = parted(printed(RED, Screen("kitty", (10, 20))))
    assert rows == 18  # 480 x 360 pixels
    parts = re.findall(r"\x1b_G([^;\x1b]*)(?:;([^\x1b]*))?\x1b\\", drawing)
    assert "".join(f"\x1b_G{a}{b and ';'}{b}\x1b\\" for a, b in parts) == drawing
    assert all(len(data) <= 4096 for _, data in parts)
    keys = dict(one.split("=") for one in parts[0][0].split(","))
    assert (keys["a"], keys["c"], keys["r"]) == ("T", "48", "18")
    pixels = b"".join(base64.b64decode(data) for _, data in parts)
    assert len(pixels) == int(keys["s"]) * int(keys["v"]) * 4
    assert set(pixels[i : i + 4] for i in range(0, len(pixels), 4)) == {b"\xff\0\0\xff"}


def test_iterm_gets_a_file_in_so_many_columns_and_rows() -> None:
    rows, drawing = parted(printed(RED, Screen("iterm", (10, 20))))
    found = re.fullmatch(r"\x1b\]1337;File=([^:]*):([A-Za-z0-9+/=]+)\x07", drawing)
    assert found is not None
    given = dict(one.split("=") for one in found[1].split(";"))
    assert given["inline"] == "1"
    assert (given["width"], given["height"]) == ("48", str(rows))
    with Image.open(io.BytesIO(base64.b64decode(found[2]))) as picture:
        assert picture.convert("RGB").getpixel((5, 5)) == (255, 0, 0)


def test_sixel_gets_no_more_pixels_than_there_is_room_for() -> None:
    rows, drawing = parted(printed(RED, Screen("sixel", (10, 20))))
    found = re.match(r'\x1bP[\d;]*q"1;1;(\d+);(\d+)', drawing)
    assert found is not None
    assert drawing.endswith("\x1b\\")
    assert int(found[2]) <= rows * 20
    assert int(found[1]) <= LONG_EDGE
    assert re.search(r"#\d+;2;100;0;0", drawing)  # percent of red


@pytest.mark.parametrize("size", [(8000, 40), (40, 8000), (3, 2), (4000, 3000)])
@pytest.mark.parametrize("protocol", ["kitty", "iterm", "sixel"])
def test_no_picture_is_larger_than_the_terminal_or_costs_much(
    size: tuple[int, int], protocol: Any
) -> None:
    written = printed(Image.new("RGB", size), Screen(protocol, (10, 20)))
    if written:
        rows, drawing = parted(written)
        assert rows <= 20
        assert len(drawing) < 1_500_000


def test_a_terminal_of_a_few_lines_gets_none() -> None:
    assert printed(RED, Screen("kitty"), height=4) == ""


def test_a_picture_goes_above_the_bar_that_is_being_drawn() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100, height=40)
    with Progress(console=console, auto_refresh=False) as bar:
        task = bar.add_task("painting", total=2)
        bar.update(task, completed=1, refresh=True)
        console.print(TerminalPicture(RED, Screen("kitty", (10, 20))), crop=False)
    written = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b[2K" in written[: written.index("\x1b7")]  # the bar is taken away first
    assert "painting" in written[written.index("\x1b8") :]  # and drawn again behind it
