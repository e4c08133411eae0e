#!/usr/bin/env python3
"""Find a good learning rate, and show why: `overpaint tune-lr`, for a checkout."""

from overpaint.__main__ import main

if __name__ == "__main__":
    main("tune-lr")
