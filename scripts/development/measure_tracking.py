#!/usr/bin/env python3
"""What tracking offline costs of a run's time, its snapshots included.

Two processes, one without and one with tracking, paint the same run in turns. A turn is a whole
run: opening and closing W&B, what it is told, every file. The first turn of each is not counted.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import tempfile
import time
from multiprocessing.connection import Connection

from benchmark import process, say

MODES = ("disabled", "offline")


def serve(connection: Connection, config_path: str, words: list[str]) -> None:
    """Paints when it is asked to, and answers with (seconds of the run, seconds of its steps)."""
    from overpaint.optimisation.memory import keep_freed_memory
    from overpaint.runs.stylize import stylize
    from overpaint.settings.reading import load_config

    keep_freed_memory()
    config = load_config(config_path, words)
    while connection.recv():
        gc.collect()  # Lightning's objects form rings, which would outlive their run
        began = time.perf_counter()
        result = stylize(config)
        connection.send((time.perf_counter() - began, result.step_seconds))


def shares(times: dict[str, list[float]]) -> list[float]:
    """Of each turn, what tracking adds, as a share of the time without it."""
    pairs = zip(times["offline"], times["disabled"], strict=True)
    return [tracked / untracked - 1 for tracked, untracked in pairs]


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings of the run")
    parser.add_argument("--config", default="configs/default.yaml", help="%(default)s")
    parser.add_argument("--size", type=int, default=256, metavar="PX", help="%(default)s")
    parser.add_argument("--repeats", type=int, default=5, help="turns (%(default)s)")
    parser.add_argument(
        "--timelapse", action="store_true", help="the tracked run makes its time-lapse, too"
    )
    arguments = parser.parse_intermixed_args()
    runs: dict[str, list[float]] = {mode: [] for mode in MODES}
    steps: dict[str, list[float]] = {mode: [] for mode in MODES}
    with tempfile.TemporaryDirectory() as folder:
        words = [*arguments.overrides, f"image.size={arguments.size}", f"output.dir={folder}"]
        given = [[*words, f"tracking.mode={mode}"] for mode in MODES]
        given[1].append(f"output.timelapse={str(arguments.timelapse).lower()}")
        with (
            process(serve, arguments.config, given[0]) as one,
            process(serve, arguments.config, given[1]) as other,
        ):
            for turn in range(arguments.repeats + 1):
                order = list(zip(MODES, (one, other), strict=True))
                for mode, worker in order if turn % 2 else reversed(order):
                    worker.send(True)
                    whole, fits = worker.recv()
                    if turn:
                        runs[mode].append(whole)
                        steps[mode].append(fits)
            for worker in (one, other):
                worker.send(False)
    for what, times in (("the whole run", runs), ("its steps", steps)):
        for mode in MODES:
            low, high = min(times[mode]), max(times[mode])
            say(f"{what}, {mode}: {statistics.median(times[mode]):.2f} s ({low:.2f} to {high:.2f})")
        added = shares(times)
        say(
            f"{what}: tracking adds {statistics.median(added):+.1%} "
            f"({min(added):+.1%} to {max(added):+.1%})"
        )


if __name__ == "__main__":
    main()
