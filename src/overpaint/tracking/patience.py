"""How long a run waits for a service, in all."""

from __future__ import annotations

import contextvars
import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class Patience:
    """A time that is spent on calls of a service, until none is left.

    Args:
        seconds: in all; infinite: as long as it takes.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.left_s = seconds

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Counts the time inside, which ends by itself."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.left_s = max(self.left_s - (time.monotonic() - began), 0.0)

    def spend(self, act: Callable[[], T], *, at_least: float = 0.0) -> T:
        """Does something that may wait, for as long as patience lasts.

        Args:
            act: goes on in a thread of its own when it takes longer, and nobody hears of it.
            at_least: seconds that it is given even where less is left.

        Raises:
            TimeoutError: if it takes longer.
            And whatever `act` raises.
        """
        limit = max(self.left_s, at_least)
        with self.counted():
            return within(limit, act)


def within(seconds: float, act: Callable[[], T]) -> T:
    """Does something in a thread that is left to itself when it takes too long.

    Args:
        seconds: if infinite, there is no thread.
        act: what to do.

    Raises:
        TimeoutError: if it does.
        And whatever `act` raises.
    """
    if math.isinf(seconds):
        return act()
    outcome: Future[T] = Future()
    surroundings = contextvars.copy_context()

    def work() -> None:
        try:
            outcome.set_result(surroundings.run(act))
        except BaseException as error:
            outcome.set_exception(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcome.done():
        raise TimeoutError(f"it took longer than {seconds:.0f} s")
    return outcome.result()
