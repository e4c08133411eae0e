"""Lightning's fit with an end that suits a picture: Ctrl-C keeps it."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytorch_lightning as pl

logger = logging.getLogger(__name__)


def fit(trainer: pl.Trainer, module: pl.LightningModule, steps: int) -> bool:
    """Runs `steps` training steps.

    Returns:
        True if Ctrl-C ended them early; the module then holds the state of the last whole step.
    """
    try:
        with warnings.catch_warnings():
            # The frozen encoder is in evaluation mode on purpose.
            warnings.filterwarnings("ignore", message=r"Found \d+ module\(s\) in eval mode")
            trainer.fit(module, range(steps))
    except SystemExit as stop:  # how Lightning leaves after an interrupt
        if not isinstance(stop.__context__, KeyboardInterrupt):
            raise
        logger.warning("Interrupted; keeping the picture as it is.")
        return True
    return False


@contextmanager
def interrupt_handler_restored() -> Iterator[None]:
    """Switches Ctrl-C on again at the end; Lightning switches it off after the first one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
