"""What another process of a batch does: it paints one picture after the other, as it is told.

Ctrl-C and SIGTERM are for the process that started it, which tells it to stop. When that one is
gone, however it ended, this one ends at once, with all that it has started.
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import queue
import signal
import sys
import threading
import time
from typing import BinaryIO, NoReturn

from overpaint.building.shelf import Shelf, Siblings
from overpaint.console import log_to
from overpaint.exits import DONE, INTERRUPTED
from overpaint.headroom import share_memory
from overpaint.interrupts import Interrupts, followed_interrupts
from overpaint.optimisation.memory import keep_freed_memory
from overpaint.sweeps.several.messages import (
    Beginning,
    Mouth,
    Order,
    Picture,
    Progress,
    Ready,
    read_message,
)
from overpaint.sweeps.trials import run_trial

_EVERY = 0.2  # seconds between two messages of how far a picture is


class _Told:
    """Tells the other process how far a picture is, now and then."""

    def __init__(self, mouth: Mouth) -> None:
        self._mouth = mouth
        self._last = 0.0

    def show(self, share: float, told: str) -> None:
        now = time.monotonic()
        if now - self._last >= _EVERY or share >= 1:
            self._last = now
            self._mouth.put_nowait(Progress(share, told))


def paint_as_told(orders: BinaryIO, answers: BinaryIO) -> int:
    """Paints until there are no more pictures.

    Args:
        orders: a `Beginning`, then each `Picture` when the one before is done, or an `Order`.
        answers: takes log records, `Progress`, and what became of each picture.

    Returns:
        The exit status: 0, or 130 if it was told to stop.
    """
    beginning = read_message(orders)
    if not isinstance(beginning, Beginning):
        _end_at_once()
    sys.argv[:] = beginning.command
    share_memory(beginning.sharing)
    keep_freed_memory()
    mouth = Mouth(answers, _end_at_once)
    log_to(logging.handlers.QueueHandler(mouth))  # type: ignore[arg-type]  # it puts, no more
    logging.raiseExceptions = False  # as in the process that shows the lines
    siblings = Siblings(group=beginning.group, shelf=Shelf(), overall=_Told(mouth))
    pictures: queue.SimpleQueue[Picture | None] = queue.SimpleQueue()
    with followed_interrupts() as interrupts, interrupts.held():
        listener = threading.Thread(
            target=_listen, args=(orders, pictures, interrupts), name="overpaint-ear", daemon=True
        )
        listener.start()
        mouth.put_nowait(Ready())
        try:
            while not interrupts.asked and (picture := pictures.get()) is not None:
                with interrupts.raised():
                    outcome = run_trial(
                        picture.trial, picture.settings, console=None, siblings=siblings
                    )
                mouth.put_nowait(outcome)
        except KeyboardInterrupt:  # there was nothing to keep
            pass
        mouth.close()
    return INTERRUPTED if interrupts.asked else DONE


def _listen(
    orders: BinaryIO, pictures: queue.SimpleQueue[Picture | None], interrupts: Interrupts
) -> None:
    """Hands pictures on, and interrupts the main thread where it is to stop."""
    while (message := read_message(orders)) is not None:
        if isinstance(message, Picture):
            pictures.put(message)
            continue
        if message is Order.STOP and not interrupts.asked:
            _interrupt()
        pictures.put(None)
    _end_at_once()


def _interrupt() -> None:
    """What Ctrl-C does to the main thread."""
    main = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main is not None:
        signal.pthread_kill(main, signal.SIGINT)  # also ends its wait for something
    else:
        import _thread

        _thread.interrupt_main()


def _end_at_once() -> NoReturn:
    """Ends this process and those that it has started, for nobody waits for what they make."""
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(INTERRUPTED)
