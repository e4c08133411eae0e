"""A run from settings to a finished picture, size by size.

How its parts are made is in `building`.
"""
