"""`overpaint sweep`: a sweep of W&B's format, without W&B."""

from __future__ import annotations

import argparse
import importlib.util
import os
from pathlib import Path

from rich.console import Console

from overpaint.commands.parsing import Command, add_pictures, examples, new_parser
from overpaint.errors import ConfigError, MissingPackageError
from overpaint.exits import DONE, FAILED, INTERRUPTED
from overpaint.loading import uncollected
from overpaint.settings.shipped import find_sweep
from overpaint.starting import interrupts_quit
from overpaint.sweeps.folder import in_directory, more_runs, read_plan
from overpaint.sweeps.plan import Plan, plan_points
from overpaint.sweeps.reading import read_sweep
from overpaint.version import __version__
from overpaint.words import Given

_EXAMPLES = {
    "configs/sweeps/layers.yaml image.size=160 schedule.steps=40": "",
    "mine.yaml me.jpg painting.jpg --runs 12": "",
    "configs/sweeps/learning_rate.yaml tracking.mode=offline": "tracked trials, in one group",
    "--resume runs/SWEEP": "go on with a sweep that was stopped",
}

_TASK = """Run a sweep of Weights & Biases' format here, one trial after the other, without W&B.

The file's name, method, parameters, metric, early_terminate and run_cap count, and the key=value
words of its command; trials are not tracked unless tracking.mode is given here. Each trial is a run
in a folder of its own, and sweep.csv has their settings and final losses."""


def _make_parser() -> argparse.ArgumentParser:
    parser = new_parser(
        "sweep",
        _TASK,
        f"""{examples("sweep", _EXAMPLES)}
Exit status: 0 done, 1 a trial failed (the others are run), 2 bad settings or input, 130 after
Ctrl-C, 143 after SIGTERM (all trials are kept).""",
        usage="%(prog)s FILE.yaml [PHOTO [PAINTING ...]] [--runs N] [key=value ...]",
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="FILE PHOTO PAINTING key=value",
        help="the sweep's file, pictures, and settings of all trials",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="settings of all trials: a YAML file, or the name of a preset (by default what the "
        "sweep's command names)",
    )
    add_pictures(parser)
    parser.add_argument("--runs", metavar="N", help="trials at most, in the place of run_cap")
    parser.add_argument("--seed", metavar="N", help="of the points that are drawn by chance (0)")
    parser.add_argument(
        "--resume", metavar="SWEEP", help="go on with the sweep in this folder; --runs may grow"
    )
    parser.add_argument("--version", action="version", version=f"overpaint {__version__}")
    return parser


def _sweep(arguments: argparse.Namespace, console: Console) -> int:
    runs = _count("--runs", arguments.runs, least=1)
    seed = _count("--seed", arguments.seed, least=0)
    text, folder = "", None
    if arguments.resume is None:
        text, plan = _read(arguments, runs, seed or 0)
        directory = Path.cwd()
    else:
        named = (arguments.config, arguments.content, arguments.style, seed)
        if arguments.words or any(one is not None for one in named):
            raise ConfigError("--resume: the sweep has its file and settings; add --runs N alone.")
        folder = Path(os.path.expanduser(arguments.resume)).absolute()
        plan, directory = read_plan(folder)
        if runs is not None:
            plan = more_runs(folder, plan, runs)
    with in_directory(directory):
        with interrupts_quit():
            points = plan_points(plan)
        _require_extra(plan)
        with uncollected(), interrupts_quit():  # PyTorch takes seconds; errors need not wait
            from overpaint.optimisation.memory import keep_freed_memory
            from overpaint.sweeps.sweep import begin_sweep, run_sweep
        keep_freed_memory()
        if folder is None:
            folder = begin_sweep(plan, text)
        result = run_sweep(plan, points, folder, console=console)
    if result.interrupted:
        return INTERRUPTED
    return FAILED if any(one.has_failed for one in result.outcomes) else DONE


def _read(arguments: argparse.Namespace, runs: int | None, seed: int) -> tuple[str, Plan]:
    """The text of the sweep's file, and what is to be done."""
    if not arguments.words:
        raise ConfigError("name a sweep's file, such as configs/sweeps/layers.yaml.")
    file, *arguments.words = arguments.words
    path = find_sweep(file)
    try:
        text = path.read_text(encoding="utf-8")
        sweep = read_sweep(text, path.stem)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"'{file}': cannot be read ({error}).") from error
    except ConfigError as error:
        raise ConfigError([f"'{file}': {problem}" for problem in error.problems]) from error
    arguments.config = arguments.config or sweep.preset or "default"
    given = Given(arguments)
    return text, Plan(
        sweep,
        preset=arguments.config,
        words=tuple(given.settings),
        pictures=given.pictures,
        runs=runs,
        seed=seed,
    )


def _count(option: str, text: str | None, *, least: int) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) >= least):
        raise ConfigError(f"{option}: expected a whole number from {least} on, got '{text}'.")
    return int(text)


def _require_extra(plan: Plan) -> None:
    """Says how to get what a search needs.

    Raises:
        MissingPackageError: if it is not installed.
    """
    if plan.sweep.method == "bayes" and importlib.util.find_spec("optuna") is None:
        raise MissingPackageError("method: bayes needs Optuna: pip install 'overpaint[sweep]'")


SWEEP = Command(_make_parser, _sweep)
