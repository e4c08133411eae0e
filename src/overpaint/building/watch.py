"""The watch over the learning rate of a run."""

from __future__ import annotations

from collections.abc import Callable

from overpaint.callbacks.rate_watch import RateWatch
from overpaint.optimisation.verdicts import Finding
from overpaint.pictures.inputs import SizedInputs
from overpaint.pictures.tensors import clamped_share, to_tensor
from overpaint.settings.schema import Config


def build_watch(
    config: Config,
    sized: SizedInputs,
    command: str,
    on_finding: Callable[[Finding], None] | None = None,
) -> RateWatch:
    """A watch that knows what is usual for these pictures.

    Args:
        config: resolved settings.
        sized: the pictures at the result's size.
        command: what finds a rate, for the message.
        on_finding: is called with what is found.
    """
    return RateWatch(
        rate=config.optimizer.rate,
        last_step=config.schedule.steps,
        usual_clamped=max(clamped_share(to_tensor(x)) for x in (sized.content, *sized.styles)),
        command=command,
        publish=on_finding,
    )
