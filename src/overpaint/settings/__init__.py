"""YAML files and `key=value` words to checked settings.

It knows no tensors and needs no PyTorch.
"""
