"""Picture files to tensors and back, and the pictures of one run.

It knows no network and no loss.
"""
