"""Where numbers and pictures are logged while a run goes on.

Only its room `wandb` knows Weights & Biases.
"""
