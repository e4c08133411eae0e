#!/usr/bin/env python3
"""Compare pictures painted with the slim VGG-19 and with the full one: scores, time and memory.

Every photo is painted in the style of every painting with both networks and otherwise the same
settings. Each network has a process of its own; the two take turns, so that a noisy machine is
noisy for both. The full network judges all pictures: S is the distance in style, 1 for the photo
and 0 for the painting's statistics, C that in content, 0 for the photo
(`overpaint.losses.scoring`).
Memory is the most that a process held, less what it held before its first run, which is libraries.

The table is Markdown; numbers are also written as JSON with commit, versions and hardware.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import multiprocessing
import statistics
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overpaint.errors import ConfigError, WeightsError
from overpaint.records.environment import save_environment
from overpaint.settings.reading import load_config
from overpaint.words import part_words

# PyTorch is imported late: a process's peak memory counts from the size of the one that started it.
if TYPE_CHECKING:
    from overpaint.encoder.vgg import Vgg19Features
    from overpaint.settings.schema import Config

FULL, SLIM = ENCODERS = ("vgg19", "vgg19_slim")
Painted = tuple[str, float, int | None]


def warm_up(config: Config) -> int | None:
    """Paints two steps, so that later ones are not slowed; returns the process's memory before."""
    from overpaint.optimisation.device import choose_device
    from overpaint.optimisation.memory import keep_freed_memory, peak_memory_bytes
    from overpaint.runs.stylize import stylize

    keep_freed_memory()
    before = peak_memory_bytes(choose_device(config.trainer.accelerator))
    stylize(config)
    return before


def paint(config: Config) -> Painted:
    """The picture's file, the seconds a step, and the most memory that the process held."""
    from overpaint.runs.stylize import stylize

    result = stylize(config)
    picture = str(result.folder / "result.png")
    return picture, result.step_seconds / result.steps, result.peak_memory_bytes


def main() -> None:
    """Paints, scores, prints a table and writes JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings for both")
    parser.add_argument("--config", default="configs/default.yaml", help="%(default)s")
    parser.add_argument("--content", nargs="+", required=True, metavar="PHOTO")
    parser.add_argument("--style", nargs="+", required=True, metavar="PAINTING")
    parser.add_argument("--size", type=int, default=320, help="longer edge, px (%(default)s)")
    parser.add_argument("--full", default="auto", help="weights of VGG-19 (%(default)s)")
    parser.add_argument("--slim", default="auto", help="file of the slim network (the built-in)")
    parser.add_argument("--folder", type=Path, help="keep the pictures here")
    parser.add_argument("--output", type=Path, default=Path("encoders.json"), help="%(default)s")
    arguments = parser.parse_intermixed_args()
    contents, more = part_words(arguments.content)
    styles, yet_more = part_words(arguments.style)
    words = ["tracking.mode=disabled", "snapshots.every=0"]
    words += [*arguments.overrides, *more, *yet_more]
    pairs = [pair for pair in itertools.product(contents or [], styles or []) if len({*pair}) == 2]
    if not pairs:
        parser.error("--content and --style: a photo and another picture are needed")

    def settings(name: str, pair: tuple[str, str], folder: str, *last: str) -> Config:
        values = {
            "content.image": pair[0],
            "style.images": [pair[1]],
            "image.size": arguments.size,
            "encoder.name": name,
            "encoder.weights": arguments.full if name == FULL else arguments.slim,
            "output.dir": folder,
        }
        return load_config(arguments.config, [*words, *last], values=values)

    painted: dict[str, list[Painted]] = {name: [] for name in ENCODERS}
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        try:  # what is wrong shall be known now
            plan = [[settings(name, pair, folder) for name in ENCODERS] for pair in pairs]
            first = [settings(name, pairs[0], folder, "schedule.steps=2") for name in ENCODERS]
        except ConfigError as error:
            parser.error(str(error))
        spawn = multiprocessing.get_context("spawn")
        workers = [stack.enter_context(ProcessPoolExecutor(1, spawn)) for _ in ENCODERS]
        try:
            before = [
                worker.submit(warm_up, config).result()
                for worker, config in zip(workers, first, strict=True)
            ]
            encoder = judging_encoder(arguments.full)
        except WeightsError as error:
            sys.exit(f"error: {error}")
        for configs in plan:
            for name, worker, config in zip(ENCODERS, workers, configs, strict=True):
                painted[name].append(worker.submit(paint, config).result())
        rows = judged(encoder, pairs, painted, arguments.size)
        if arguments.folder:
            keep(pairs, painted, arguments.folder)
    total = summarised(rows, painted, dict(zip(ENCODERS, before, strict=True)))
    show(rows, total)
    facts = {"size": arguments.size, "overrides": words, "pairs": rows, "summary": total}
    save_environment(arguments.output, facts)
    say(f"Written: {arguments.output}")


def judging_encoder(source: str) -> Vgg19Features:
    """The full network, which must be had: nothing stands in for a judge."""
    from overpaint.encoder.layers import convolutions_up_to
    from overpaint.encoder.vgg import Vgg19Features
    from overpaint.encoder.weights import load_weights
    from overpaint.losses.scoring import SCORE_LAYERS

    weights = load_weights(source, convolutions_up_to(SCORE_LAYERS))
    return Vgg19Features(SCORE_LAYERS, weights.tensors)


def judged(
    encoder: Vgg19Features,
    pairs: list[tuple[str, str]],
    painted: dict[str, list[Painted]],
    size: int,
) -> list[dict[str, Any]]:
    """Scores and seconds per step of each pair, by encoder."""
    from overpaint.losses.scoring import Judge
    from overpaint.pictures.io import read_picture

    rows = []
    for index, (photo, painting) in enumerate(pairs):
        row: dict[str, Any] = {"content": Path(photo).stem, "style": Path(painting).stem}
        judge = Judge(encoder, read_picture(photo), read_picture(painting), size)
        for name in ENCODERS:
            file, seconds, _ = painted[name][index]
            scores = judge.score(read_picture(file))
            row[name] = {"S": scores.style, "C": scores.content, "seconds_per_step": seconds}
        rows.append(row)
    return rows


def summarised(
    rows: list[dict[str, Any]],
    painted: dict[str, list[Painted]],
    before: dict[str, int | None],
) -> dict[str, Any]:
    """Means of the scores, ratios of the times, and memory where it is known."""
    means = {
        name: {key: statistics.mean(row[name][key] for row in rows) for key in ("S", "C")}
        for name in ENCODERS
    }
    ratios = [row[SLIM]["seconds_per_step"] / row[FULL]["seconds_per_step"] for row in rows]
    memory = {
        name: max(peak for _, _, peak in painted[name] if peak is not None) - first
        for name, first in before.items()
        if first is not None
    }
    return {
        "mean": means,
        "S_ratio": means[SLIM]["S"] / means[FULL]["S"],
        "C_ratio": means[SLIM]["C"] / means[FULL]["C"],
        "step_ratio": {
            "median": statistics.median(ratios),
            "least": min(ratios),
            "most": max(ratios),
        },
        "memory_bytes": memory,
    }


def show(rows: list[dict[str, Any]], total: dict[str, Any]) -> None:
    """The table and what it comes to."""
    say("| photo | painting | S full | S slim | C full | C slim | s a step, full | slim |")
    say("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for row in rows:
        cells = [f"{row[name][key]:.3f}" for key in ("S", "C") for name in ENCODERS]
        cells += [f"{row[name]['seconds_per_step']:.3f}" for name in ENCODERS]
        say(f"| {row['content']} | {row['style']} | {' | '.join(cells)} |")
    mean, steps = total["mean"], total["step_ratio"]
    cells = [f"{mean[name][key]:.4f}" for key in ("S", "C") for name in ENCODERS]
    say(f"| mean | | {' | '.join(cells)} | | |")
    say(
        f"slim / full: S {total['S_ratio']:.2f}, C {total['C_ratio']:.2f}, "
        f"a step {steps['median']:.3f} ({steps['least']:.3f} to {steps['most']:.3f})"
    )
    if memory := total["memory_bytes"]:
        say(f"memory: {memory[SLIM] / 2**20:.0f} of {memory[FULL] / 2**20:.0f} MiB")


def keep(pairs: list[tuple[str, str]], painted: dict[str, list[Painted]], folder: Path) -> None:
    """Copies the pictures under names that tell them apart."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ENCODERS:
        for (photo, painting), (picture, _, _) in zip(pairs, painted[name], strict=True):
            target = folder / f"{Path(photo).stem}-{Path(painting).stem}-{name}.png"
            target.write_bytes(Path(picture).read_bytes())


def say(line: str) -> None:
    """Prints at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
