#!/usr/bin/env python3
"""Measure what a step costs, and how much of it is this project's own.

For each size, interleaved so that a noisy machine is noisy for all:

  floor    forward and backward of the truncated VGG-19 alone, in a plain loop
  loop     the same optimisation as the project's, in a plain PyTorch loop
  offline  this project through Lightning, with Weights & Biases offline
  off      this project through Lightning, tracking disabled

All four use the same precision and memory layout. The loop is Adam at a constant rate from the
photo; other optimisers are refused, for their ratios would compare different work. Each repeat runs
in the same process after a warm-up; the table shows the median and the quartiles of the seconds per
step, and ratios to the floor. Numbers are written as JSON with commit, versions and hardware.
Nothing is asserted.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from neural_style.assembly import build_objective, choose_precision, used_layers
from neural_style.cli import quiet_libraries
from neural_style.config import load_config
from neural_style.device import best_layout, choose_device, device_name, exact_cudnn
from neural_style.inputs import load_inputs
from neural_style.layers import LAYER_NAMES, convolutions_up_to, minimum_edge
from neural_style.record import save_environment
from neural_style.run import stylize
from neural_style.schema import Config
from neural_style.tensors import to_tensor
from neural_style.vgg import Vgg19Features
from neural_style.weights import load_weights

Step = Callable[[], None]


def synchronize(device: torch.device) -> None:
    """Waits until the device has done what it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_per_step(step: Step, steps: int, device: torch.device) -> float:
    """Times `steps` calls; the device is synchronised inside the timed region."""
    synchronize(device)
    began = time.perf_counter()
    for _ in range(steps):
        step()
    synchronize(device)
    return (time.perf_counter() - began) / steps


def plain_steps(config: Config, device: torch.device, precision: str) -> tuple[Step, Step]:
    """The floor's step and the plain loop's step, on the pictures of `config`."""
    layers = used_layers(config)
    weights = load_weights(config.encoder.weights, convolutions_up_to(layers))
    layout = best_layout(precision)
    encoder = Vgg19Features(layers, weights.tensors, pooling=config.encoder.pooling)
    encoder.to(device, memory_format=layout)
    inputs = load_inputs(
        config.content.image,
        config.style.images,
        long_edge=config.image.size,
        style_scale=config.style.scale,
        minimum_edge=minimum_edge(layers),
    ).at(config.image.size, style_scale=config.style.scale)
    content = to_tensor(inputs.content).to(device, memory_format=layout)
    styles = [to_tensor(style).to(device, memory_format=layout) for style in inputs.styles]
    enabled = precision == "bf16-mixed"
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=enabled)
    with torch.no_grad(), autocast:
        objective = build_objective(config, encoder, content, styles)
    deepest = max(layers, key=LAYER_NAMES.index)
    image = torch.nn.Parameter(content.clone())
    assert config.optimizer.lr is not None
    adam = torch.optim.Adam([image], lr=config.optimizer.lr)

    def floor() -> None:
        image.grad = None
        with autocast:
            features = encoder(image)[deepest]
        features.backward(torch.ones_like(features))

    def loop() -> None:
        adam.zero_grad()
        with autocast:
            total = objective(encoder(image)).total.sum()
        total.backward()
        adam.step()
        with torch.no_grad():
            image.clamp_(0, 1)

    return floor, loop


def project_seconds(config: Config) -> float:
    """Seconds per step of one run of the project, Lightning's start and end included."""
    result = stylize(config)
    return result.step_seconds / result.steps


def summary(values: list[float]) -> dict[str, float]:
    """Median and quartiles."""
    low, middle, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
    return {"median": middle, "q1": low, "q3": high}


def start_up_seconds(words: list[str], repeats: int) -> dict[str, float]:
    """How long the command takes for something that needs no picture."""
    values = []
    for _ in range(repeats):
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "scripts/stylize.py", *words], capture_output=True, check=False
        )
        values.append(time.perf_counter() - began)
    return summary(values)


def measure_size(
    size: int, base: list[str], config_path: str, steps: int, repeats: int, folder: Path
) -> dict[str, Any]:
    """All four at one size."""

    def settings(mode: str, count: int) -> Config:
        return load_config(
            config_path,
            [
                *base,
                f"image.size={size}",
                "schedule.scales=[1.0]",
                "schedule.shares=[]",
                f"schedule.steps={count}",
                "snapshots.every=0",
                f"tracking.mode={mode}",
                f"output.dir={folder}",
            ],
        )

    config = settings("disabled", steps)
    if config.optimizer.name != "adam":
        sys.exit(f"optimizer.name: {config.optimizer.name} cannot be measured, only adam.")
    device = choose_device(config.trainer.accelerator)
    precision = choose_precision(config, device)
    floor, loop = plain_steps(config, device, precision)
    for warm_up in (floor, loop):
        seconds_per_step(warm_up, 2, device)
    stylize(settings("disabled", 2))
    times: dict[str, list[float]] = {"floor": [], "loop": [], "off": [], "offline": []}
    for _ in range(repeats):
        with exact_cudnn(precision):
            times["floor"].append(seconds_per_step(floor, steps, device))
            times["loop"].append(seconds_per_step(loop, steps, device))
        times["off"].append(project_seconds(settings("disabled", steps)))
        times["offline"].append(project_seconds(settings("offline", steps)))
    ratios = {
        name: summary([a / b for a, b in zip(times[name], times["floor"], strict=True)])
        for name in ("loop", "off", "offline")
    }
    return {
        "size": size,
        "precision": precision,
        "device": device_name(device),
        "seconds_per_step": {name: summary(values) for name, values in times.items()},
        "ratio_to_floor": ratios,
    }


def main() -> None:
    """Measures, prints a table and writes JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings to measure")
    parser.add_argument("--config", default="configs/default.yaml", help="%(default)s")
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512, 1024], metavar="PX")
    parser.add_argument("--steps", type=int, default=20, help="per repeat (%(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="%(default)s")
    parser.add_argument("--output", type=Path, default=Path("benchmark.json"), help="%(default)s")
    arguments = parser.parse_intermixed_args()
    quiet_libraries()

    def say(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for size in arguments.sizes:
            results.append(
                measure_size(
                    size,
                    arguments.overrides,
                    arguments.config,
                    arguments.steps,
                    arguments.repeats,
                    Path(folder),
                )
            )
            row = results[-1]
            say(f"{size} px, {row['precision']} on {row['device']}")
            for name, value in row["seconds_per_step"].items():
                ratio = row["ratio_to_floor"].get(name)
                shown = (
                    f"  {ratio['median']:.3f} of the floor ({ratio['q1']:.3f} to {ratio['q3']:.3f})"
                    if ratio
                    else ""
                )
                say(
                    f"  {name:8} {value['median']:.4f} s a step "
                    f"({value['q1']:.4f} to {value['q3']:.4f}){shown}"
                )
    start_up = {
        name: start_up_seconds(words, arguments.repeats)
        for name, words in (("--help", ["--help"]), ("--print-config", ["--print-config"]))
    }
    for name, value in start_up.items():
        say(f"{name}: {value['median']:.2f} s")
    save_environment(
        arguments.output,
        {
            "steps": arguments.steps,
            "repeats": arguments.repeats,
            "results": results,
            "start_up_seconds": start_up,
        },
    )
    say(f"Written: {arguments.output}")


if __name__ == "__main__":
    main()
