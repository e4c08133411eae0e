"""Another process of a run, as a program: the first one starts it with its place."""

from __future__ import annotations

import os
import sys

from rich.console import Console

from overpaint.errors import LostProcessError
from overpaint.exits import DONE, FAILED, status_of
from overpaint.processes.places import place_from_text
from overpaint.processes.workers import end_with_the_first
from overpaint.runs.several.together import take_part


def main() -> None:
    """Takes part in the run until it is done, or its first process is gone."""
    end_with_the_first()
    accelerator, place = sys.argv[1:]

    def act(console: Console) -> int:
        try:
            take_part(place_from_text(place), accelerator)
        except LostProcessError:  # the first one says so
            return FAILED
        return DONE

    os._exit(status_of(act))  # what libraries would still clear away may wait for others


if __name__ == "__main__":
    main()
