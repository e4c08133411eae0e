"""What a step takes of memory and time, whole, in bands or by several processes, by the size.

Called by `benchmark.py --memory` and `--devices`. Each way at each size has a process of its own;
they take turns, so that a noisy machine is noisy for all. A turn is a run of `paint` at one size:
what stands in the table is the time of its steps and the most memory that the process held, targets
included, less what it held after its imports.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from multiprocessing.connection import Connection
from typing import Any

from overpaint.settings.reading import load_config

WAYS = {"plain": "trainer.memory=plain", "banded": "trainer.memory=banded"}
"""Name to setting; the others are compared with the first."""
Process = Callable[..., AbstractContextManager[Connection]]


def device_ways(numbers: Sequence[int]) -> dict[str, str]:
    """Like `WAYS`, for numbers of processes."""
    return {f"{number} dev.": f"trainer.devices={number}" for number in numbers}


def serve_memory(connection: Connection, way: str, config_path: str, words: list[str]) -> None:
    """A measuring process: is sent numbers of steps, answers; None ends it.

    Its answers are the seconds of a step, the most bytes held beyond the imports, and the pixels.
    """
    import psutil
    import torch

    from overpaint.optimisation.device import choose_device
    from overpaint.optimisation.memory import keep_freed_memory, peak_memory_bytes
    from overpaint.runs.paint import paint

    keep_freed_memory()  # as the command does
    config = load_config(config_path, words)
    device = choose_device(config.trainer.accelerator)
    torch.empty(1, device=device)
    before = int(psutil.Process().memory_info().rss) if device.type == "cpu" else 0
    while (steps := connection.recv()) is not None:
        result = paint(
            config.content.image,
            config.style.images,
            *words,
            way,
            f"schedule.steps={steps}",
            preset=config_path,
            progress=False,
        )
        peak = peak_memory_bytes(device)
        taken = None if peak is None else peak - before
        pixels = result.image.width * result.image.height
        connection.send((result.step_seconds / result.steps, taken, pixels))


def measure_memory(
    process: Process,
    size: int,
    config_path: str,
    words: Sequence[str],
    *,
    ways: Mapping[str, str],
    steps: int,
    repeats: int,
) -> dict[str, Any]:
    """All ways at one size; the first turn is a warm-up if there are several.

    Args:
        process: starts a measuring process.
        size: longer edge, pixels.
        config_path: of the settings.
        words: further settings.
        ways: name to setting, such as some of `WAYS`.
        steps: of a turn at 512 px; fewer at larger sizes.
        repeats: turns that count.
    """
    words = [*words, f"image.size={size}", "schedule.scales=[1.0]", "schedule.shares=[]"]
    words += (
        [] if any(w.startswith("trainer.compile=") for w in words) else ["trainer.compile=never"]
    )
    steps = max(1, round(steps * (512 / size) ** 2))
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    taken: dict[str, int | None] = dict.fromkeys(ways)
    pixels = 0
    with ExitStack() as stack:
        workers = {
            way: stack.enter_context(process(serve_memory, word, config_path, words))
            for way, word in ways.items()
        }
        for turn in range(repeats + (repeats > 1)):
            for way, worker in workers.items():
                worker.send(steps)
                time, taken[way], pixels = worker.recv()
                if turn or repeats == 1:
                    seconds[way].append(time)
        for worker in workers.values():
            worker.send(None)
    return {
        "size": size,
        "pixels": pixels,
        "steps": steps,
        "seconds_per_step": seconds,
        "bytes_taken": taken,
    }


def lines(row: dict[str, Any]) -> list[str]:
    """One block of the table."""
    found = [
        f"{row['size']} px, {row['pixels'] / 1e6:.2f} million pixels, {row['steps']} steps a turn"
    ]
    for way, values in row["seconds_per_step"].items():
        middle = statistics.median(values)
        line = f"  {way:6} {middle:7.2f} s a step ({min(values):.2f} to {max(values):.2f})"
        line += f"  {middle / row['pixels'] * 1e6:.3f} s a million pixels"
        if (taken := row["bytes_taken"][way]) is not None:
            line += f"  {taken / 1e6:6.0f} MB, {taken / row['pixels']:5.0f} bytes a pixel"
        first, plain = next(iter(row["seconds_per_step"].items()))
        if way != first:
            ratios = [a / b for a, b in zip(values, plain, strict=True)]
            line += f"  {statistics.median(ratios):.2f} of {first} "
            line += f"({min(ratios):.2f} to {max(ratios):.2f})"
        found.append(line)
    return found
