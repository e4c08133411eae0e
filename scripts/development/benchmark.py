#!/usr/bin/env python3
"""Measure what a step costs, how much of it is this project's own, and what a step buys.

For each size, each in a process of its own, taking turns so that a noisy machine is noisy for all:

  floor    forward and backward of VGG-19 up to the deepest layer, nothing else, in a plain loop
           (compiled where the others are)
  loop     the same optimisation as the project's, in a plain PyTorch loop
  off      this project through Lightning, tracking disabled
  offline  this project through Lightning, with Weights & Biases offline

All four use the same precision and memory layout. The loop is Adam at a constant rate from the
photo; other optimisers are refused, for their ratios would compare different work. A warm-up comes
first and is not counted; the table shows the median and the quartiles of the seconds per step, the
ratios to the floor within each turn, and the most memory that each process held in its warm-up.

Then start-up times, and one run whose pictures are scored every few steps: S is the mean over the
five style layers of |G(x) - G(a)|^2 / |G(p) - G(a)|^2, C is |F(x) - F(p)|^2 / |F(p)|^2 at relu4_2,
in float32, with x the picture, p the photo and a the painting. Numbers are written as JSON with
commit, versions and hardware. Nothing is asserted.

With `--memory` all that is left out, and a step is measured whole and in bands at each size: time,
memory, bytes a pixel (`memory_curve.py`, docs/large_pictures.md); with `--devices 1 2` by one and
by two processes, of which the first one's memory counts.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memory_curve import WAYS, device_ways, lines, measure_memory

from overpaint.records.environment import save_environment
from overpaint.settings.reading import load_config

# PyTorch is imported by the measuring processes alone: a process's peak memory counts from the size
# of the one that started it.
if TYPE_CHECKING:
    import torch

    from overpaint.settings.schema import Config

VARIANTS = ("floor", "loop", "off", "offline")
Step = Callable[[], object]


def plain_step(config: Config, name: str) -> tuple[Step, torch.device, str]:
    """One step of the floor or of the plain loop, on the pictures of `config`."""
    import torch

    from overpaint.building.encoder import build_encoder, choose_precision, used_layers
    from overpaint.building.objective import build_problem
    from overpaint.building.optimizer import build_scheduled_optimizer
    from overpaint.building.sources import read_sources
    from overpaint.encoder.layers import convolutions_up_to
    from overpaint.losses.objective import Objective
    from overpaint.optimisation.compiling import compile_for, is_compiling_wanted
    from overpaint.optimisation.device import autocast, best_layout, choose_device
    from overpaint.optimisation.step import evaluation, take_step

    device = choose_device(config.trainer.accelerator)
    precision = choose_precision(config, device)
    sources = read_sources(config)
    encoder = build_encoder(config, sources.weights, device, precision)
    with autocast(device, precision):
        problem = build_problem(config, sources.sized, encoder, precision)
    image, compiled = (
        problem.image,
        is_compiling_wanted(config.trainer.compile, device, config.schedule.steps),
    )

    if name == "floor":
        layout, table = best_layout(precision), convolutions_up_to(used_layers(config))
        modules: list[torch.nn.Module] = []
        for previous, layer in zip((None, *table), table, strict=False):
            if previous is not None and previous.block != layer.block:
                pool = torch.nn.MaxPool2d if config.encoder.pooling == "max" else torch.nn.AvgPool2d
                modules.append(pool(2))
            state = {
                kind: sources.weights.tensors[f"{layer.conv}.{kind}"] for kind in ("weight", "bias")
            }
            wide_out, wide_in = state["weight"].shape[:2]
            convolution = torch.nn.Conv2d(wide_in, wide_out, 3, padding=1)
            convolution.load_state_dict(state)
            modules += [convolution, torch.nn.ReLU(inplace=True)]
        network: Any = torch.nn.Sequential(*modules).requires_grad_(False)
        network = network.to(device, memory_format=layout)
        network = compile_for(device, network) if compiled else network

        def floor() -> None:
            image.grad = None
            with autocast(device, precision):
                features = network(image)
            features.backward(torch.ones_like(features))

        return floor, device, precision

    measure = compile_for(device, Objective.forward) if compiled else Objective.forward
    adam, _ = build_scheduled_optimizer(config, 0, image)  # the rate stays what it is at first

    def loss(picture: torch.Tensor) -> torch.Tensor:
        with autocast(device, precision):
            return measure(problem.objective, picture).total

    evaluate = evaluation(image, loss, problem.loss_scale)

    def loop() -> None:
        take_step(image, adam, evaluate)

    return loop, device, precision


def serve(connection: Connection, name: str, config_path: str, words: list[str]) -> None:
    """A measuring process: is sent numbers of steps, answers with seconds per step; None ends it.

    Its first answer, after a warm-up, tells the device, the precision and the peak memory.
    """
    from overpaint.building.encoder import choose_precision
    from overpaint.optimisation.device import choose_device, device_name, exact_cudnn
    from overpaint.optimisation.memory import keep_freed_memory, peak_memory_bytes
    from overpaint.runs.stylize import stylize

    def project_seconds(steps: int) -> float:
        mode = "disabled" if name == "off" else "offline"
        gc.collect()  # Lightning's objects form rings, which would outlive their run
        result = stylize(
            load_config(config_path, [*words, f"schedule.steps={steps}", f"tracking.mode={mode}"])
        )
        return result.step_seconds / result.steps

    if name in ("floor", "loop"):
        step, device, precision = plain_step(load_config(config_path, words), name)

        def plain_seconds(steps: int) -> float:
            with exact_cudnn(precision):
                synchronize(device)
                began = time.perf_counter()
                for _ in range(steps):
                    step()
                synchronize(device)
            return (time.perf_counter() - began) / steps

        seconds = plain_seconds
    else:
        keep_freed_memory()  # as the command does
        config = load_config(config_path, words)
        device = choose_device(config.trainer.accelerator)
        precision = choose_precision(config, device)
        seconds = project_seconds
    seconds(3)
    peak = peak_memory_bytes(device)
    connection.send(({"device": device_name(device), "precision": precision}, peak))
    while (steps := connection.recv()) is not None:
        connection.send(seconds(steps))


def synchronize(device: torch.device) -> None:
    """Waits until the device has done what it was asked for."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


@contextlib.contextmanager
def process(target: Callable[..., None], *arguments: Any) -> Iterator[Connection]:
    """A fresh Python process that runs `target` with the other end of a connection."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    child = context.Process(target=target, args=(there, *arguments), daemon=True)
    child.start()
    there.close()
    try:
        yield here
    except EOFError:
        sys.exit("A measuring process failed; its message is above.")
    finally:
        here.close()
        child.join(10)
        child.terminate()


def summary(values: list[float]) -> dict[str, float]:
    """Median and quartiles."""
    low, middle, high = (
        statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    )
    return {"median": middle, "q1": low, "q3": high}


def measure_size(size: int, config_path: str, words: list[str], arguments: Any) -> dict[str, Any]:
    """All variants at one size; as many steps as take the time of `--steps` at 512 px."""
    words = [*words, f"image.size={size}", "schedule.scales=[1.0]", "schedule.shares=[]"]
    words += ["snapshots.every=0"]
    if not any(word.startswith("trainer.compile=") for word in words):
        words += [f"trainer.compile={arguments.compile}"]
    steps = max(3, round(arguments.steps * (512 / size) ** 2))
    times: dict[str, list[float]] = {name: [] for name in VARIANTS}
    with contextlib.ExitStack() as stack:
        workers = {
            name: stack.enter_context(process(serve, name, config_path, words)) for name in VARIANTS
        }
        # All are warm before the first turn.
        facts, peaks = zip(*(worker.recv() for worker in workers.values()), strict=True)
        for _ in range(arguments.repeats):
            for name, worker in workers.items():
                worker.send(steps)
                times[name].append(worker.recv())
        for worker in workers.values():
            worker.send(None)
    return {
        "size": size,
        "steps": steps,
        **facts[0],
        "seconds_per_step": {name: summary(values) for name, values in times.items()},
        "ratio_to_floor": {
            name: summary([a / b for a, b in zip(times[name], times["floor"], strict=True)])
            for name in VARIANTS[1:]
        },
        "peak_memory_bytes": dict(zip(VARIANTS, peaks, strict=True)),
    }


def score_run(
    connection: Connection, config_path: str, words: list[str], every: int, folder: str
) -> None:
    """One run of the project, its pictures scored every few steps; sends rows (step, s, S, C)."""
    from overpaint.encoder.layers import convolutions_up_to
    from overpaint.encoder.vgg import Vgg19Features
    from overpaint.encoder.weights import load_weights
    from overpaint.losses.scoring import SCORE_LAYERS, Judge
    from overpaint.optimisation.memory import keep_freed_memory
    from overpaint.pictures.io import read_picture
    from overpaint.runs.stylize import stylize

    keep_freed_memory()
    config = load_config(
        config_path,
        [*words, f"snapshots.every={every}", "tracking.mode=disabled", f"output.dir={folder}"],
    )
    result = stylize(config)
    source = config.encoder.weights if config.encoder.name == "vgg19" else "auto"
    weights = load_weights(source, convolutions_up_to(SCORE_LAYERS))
    judge = Judge(
        Vgg19Features(SCORE_LAYERS, weights.tensors),
        read_picture(config.content.image),
        read_picture(config.style.images[0]),
        max(result.image.size),
    )
    rows = []
    for path in sorted((result.folder / "snapshots").glob("*.png")):
        step, picture = int(path.stem.rpartition("_")[2]), read_picture(path)
        if picture.size != result.image.size:  # of a smaller scale
            continue
        scores = judge.score(picture)
        seconds = step * result.step_seconds / result.steps
        rows.append((step, seconds, scores.style, scores.content))
    connection.send(rows)


def command_seconds(words: list[str], repeats: int) -> dict[str, float]:
    """How long the command takes."""
    values = []
    for _ in range(repeats):
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, str(Path(__file__).resolve().parents[1] / "stylize.py"), *words],
            stdout=subprocess.DEVNULL,
            env={**os.environ, "NEURAL_STYLE_LOG": "WARNING"},
            check=True,
        )
        values.append(time.perf_counter() - began)
    return summary(values)


def say(line: str) -> None:
    """Prints at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def show_size(row: dict[str, Any]) -> None:
    """One block of the table."""
    say(f"{row['size']} px, {row['precision']} on {row['device']}, {row['steps']} steps a turn")
    for name, value in row["seconds_per_step"].items():
        line = f"  {name:8} {value['median']:.4f} s a step ({value['q1']:.4f} to {value['q3']:.4f})"
        peak = row["peak_memory_bytes"][name]
        line += f"  {peak / 2**20:6.0f} MiB" if peak else ""
        if ratio := row["ratio_to_floor"].get(name):
            line += f"  {ratio['median']:.3f} of the floor ({ratio['q1']:.3f} to {ratio['q3']:.3f})"
        say(line)


def show_memory(arguments: argparse.Namespace, facts: dict[str, Any]) -> None:
    """The table of `--memory` or `--devices`, and its JSON."""
    ways = device_ways(arguments.devices) if arguments.devices else WAYS
    if arguments.banded_only:
        ways = {"banded": WAYS["banded"]}
    facts["results"] = []
    for size in arguments.sizes:
        row = measure_memory(
            process,
            size,
            arguments.config,
            arguments.overrides,
            ways=ways,
            steps=arguments.steps,
            repeats=arguments.repeats,
        )
        facts["results"].append(row)
        for line in lines(row):
            say(line)
        save_environment(arguments.output, facts)


def main() -> None:
    """Measures, prints tables and writes JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings to measure")
    parser.add_argument("--config", default="configs/default.yaml", help="%(default)s")
    parser.add_argument("--sizes", type=int, nargs="*", default=[256, 512, 1024], metavar="PX")
    parser.add_argument("--steps", type=int, default=20, help="a turn, at 512 px (%(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="turns (%(default)s)")
    parser.add_argument(
        "--until",
        type=float,
        nargs=2,
        default=(0.06, 0.42),
        metavar=("S", "C"),
        help="the scores whose time is asked for (%(default)s)",
    )
    parser.add_argument("--every", type=int, default=10, help="steps between scores; 0: no scores")
    parser.add_argument(
        "--compile",
        choices=("always", "never"),
        default="never",
        help="compile all variants, for GPUs; the time of compiling is not counted (%(default)s)",
    )
    parser.add_argument("--memory", action="store_true", help="whole and in bands, by size")
    parser.add_argument("--banded-only", action="store_true", help="with --memory")
    parser.add_argument(
        "--devices", type=int, nargs="+", metavar="N", help="by N processes each, likewise"
    )
    parser.add_argument("--output", type=Path, default=Path("benchmark.json"), help="%(default)s")
    arguments = parser.parse_intermixed_args()
    config = load_config(arguments.config, arguments.overrides)
    if config.optimizer.name != "adam":
        sys.exit(f"optimizer.name: {config.optimizer.name} cannot be measured, only adam.")
    if arguments.every and len(config.style.images) > 1:
        sys.exit("style.images: scores are for one painting; --every 0 measures without them.")
    facts: dict[str, Any] = {"overrides": arguments.overrides, "repeats": arguments.repeats}
    if arguments.memory or arguments.devices:
        show_memory(arguments, facts)
        return
    with tempfile.TemporaryDirectory() as folder:
        words = [*arguments.overrides, f"output.dir={folder}"]
        facts["results"] = []
        for size in arguments.sizes:
            facts["results"].append(measure_size(size, arguments.config, words, arguments))
            show_size(facts["results"][-1])
            save_environment(arguments.output, facts)  # what follows may fail; keep what there is
        one_step = ["image.size=64", "schedule.steps=1", "schedule.scales=[1.0]"]
        one_step += ["schedule.shares=[]", "tracking.mode=disabled"]
        facts["command_seconds"] = {
            name: command_seconds(["--config", arguments.config, *more, *words], arguments.repeats)
            for name, more in (
                ("--help", ["--help"]),
                ("--print-config", ["--print-config"]),
                ("one step at 64 px", one_step),
            )
        }
        for name, value in facts["command_seconds"].items():
            say(f"{name}: {value['median']:.2f} s ({value['q1']:.2f} to {value['q3']:.2f})")
        if arguments.every:
            with process(
                score_run, arguments.config, arguments.overrides, arguments.every, folder
            ) as worker:
                rows = worker.recv()
            facts["scores"] = [
                dict(zip(("step", "seconds", "S", "C"), row, strict=True)) for row in rows
            ]
            for step, seconds, style, content in rows:
                say(f"step {step:4}  {seconds:6.1f} s  S {style:.4f}  C {content:.4f}")
            s, c = arguments.until
            reached = next((row for row in rows if row[2] <= s and row[3] <= c), None)
            facts["until"] = {"S": s, "C": c, "reached": reached}
            say(
                f"S {s} and C {c}: "
                + (f"after {reached[0]} steps, {reached[1]:.1f} s" if reached else "not reached")
            )
    save_environment(arguments.output, facts)
    say(f"Written: {arguments.output}")


if __name__ == "__main__":
    main()
