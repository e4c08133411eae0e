"""What the command can do: each task's words, and the calls that they become.

What is computed is elsewhere, and imported when it is wanted.
"""
