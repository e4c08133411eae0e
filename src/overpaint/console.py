"""What the user sees in a terminal: log lines above a progress bar, and commands to type."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from pathlib import Path
from typing import Literal

from rich.console import Console

_STYLES = {logging.ERROR: "bold red", logging.WARNING: "bold yellow"}

Task = Literal["stylize", "tune-lr", "compare", "dashboard", "sweep", "batch", "film", "recolor"]

TASKS: dict[Task, str] = {
    "stylize": "stylize.py",
    "tune-lr": "tune_lr.py",
    "compare": "compare.py",
    "dashboard": "dashboard.py",
    "sweep": "sweep.py",
    "batch": "batch.py",
    "film": "film.py",
    "recolor": "recolor.py",
}
"""What the command can do, and the scripts of a checkout that do one thing each."""


def command(task: Task) -> str:
    """How the user types a command: by the script, the module or the name that was started.

    Args:
        task: what the command is to do.
    """
    started = Path(sys.argv[0])
    script = started.with_name(TASKS[task]) if started.name in TASKS.values() else None
    if script is not None and script.is_file():
        return f"python {shlex.quote(str(script))}"
    is_module = (started.parent.name, started.name) == ("overpaint", "__main__.py")
    start = "python -m overpaint" if is_module else "overpaint"
    return start if task == "stylize" else f"{start} {task}"


def set_up_logging(console: Console) -> None:
    """Shows the package's log lines on a console, from the level that NEURAL_STYLE_LOG names."""
    handler = _ConsoleHandler(console)
    handler.setFormatter(logging.Formatter("%(message)s"))
    log_to(handler)


def log_to(handler: logging.Handler) -> None:
    """Gives the package's log lines to a handler alone, from the level that is asked for."""
    root = logging.getLogger("overpaint")
    root.handlers = [handler]
    level = os.environ.get("NEURAL_STYLE_LOG", "INFO").upper()
    root.setLevel(level if isinstance(logging.getLevelName(level), int) else "INFO")
    root.propagate = False
    # It comes with Lightning, and tells of a home that it cannot write; no run needs that.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)


class _ConsoleHandler(logging.Handler):
    """Log lines on a Rich console, so that they pass above a progress bar; warnings stand out."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        style = next((style for level, style in _STYLES.items() if record.levelno >= level), None)
        line = self.format(record)
        self._console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)
