"""The search for a learning rate, from trials to charts.

What a run does on its own is in `runs`.
"""
