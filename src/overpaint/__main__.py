"""The command's process: `overpaint`, `python -m overpaint`, and the scripts of a checkout."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from overpaint.starting import begin
from overpaint.streams import keep_standard_streams

if TYPE_CHECKING:
    from overpaint.console import Task


def main(task: Task | None = None) -> NoReturn:
    """Runs the command of this process and ends it.

    Args:
        task: of a script that does one thing; by default the first word may name it.
    """
    begin()
    keep_standard_streams()
    from overpaint import cli  # takes half a second, in which Ctrl-C ends quietly already

    cli.main(task)


if __name__ == "__main__":
    main()
