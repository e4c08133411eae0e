"""Imports of large libraries without the garbage collector, which finds nothing to free there."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Keeps the cyclic garbage collector out of a block that imports large libraries.

    Importing makes some 750 000 objects that stay until the process ends. The collector goes
    through them again and again as they become more, a quarter of the time of the imports, and
    finds a few dozen to free. After the block it is as it was before, but leaves out what there was
    by then: it belongs to the program. Reference counting, which frees nearly everything, goes on.

    It is meant for a command's own process: the objects of a caller would be left out as well.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()  # or the next collection would go through all of them after all
    finally:
        if was_enabled:
            gc.enable()
