"""Another process of a batch, as a program; the process of the batch starts it and talks to it."""

from __future__ import annotations

import os
import signal
import sys
from typing import BinaryIO

from overpaint.exits import INTERRUPTED
from overpaint.loading import uncollected


def main() -> None:
    """Paints what it is told to, until there is no more, or the process of the batch is gone."""
    orders, answers = _taken_streams()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell had it ignored
    if hasattr(signal, "pthread_sigmask"):
        # A cluster sends it to all processes; the first one passes it on. Lightning would take it
        # from whoever ignores it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    with uncollected():
        from overpaint.sweeps.several.painting import paint_as_told
    status = paint_as_told(orders, answers)
    if status == INTERRUPTED:
        os._exit(status)  # all is kept by then
    sys.exit(status)


def _taken_streams() -> tuple[BinaryIO, BinaryIO]:
    """Standard input and output for messages alone: what libraries print goes to the errors."""
    orders, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return orders, answers


if __name__ == "__main__":
    main()
