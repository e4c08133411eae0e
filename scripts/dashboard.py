#!/usr/bin/env python3
"""Make W&B's dashboard of all runs, or a report: `overpaint dashboard`, for a checkout."""

from overpaint.__main__ import main

if __name__ == "__main__":
    main("dashboard")
