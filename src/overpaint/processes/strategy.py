"""Lightning's DDP for a picture of which each process measures its own rows."""

from __future__ import annotations

from typing import Any

from pytorch_lightning.strategies import DDPStrategy

_SAVING = "Trainer.save_checkpoint"


class RowsStrategy(DDPStrategy):
    """DDP among processes that are there already, of which the first saves by itself.

    Only the image has gradients, and no buffers are the same for all: each process keeps its own
    rows of the photo's features.
    """

    def __init__(self) -> None:
        super().__init__(
            find_unused_parameters=False,
            broadcast_buffers=False,
            init_sync=False,
            gradient_as_bucket_view=True,
        )

    def _configure_launcher(self) -> None:
        """None is needed; one would keep notebooks from it."""

    def barrier(self, *args: Any, **kwargs: Any) -> None:
        """Waits for the others, but not where the first process saves, which it does alone."""
        if _SAVING not in args:
            super().barrier(*args, **kwargs)
