"""What a run leaves on disk.

What is logged while it goes on is in `tracking`.
"""
