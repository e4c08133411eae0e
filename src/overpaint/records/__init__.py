"""What a run leaves on disk, written and read.

What is logged while it goes on is in `tracking`.
"""
