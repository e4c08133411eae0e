"""A start and an end of wandb's service that say nothing on the screen."""

from __future__ import annotations

import atexit
import contextlib
import functools
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from overpaint.tracking.patience import within

_OUTPUT, _ERROR = 1, 2


@contextmanager
def nothing_said() -> Iterator[None]:
    """Drops what this process and those that it starts write on standard output and error.

    wandb-core, the service, inherits both for its whole life, and writes there when it loses a
    connection or breaks; its own log is in the run's folder of wandb.
    """
    with contextlib.ExitStack() as stack:
        for descriptor in (_OUTPUT, _ERROR):
            stack.enter_context(_dropped(descriptor))
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        yield


@functools.cache
def end_quietly(seconds: float) -> None:
    """Ends wandb before its own hook does, which leaves a traceback where the service is dead.

    Args:
        seconds: after which the service is left to itself, for it may still be uploading.
    """

    def tear_down() -> None:
        import wandb

        with contextlib.suppress(BaseException), nothing_said():
            within(seconds, wandb.teardown)

    atexit.register(tear_down)


@contextmanager
def _dropped(descriptor: int) -> Iterator[None]:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):  # none, or closed
            stream.flush()
    try:
        kept = os.dup(descriptor)
    except OSError:  # closed: nobody listens, and nobody inherits it
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, descriptor)
        yield
    finally:
        os.dup2(kept, descriptor)
        os.close(kept)
        os.close(nowhere)
