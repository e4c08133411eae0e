#!/usr/bin/env python3
"""Bring a finished picture to the colours of its photo: `overpaint recolor`, for a checkout."""

from overpaint.__main__ import main

if __name__ == "__main__":
    main("recolor")
