#!/usr/bin/env python3
"""Turn a photo and a painting into a stylized picture: `overpaint`, for a checkout."""

from overpaint.__main__ import main

if __name__ == "__main__":
    main("stylize")
