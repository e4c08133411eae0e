"""Several processes for one picture: which of them this is, how they start, meet and end.

What each one computes is in `banding`; what a run does, in `runs`.
"""
