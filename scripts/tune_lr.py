#!/usr/bin/env python3
"""Find a good learning rate for a photo, a painting, an optimiser and a loss, and show why.

A range test shows between which rates the loss falls; trials of equal length, run together at a
small size, then compare rates between them: many over few steps, the best over more. The run
folder gets lr.json, lr.png, contact_sheet.png and a config.yaml with the rate, and the last line
printed is the command to run with it.
"""

from __future__ import annotations

import argparse

from overpaint.cli import leave, split_styles, tune_main
from overpaint.version import __version__

EXAMPLES = """examples:
  python scripts/tune_lr.py --config configs/default.yaml
  python scripts/tune_lr.py --content me.jpg --style painting.jpg --write configs/mine.yaml
  python scripts/tune_lr.py optimizer.name=sgd loss.normalization=paper loss.tv_weight=0
  python scripts/tune_lr.py tune.lowest=0.001 tune.highest=0.3 tune.candidates=16
  python scripts/tune_lr.py --config configs/paper.yaml --study

The section tune of configs/default.yaml explains its settings. Exit status: 0 done, 1 failed, 2 bad
settings or input, 130 after Ctrl-C, 143 after SIGTERM (what is known is kept)."""


def parse_arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="any setting, dotted")
    parser.add_argument(
        "--config", default="configs/default.yaml", metavar="FILE", help="YAML file (%(default)s)"
    )
    parser.add_argument("--content", metavar="FILE", help="the photo: content.image=FILE")
    parser.add_argument(
        "--style", nargs="+", metavar="FILE", help="the painting(s): style.images=[FILE,...]"
    )
    parser.add_argument("--write", metavar="FILE", help="save the settings with the rate as YAML")
    parser.add_argument(
        "--study",
        action="store_true",
        help="compare rates of gradient descent and Adam over five decades, as the paper's authors "
        "had to, instead of looking for the best one",
    )
    parser.add_argument("--version", action="version", version=f"overpaint {__version__}")
    return parser.parse_intermixed_args()


if __name__ == "__main__":
    arguments = parse_arguments()
    styles, more_overrides = split_styles(arguments.style)
    given = {"content.image": arguments.content, "style.images": styles}
    leave(
        tune_main(
            arguments.config,
            [*arguments.overrides, *more_overrides],
            values={key: value for key, value in given.items() if value is not None},
            write=arguments.write,
            study=arguments.study,
        )
    )
