"""Lightning's fit as a picture needs it: quiet, and an interrupt keeps what there is."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.utilities import rank_zero_only
from pytorch_lightning.utilities.exceptions import SIGTERMException

logger = logging.getLogger(__name__)

_TALKATIVE = ("pytorch_lightning", "pytorch_lightning.utilities.rank_zero", "lightning_fabric")


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Silences Lightning's remarks on devices, workers and other products; errors are heard."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [one.level for one in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(pytorch_)?lightning")
        # The frozen encoder is in evaluation mode on purpose.
        warnings.filterwarnings("ignore", message=r"Found \d+ module\(s\) in eval mode")
        try:
            for one in loggers:
                one.setLevel(logging.ERROR)
            yield
        finally:
            for one, level in zip(loggers, levels, strict=True):
                one.setLevel(level)


@contextmanager
def as_rank(number: int) -> Iterator[None]:
    """Tells Lightning which process of a run this is; the first one, 0, logs.

    As it is imported, Lightning takes its rank from SLURM_PROCID, RANK or LOCAL_RANK, which an
    array task or a worker of some job has too; from rank 1 on its loggers log nothing.
    """
    before = rank_zero_only.rank  # type: ignore[attr-defined]
    rank_zero_only.rank = number  # type: ignore[attr-defined]
    try:
        yield
    finally:
        rank_zero_only.rank = before  # type: ignore[attr-defined]


def fit(
    trainer: pl.Trainer,
    module: pl.LightningModule,
    steps: int,
    *,
    checkpoint: Path | None = None,
    number: int = 0,
) -> bool:
    """Runs `steps` training steps.

    Args:
        trainer: for these steps alone.
        module: what is trained.
        steps: in all, with those that a checkpoint has done.
        checkpoint: of this module and these callbacks, to go on from.
        number: of this process among those of the run.

    Returns:
        True if an interrupt ended them early; the module then holds the state of the last whole
        step.
    """
    try:
        with as_rank(number):
            trainer.fit(module, range(steps), ckpt_path=checkpoint)
    except SystemExit as stop:  # how Lightning leaves after an interrupt
        interrupted = isinstance(stop.__context__, KeyboardInterrupt)
        if not interrupted and not isinstance(stop, SIGTERMException):
            raise
        logger.warning("Interrupted; keeping the picture as it is.")
        return True
    return False
