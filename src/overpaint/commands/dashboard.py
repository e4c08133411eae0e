"""`overpaint dashboard`: a saved workspace at W&B, or a report on a group of runs."""

from __future__ import annotations

import argparse

from rich.console import Console

from overpaint.commands.parsing import Command, examples, new_parser
from overpaint.exits import DONE
from overpaint.settings.schema import PROJECT
from overpaint.starting import interrupts_quit
from overpaint.streams import deliver
from overpaint.version import __version__

_EXAMPLES = {
    "": "",
    "--report weights": "on the runs with tracking.group=weights",
    "--entity my-team --project portraits": "",
}

_TASK = """Make the dashboard of a project at Weights & Biases, or bring it up to date.

Its panels, in this order: snapshots by step and run, losses, losses of the layers, rate and change
of each step, settings against final losses and which of them matter, what differs between runs and
their results in one table, speed and memory. Made again, the same view gets what is new here and
loses what was changed by hand; save a copy there to keep changes. The address is printed."""


def _make_parser() -> argparse.ArgumentParser:
    parser = new_parser(
        "dashboard",
        _TASK,
        f"""{examples("dashboard", _EXAMPLES)}
It needs an API key (`wandb login`), a connection, and the extra overpaint[dashboard]. Exit status:
0 done, 1 failed, 130 after Ctrl-C, 143 after SIGTERM.""",
    )
    parser.add_argument(
        "--report",
        metavar="GROUP",
        help="instead a report on a group of runs: settings that differ, pictures side by side, "
        "curves",
    )
    parser.add_argument(
        "--project", metavar="NAME", help=f"by default WANDB_PROJECT, else {PROJECT}"
    )
    parser.add_argument(
        "--entity", metavar="NAME", help="user or team; by default WANDB_ENTITY, else the account's"
    )
    parser.add_argument("--version", action="version", version=f"overpaint {__version__}")
    return parser


def _make(arguments: argparse.Namespace, console: Console) -> int:
    with interrupts_quit():
        from overpaint.tracking.wandb.dashboard import save_dashboard
    address = save_dashboard(
        default_project=PROJECT,
        project=arguments.project,
        entity=arguments.entity,
        group=arguments.report,
    )
    deliver(f"{address}\n")
    return DONE


DASHBOARD = Command(_make_parser, _make)
