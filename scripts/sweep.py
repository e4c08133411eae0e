#!/usr/bin/env python3
"""Run a sweep of W&B's format without W&B: `overpaint sweep`, for a checkout."""

from overpaint.__main__ import main

if __name__ == "__main__":
    main("sweep")
