"""Sweeps: many runs over the values of some settings, from the files that W&B's sweeps have.

One run is in `runs`; the search for a learning rate, by short trials as one batch, in `tuning`.
"""
