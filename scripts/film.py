#!/usr/bin/env python3
"""Make a time-lapse of a run: `overpaint film`, for a checkout."""

from overpaint.__main__ import main

if __name__ == "__main__":
    main("film")
