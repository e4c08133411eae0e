"""What the scripts call: settings in, exit status out."""

from __future__ import annotations

import ctypes
import logging
import math
import os
import re
import shlex
import signal
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from rich import box
from rich.console import Console
from rich.table import Table

from overpaint.errors import ConfigError, DivergedError, ImageError, TrackingError, WeightsError
from overpaint.files import write_text
from overpaint.interrupts import sigterm_as_interrupt
from overpaint.settings.reading import load_config
from overpaint.settings.schema import Config
from overpaint.settings.writing import to_preset, to_yaml
from overpaint.tuning.search import Outcome, grey_levels

logger = logging.getLogger(__name__)

_SETTING = re.compile(r"[a-z_]+(\.\w+)*=")

_STYLES = {logging.ERROR: "bold red", logging.WARNING: "bold yellow"}

DONE, FAILED, BAD_INPUT, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143


class _ConsoleHandler(logging.Handler):
    """Log lines on a Rich console, so that they pass above a progress bar; warnings stand out."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        style = next((style for level, style in _STYLES.items() if record.levelno >= level), None)
        line = self.format(record)
        self._console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)


def main(
    config_path: str,
    overrides: Sequence[str] = (),
    *,
    values: Mapping[str, Any] | None = None,
    print_config: bool = False,
) -> int:
    """Runs one style transfer and turns its outcome into an exit status.

    Args:
        config_path: a YAML file.
        overrides: `key=value` strings.
        values: dotted key to value, for settings that came as options of their own.
        print_config: print the resolved settings on standard output instead of running.

    Returns:
        0 done, 1 failed, 2 bad settings or input, 130 interrupted, 143 interrupted by SIGTERM.
    """

    def act(console: Console) -> int:
        config = load_config(config_path, overrides, values=values)
        if print_config:
            sys.stdout.write(to_yaml(config))
            return DONE
        from overpaint.runs.stylize import stylize  # PyTorch takes seconds; errors need not wait

        quiet_libraries()
        keep_freed_memory()
        return INTERRUPTED if stylize(config, console=console).interrupted else DONE

    return _status_of(act)


def tune_main(
    config_path: str,
    overrides: Sequence[str] = (),
    *,
    values: Mapping[str, Any] | None = None,
    write: str | None = None,
    study: bool = False,
) -> int:
    """Looks for a learning rate, prints what it found, and turns the outcome into an exit status.

    Args:
        config_path: a YAML file.
        overrides: `key=value` strings.
        values: dotted key to value, for settings that came as options of their own.
        write: a new YAML file for the settings with the rate.
        study: compare rates of gradient descent and Adam over five decades instead.

    Returns:
        0 done, 1 failed, 2 bad settings or input, 130 interrupted, 143 interrupted by SIGTERM.
    """

    def act(console: Console) -> int:
        # Whatever rate is set is not used; gradient descent has none by default.
        unrated = {**(values or {}), "optimizer.lr": 1.0}
        config = load_config(config_path, overrides, values=unrated, task="tune")
        if write is not None:
            if study:
                raise ConfigError("--write: a study compares rates and chooses none.")
            _require_new_yaml(Path(write))
        # PyTorch takes seconds; errors need not wait.
        from overpaint.tuning.series import compare_rates
        from overpaint.tuning.tune import tune

        quiet_libraries()
        keep_freed_memory()
        if study:
            compared = compare_rates(config)
            _print_tables(compared.rounds, None)
            logger.info("Charts and contact sheets: %s", compared.folder)
            return DONE
        result = tune(config)
        rounds = {
            f"Round {number}: {outcomes[0].steps} steps at {result.size} px": outcomes
            for number, outcomes in enumerate(result.rounds, 1)
        }
        _print_tables(rounds, result.outcome)
        if write is not None:
            write_text(Path(write), _preset(result.config, write))
            logger.info("Written: %s", write)
        logger.info("Chart and contact sheet: %s (%.0f s)", result.folder, result.seconds)
        words = [*_given(config_path, overrides, values), f"optimizer.lr={result.outcome.rate:g}"]
        sys.stdout.write(shlex.join(["python", "scripts/stylize.py", *words]) + "\n")
        return DONE

    return _status_of(act)


def leave(status: int) -> NoReturn:
    """Ends the process with a status of `main` or `tune_main`.

    143 is what a shell shows for a process that SIGTERM ended, so that is how it ends. `wandb
    agent`, which stops runs by SIGTERM, would take an exit status above 0 for a failure, and it
    gives up when too many runs fail.
    """
    if status == TERMINATED:
        sys.stdout.flush()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTERM)
    sys.exit(status)


def _status_of(act: Callable[[Console], int]) -> int:
    """Does something and turns what it raises into a message and an exit status."""
    with sigterm_as_interrupt() as received:
        status = _status_by_outcome(act)
    return TERMINATED if status == INTERRUPTED and received else status


def _status_by_outcome(act: Callable[[Console], int]) -> int:
    console = Console(stderr=True)
    _set_up_logging(console)
    try:
        return act(console)
    except (ConfigError, ImageError, WeightsError) as error:
        for line in str(error).splitlines():
            logger.error("error: %s", line)
        return BAD_INPUT
    except KeyboardInterrupt:
        logger.error("Interrupted.")
        return INTERRUPTED
    except (DivergedError, TrackingError, OSError) as error:
        logger.error("error: %s", error)
        return FAILED
    except Exception:
        logger.exception("error: this should not have happened")
        return FAILED


def _given(
    config_path: str, overrides: Sequence[str], values: Mapping[str, Any] | None
) -> list[str]:
    """The words of a command that gives the same settings but for the rate and the search."""
    words = ["--config", config_path]
    for key, option in (("content.image", "--content"), ("style.images", "--style")):
        value = (values or {}).get(key)
        if value is not None:
            words += [option, *([value] if isinstance(value, str) else value)]
    return words + [word for word in overrides if not word.startswith(("optimizer.lr=", "tune."))]


def _preset(config: Config, name: str) -> str:
    return (
        "# What differs from the defaults, with a learning rate that scripts/tune_lr.py found.\n"
        f"#\n# Launch:  python scripts/stylize.py --config {shlex.quote(name)}\n\n"
        f"{to_preset(config)}"
    )


def _require_new_yaml(path: Path) -> None:
    if path.suffix.lower() not in (".yaml", ".yml"):
        raise ConfigError(f"--write: '{path}' must end in .yaml or .yml.")
    if path.exists():
        raise ConfigError(f"--write: '{path}' exists; name a new file.")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"--write: no such folder: '{path.parent}'; make it first.")


def _print_tables(rounds: Mapping[str, Sequence[Outcome]], chosen: Outcome | None) -> None:
    """A table of each round on standard output."""
    console = Console(soft_wrap=True, highlight=False)
    for title, outcomes in rounds.items():
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
        for name in ("rate", "first step, levels", "loss", "on the clamp", ""):
            table.add_column(name, justify="right" if name else "left")
        least = min(outcome.loss for outcome in outcomes)
        for outcome in outcomes:
            table.add_row(
                f"{outcome.rate:.3g}",
                grey_levels(outcome.moved[0]),
                f"{outcome.loss:.4g}",
                f"{outcome.clamped:.1%}",
                _remark(outcome, least, outcome is chosen),
                style="bold" if outcome is chosen else None,
            )
        console.print(table)


def _remark(outcome: Outcome, least: float, is_chosen: bool) -> str:
    if not math.isfinite(outcome.loss):
        return "diverged"
    remarks = []
    if outcome.saturated:
        remarks.append("saturated")
    if outcome.loss == least:
        remarks.append("least loss")
    if is_chosen:
        remarks.append("chosen")
    return ", ".join(remarks)


def split_styles(words: Sequence[str] | None) -> tuple[list[str] | None, list[str]]:
    """Parts what follows `--style` into files and `key=value` overrides.

    argparse gives an option of several values all words up to the next option, so
    `--style a.jpg seed=1` hands over both. A word that looks like a setting and is no file is one.
    """
    if words is None:
        return None, []
    settings = [word for word in words if _SETTING.match(word) and not Path(word).exists()]
    return [word for word in words if word not in settings], settings


def _set_up_logging(console: Console) -> None:
    handler = _ConsoleHandler(console)
    handler.setFormatter(logging.Formatter("%(message)s"))
    root = logging.getLogger("overpaint")
    root.handlers = [handler]
    level = os.environ.get("NEURAL_STYLE_LOG", "INFO").upper()
    root.setLevel(level if isinstance(logging.getLevelName(level), int) else "INFO")
    root.propagate = False


def quiet_libraries() -> None:
    """Silences Lightning's remarks on devices and workers; its own set-up, at import, is louder."""
    for name in ("pytorch_lightning", "pytorch_lightning.utilities.rank_zero", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"(pytorch_)?lightning")


def keep_freed_memory() -> bool:
    """Tells glibc to keep large blocks that are freed, for the next step asks for them again.

    By default it hands them back to the system, which then has to clear every page of the next
    one: some 5 % of a step on a CPU. Without glibc, or with one before 2.35, nothing is done.

    Returns:
        Whether it is done.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    trim_threshold, mmap_threshold = -1, -3  # from malloc.h
    # The first call is the one that older versions refuse; the second alone would do harm there.
    return mallopt is not None and all(
        mallopt(option, 2**31 - 1) for option in (mmap_threshold, trim_threshold)
    )
