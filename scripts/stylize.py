#!/usr/bin/env python3
"""Turn a photo and a painting into a stylized picture."""

from __future__ import annotations

import argparse

from overpaint.cli import leave, main, split_styles
from overpaint.version import __version__

EXAMPLES = """examples:
  python scripts/stylize.py --config configs/default.yaml
  python scripts/stylize.py --content me.jpg --style painting.jpg --output me_painted.png
  python scripts/stylize.py --config configs/preview.yaml --content me.jpg style.weight=20
  python scripts/stylize.py --config configs/gatys.yaml image.size=384 schedule.steps=300
  python scripts/stylize.py --print-config optimizer.lr=0.05

configs/default.yaml explains every setting. Exit status: 0 done, 1 failed, 2 bad settings or input,
130 after Ctrl-C, 143 after SIGTERM (the picture so far is kept)."""


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
    parser.add_argument(
        "--output", metavar="FILE", help="copy the result there as well (.png .jpg .webp .tif)"
    )
    parser.add_argument("--print-config", action="store_true", help="show the settings and exit")
    parser.add_argument("--version", action="version", version=f"overpaint {__version__}")
    return parser.parse_intermixed_args()


if __name__ == "__main__":
    arguments = parse_arguments()
    styles, more_overrides = split_styles(arguments.style)
    given = {
        "content.image": arguments.content,
        "style.images": styles,
        "output.copy": arguments.output,
    }
    leave(
        main(
            arguments.config,
            [*arguments.overrides, *more_overrides],
            values={key: value for key, value in given.items() if value is not None},
            print_config=arguments.print_config,
        )
    )
