"""Weights & Biases, and the only place that imports it.

What a run may ask of it is in `tracking.port`.
"""
