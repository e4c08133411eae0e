"""Many runs: sweeps over the values of some settings, batches over photos and paintings.

One run is in `runs`; the search for a learning rate, by short trials as one batch, in `tuning`.
"""
