#!/usr/bin/env python3
"""Show runs side by side, on one page: `overpaint compare`, for a checkout."""

from overpaint.__main__ import main

if __name__ == "__main__":
    main("compare")
