"""Lightning's fit with an end that suits a picture: an interrupt keeps it."""

from __future__ import annotations

import logging
import warnings

import pytorch_lightning as pl

logger = logging.getLogger(__name__)


def fit(trainer: pl.Trainer, module: pl.LightningModule, steps: int) -> bool:
    """Runs `steps` training steps.

    Returns:
        True if an interrupt ended them early; the module then holds the state of the last whole
        step.
    """
    try:
        with warnings.catch_warnings():
            # The frozen encoder is in evaluation mode on purpose.
            warnings.filterwarnings("ignore", message=r"Found \d+ module\(s\) in eval mode")
            trainer.fit(module, range(steps))
    except SystemExit as stop:  # how Lightning leaves after an interrupt
        if not isinstance(stop.__context__, KeyboardInterrupt):
            raise
        logger.warning("Interrupted; keeping the picture as it is.")
        return True
    return False
