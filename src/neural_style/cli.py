"""What the scripts call: settings in, exit status out."""

from __future__ import annotations

import ctypes
import logging
import os
import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from neural_style.config import load_config, to_yaml
from neural_style.errors import ConfigError, DivergedError, ImageError, TrackingError, WeightsError

logger = logging.getLogger(__name__)

_SETTING = re.compile(r"[a-z_]+(\.\w+)*=")

_STYLES = {logging.ERROR: "bold red", logging.WARNING: "bold yellow"}

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


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
        0 done, 1 failed, 2 bad settings or input, 130 interrupted.
    """
    console = Console(stderr=True)
    _set_up_logging(console)
    try:
        config = load_config(config_path, overrides, values=values)
        if print_config:
            sys.stdout.write(to_yaml(config))
            return DONE
        from neural_style.run import stylize  # PyTorch takes seconds; errors need not wait

        quiet_libraries()
        keep_freed_memory()
        result = stylize(config, console=console)
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
    return INTERRUPTED if result.interrupted else DONE


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
    root = logging.getLogger("neural_style")
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
