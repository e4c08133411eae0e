#!/usr/bin/env python3
"""Paint many photos in the style of many paintings: `overpaint batch`, for a checkout."""

from overpaint.__main__ import main

if __name__ == "__main__":
    main("batch")
