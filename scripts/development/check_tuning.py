#!/usr/bin/env python3
"""Check the search for a learning rate against a dense grid of rates.

For every pair of a photo and a painting and every file of settings, the search of tune_lr.py finds
a rate at its own small size; then the rate found and a grid of rates, from a first step of a
hundredth of a grey level to one from black to white, are all run at the full size and length, and
the losses of the finished pictures compared. Runs with the rate a hundred times too low and too
high show whether they warn. Last comes what batches are worth: trials of twelve rates
together and one after the other, taking turns.

The table is Markdown; numbers are also written as JSON with commit, versions and hardware.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from overpaint.building.sources import Sources, read_sources
from overpaint.errors import ConfigError, DivergedError
from overpaint.optimisation.memory import keep_freed_memory
from overpaint.records.environment import save_environment
from overpaint.runs.stylize import stylize
from overpaint.settings.reading import load_config
from overpaint.settings.schema import Config
from overpaint.tuning.search import spaced
from overpaint.tuning.tune import tune
from overpaint.tuning.workbench import Workbench, open_workbench
from overpaint.words import part_words


def main() -> None:
    """Searches, runs the grids, prints a table and writes JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings for all")
    parser.add_argument(
        "--config", nargs="+", default=["configs/default.yaml", "configs/paper.yaml"]
    )
    parser.add_argument("--content", nargs="+", required=True, metavar="PHOTO")
    parser.add_argument("--style", nargs="+", required=True, metavar="PAINTING", help="one each")
    parser.add_argument("--size", type=int, default=160, help="longer edge, px (%(default)s)")
    parser.add_argument("--steps", type=int, default=80, help="of a run (%(default)s)")
    parser.add_argument("--grid", type=int, default=25, help="rates in the grid (%(default)s)")
    parser.add_argument("--turns", type=int, default=5, help="of the timing (%(default)s)")
    parser.add_argument("--output", type=Path, default=Path("tuning.json"), help="%(default)s")
    arguments = parser.parse_intermixed_args()
    files, more = part_words(arguments.config)
    contents, yet_more = part_words(arguments.content)
    styles, still_more = part_words(arguments.style)
    words = [*arguments.overrides, *more, *yet_more, *still_more, "tracking.mode=disabled"]
    if len(contents or []) != len(styles or []):
        parser.error("--content and --style: as many paintings as photos are needed")
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        shared = {
            "image.size": arguments.size,
            "schedule.steps": arguments.steps,
            "snapshots.every": 0,
            "snapshots.steps": [],
            "output.dir": folder,
            "optimizer.lr": 1.0,
        }
        try:
            plan = [
                load_config(
                    file,
                    words,
                    values={**shared, "content.image": photo, "style.images": [style]},
                    task="tune",
                )
                for file in files or []
                for photo, style in zip(contents or [], styles or [], strict=True)
            ]
        except ConfigError as error:
            parser.error(str(error))
        rows = []
        say("| losses | optimiser | photo | painting | found | in s | loss | best of grid | at |")
        say("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
        for config in plan:
            sources = read_sources(config)
            rows.append(checked(config, sources, arguments.grid))
            show(rows[-1])
        speed = timed(open_workbench(config, sources), arguments.turns)
    worst = max(row["loss"] / row["best"]["loss"] for row in rows)
    say(f"At worst {worst:.3f} times the least loss of its grid.")
    say(
        f"Rates a minute, 20 steps: {speed['together']:.1f} together, {speed['alone']:.1f} alone; "
        f"ratio {speed['ratio']:.2f} ({speed['least']:.2f} to {speed['most']:.2f})"
    )
    facts = {"overrides": words, "rows": rows, "speed": speed}
    save_environment(arguments.output, facts)
    say(f"Written: {arguments.output}")


def checked(config: Config, sources: Sources, count: int) -> dict[str, Any]:
    """What the search finds for one run, and how the grid does."""
    found = tune(config)
    rate = found.trial.rate
    full = replace(config, tune=replace(config.tune, size=config.image.size))
    bench = open_workbench(full, sources)
    rates = spaced(*bench.rates_by_length(), count)
    grid = bench.try_rates(rates, config.schedule.steps)
    (own,) = bench.try_rates([rate], config.schedule.steps)
    usable = [one for one in grid if one.is_usable]
    best = min(usable, key=lambda one: one.losses[-1])
    return {
        "normalization": config.loss.normalization,
        "optimizer": config.optimizer.name,
        "content": Path(config.content.image).stem,
        "style": Path(config.style.images[0]).stem,
        "rate": rate,
        "seconds": round(found.seconds, 1),
        "loss": own.losses[-1],
        "best": {"rate": best.rate, "loss": best.losses[-1]},
        "grid": [
            {
                "rate": one.rate,
                "loss": one.losses[-1] if math.isfinite(one.losses[-1]) else None,
                "usable": one.is_usable,
            }
            for one in grid
        ],
        "warned": {f"{factor:g}": warnings_at(config, rate * factor) for factor in (0.01, 1, 100)},
    }


def warnings_at(config: Config, rate: float) -> list[str]:
    """What a real run at a rate says of it."""
    try:
        result = stylize(replace(config, optimizer=replace(config.optimizer, lr=rate)))
    except DivergedError as error:
        return [f"stopped: {error}"]
    return [f"{one.kind} at step {one.step}" for one in result.warnings]


def show(row: dict[str, Any]) -> None:
    """One line of the table."""
    best = row["best"]
    say(
        f"| {row['normalization']} | {row['optimizer']} | {row['content']} | {row['style']} "
        f"| {row['rate']:.3g} | {row['seconds']:.0f} | {row['loss']:.4g} "
        f"| {best['loss']:.4g} | {best['rate']:.3g} |"
    )
    for factor, messages in row["warned"].items():
        say(f"    {factor} times the rate: {'; '.join(messages) or 'no warning'}")


def timed(bench: Workbench, turns: int) -> dict[str, float]:
    """How many rates a minute, over 20 steps, trials compare together and one at a time."""
    rates = spaced(*bench.rates_by_length(), 12)
    steps = 2
    bench.try_rates(rates, 1)
    bench.try_rates(rates[:1], 1)
    together, alone = [], []
    for _ in range(turns):
        began = time.perf_counter()
        bench.try_rates(rates, steps)
        together.append(time.perf_counter() - began)
        began = time.perf_counter()
        for rate in rates:
            bench.try_rates([rate], steps)
        alone.append(time.perf_counter() - began)
    ratios = [one / both for one, both in zip(alone, together, strict=True)]
    minute = 60 * len(rates) * steps / 20
    return {
        "together": minute / statistics.median(together),
        "alone": minute / statistics.median(alone),
        "ratio": statistics.median(ratios),
        "least": min(ratios),
        "most": max(ratios),
    }


def say(line: str) -> None:
    """Prints at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
