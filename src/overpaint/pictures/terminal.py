"""Pictures in a terminal, by the protocols of kitty, iTerm2 and sixel, as Chafa writes them.

What a terminal can show is known from the environment alone: it is asked nothing, for one that
does not answer would be waited for, and an answer that comes late is typed into the next program.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, get_args

from PIL import Image
from rich.console import Console, ConsoleOptions, RenderResult
from rich.control import Control
from rich.segment import ControlType, Segment

from overpaint.errors import MissingPackageError
from overpaint.pictures.io import fit_size, resize, size_of

VARIABLE = "NEURAL_STYLE_PREVIEW"
"""Names the protocol, or `none`, in the place of what the environment says."""

Protocol = Literal["kitty", "iterm", "sixel"]

LONG_EDGE = 480
"""Pixels that are sent at most; there are hundreds of bytes for each hundred of them."""
_COLUMNS, _ROWS = 72, 20  # at most
_CELL = (8, 16)  # width and height in pixels, where a terminal does not say; few are smaller
_UNTOUCHED = [(ControlType.CURSOR_FORWARD, 0)]  # by Rich, which measures and cuts text


@dataclass(frozen=True)
class Screen:
    """A terminal that shows pictures."""

    protocol: Protocol
    cell: tuple[int, int] = _CELL
    """Width and height of a character, in pixels."""


def find_screen(console: Console | None) -> Screen | None:
    """The terminal behind a console, if it is known to show pictures.

    Args:
        console: that log lines go to. A pipe, a file, a notebook and a terminal inside tmux or
            screen, which take such pictures for text, show none.

    Raises:
        MissingPackageError: if there is a terminal and no Chafa, which would know.
    """
    if console is None or console.is_jupyter or console.is_dumb_terminal:
        return None
    terminal = os.environ.get("TERM", "")
    if not _is_terminal(console) or {"TMUX", "STY"} & os.environ.keys() or not terminal:
        return None
    if terminal.startswith(("screen", "tmux", "linux")):
        return None
    named = os.environ.get(VARIABLE, "").lower()
    if named and named not in get_args(Protocol):
        return None
    chafa = _chafa()
    protocol: Any = named or _known_protocol(chafa)
    return None if protocol is None else Screen(protocol, _cell_size(console))


def _is_terminal(console: Console) -> bool:
    """Whether there is one, whatever FORCE_COLOR says."""
    try:
        return os.isatty(console.file.fileno())
    except (OSError, ValueError, AttributeError):
        return False


def _known_protocol(chafa: Any) -> Protocol | None:
    known = chafa.TermDb().detect()
    sequences: dict[Protocol, Any] = {
        "kitty": chafa.TermSeq.CHAFA_TERM_SEQ_BEGIN_KITTY_IMMEDIATE_IMAGE_V1,
        "iterm": chafa.TermSeq.CHAFA_TERM_SEQ_BEGIN_ITERM2_IMAGE,
        "sixel": chafa.TermSeq.CHAFA_TERM_SEQ_BEGIN_SIXELS,
    }
    return next((name for name, one in sequences.items() if known.have_seq(one)), None)


def _chafa() -> Any:
    try:
        import chafa
    except Exception as error:  # it looks for libraries of the system
        raise MissingPackageError(
            "the terminal shows no pictures without Chafa: pip install 'overpaint[preview]'"
        ) from error
    return chafa


def _cell_size(console: Console) -> tuple[int, int]:
    with suppress(ImportError, OSError, ValueError, AttributeError, ZeroDivisionError):
        import fcntl  # not on Windows
        import termios

        answer = fcntl.ioctl(console.file.fileno(), termios.TIOCGWINSZ, bytes(8))
        rows, columns, width, height = struct.unpack("HHHH", answer)
        if width // columns and height // rows:
            return width // columns, height // rows
    return _CELL


class TerminalPicture:
    """What Rich prints of a picture; above a progress bar, it stays where it is.

    Args:
        picture: of mode RGB.
        screen: that shows it.
    """

    def __init__(self, picture: Image.Image, screen: Screen) -> None:
        self._picture = picture
        self._screen = screen

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Makes room, goes up, draws, and comes back: where a drawing ends, terminals differ."""
        columns, rows = self._cells(console)
        if rows < 1 or columns < 1:
            return
        yield from [Segment.line()] * rows
        yield Segment("\x1b7", control=_UNTOUCHED)
        yield Control.move(0, -rows)
        yield Segment(self._drawn(columns, rows), control=_UNTOUCHED)
        yield Segment("\x1b8", control=_UNTOUCHED)

    def _cells(self, console: Console) -> tuple[int, int]:
        """Columns and rows, in the aspect of the picture."""
        width, height = self._screen.cell
        room = (
            min(_COLUMNS, console.width - 1) * width,
            min(_ROWS, console.height - 4) * height,  # above a bar, and the line of the step
        )
        scale = min(
            *(most / edge for most, edge in zip(room, self._picture.size, strict=True)),
            LONG_EDGE / max(self._picture.size),
        )
        shown = [edge * scale for edge in self._picture.size]
        return max(0, round(shown[0] / width)), max(0, int(shown[1] / height))

    def _drawn(self, columns: int, rows: int) -> str:
        chafa = _chafa()
        modes = {
            "kitty": chafa.PixelMode.CHAFA_PIXEL_MODE_KITTY,
            "iterm": chafa.PixelMode.CHAFA_PIXEL_MODE_ITERM2,
            "sixel": chafa.PixelMode.CHAFA_PIXEL_MODE_SIXELS,
        }
        picture = self._picture
        if max(picture.size) > LONG_EDGE:
            picture = resize(picture, fit_size(size_of(picture), LONG_EDGE))
        config = chafa.CanvasConfig()
        config.pixel_mode = modes[self._screen.protocol]
        config.width, config.height = columns, rows
        config.cell_width, config.cell_height = self._screen.cell
        canvas = chafa.Canvas(config)
        canvas.draw_all_pixels(
            chafa.PixelType.CHAFA_PIXEL_RGB8,
            picture.tobytes(),
            *picture.size,
            3 * picture.width,
        )
        return str(canvas.print(fallback=True).decode("ascii"))
