"""How a command ends: a message, and an exit status."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from rich.console import Console

from overpaint.console import set_up_logging
from overpaint.errors import (
    CheckpointError,
    ConfigError,
    DivergedError,
    ImageError,
    LostProcessError,
    MissingPackageError,
    NotEnoughMemoryError,
    TrackingError,
    WeightsError,
    WeightsUnavailableError,
    brief,
)
from overpaint.headroom import is_out_of_memory
from overpaint.interrupts import sigterm_as_interrupt
from overpaint.starting import end, interrupts_raise

logger = logging.getLogger(__name__)

DONE, FAILED, BAD_INPUT, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143

_FAILURES = (
    *(DivergedError, LostProcessError, MissingPackageError, NotEnoughMemoryError),
    *(TrackingError, WeightsUnavailableError, OSError),
)


def status_of(act: Callable[[Console], int]) -> int:
    """Does something and turns what it raises into a message and an exit status.

    Args:
        act: is given a console on standard error, where log lines go too.

    Returns:
        What `act` returns, or 1 failed, 2 bad settings or input, 130 interrupted, 143 interrupted
        by SIGTERM.
    """
    console = Console(stderr=True)
    set_up_logging(console)
    with sigterm_as_interrupt() as received:
        status = _status_by_outcome(act, console)
    return TERMINATED if status == INTERRUPTED and received else status


def _status_by_outcome(act: Callable[[Console], int], console: Console) -> int:
    try:
        with interrupts_raise():
            return act(console)
    except _FAILURES as error:
        logger.error("error: %s", error)
        return FAILED
    except (CheckpointError, ConfigError, ImageError, WeightsError) as error:
        for line in str(error).splitlines():
            logger.error("error: %s", line)
        return BAD_INPUT
    except KeyboardInterrupt:
        logger.error("Interrupted.")
        return INTERRUPTED
    except Exception as error:
        if is_out_of_memory(error):
            logger.error("error: out of memory (%s).", brief(error))
            return FAILED
        if _is_of_interrupt(error):
            logger.error("Interrupted.")
            return INTERRUPTED
        logger.exception("error: this should not have happened")
        return FAILED


def _is_of_interrupt(error: BaseException) -> bool:
    """Whether it is what some library made of a KeyboardInterrupt that passed through it."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, KeyboardInterrupt):
        seen = seen.__cause__ or seen.__context__
    return seen is not None


def leave(status: int) -> NoReturn:
    """Ends the process with an exit status.

    After an interrupt it does so at once: all is kept by then, and what other libraries would still
    wait for, such as an upload, is what the user has no patience for.

    143 is what a shell shows for a process that SIGTERM ended, so that is how it ends. `wandb
    agent`, which stops runs by SIGTERM, would take an exit status above 0 for a failure, and it
    gives up when too many runs fail.
    """
    if status == TERMINATED:
        sys.stdout.flush()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTERM)
    if status == INTERRUPTED:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    end(status)
    sys.exit(status)
