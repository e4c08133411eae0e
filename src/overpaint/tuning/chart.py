"""The chart of a search for a learning rate: loss against rate, and against steps."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from overpaint.files import write_bytes
from overpaint.tuning.search import Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Of the first, second ... round.
_COLOURS = ("#9aa5b1", "#3b7dd8", "#e07a1f", "#c2255c", "#5f3dc4", "#2b8a3e")


def save_chart(
    path: Path,
    rounds: Sequence[Sequence[Trial]],
    *,
    title: str,
    chosen: float | None = None,
    range_test: tuple[Sequence[float], Sequence[float]] | None = None,
    ratio_of_units: float | None = None,
) -> None:
    """Draws the loss against the rate, and the loss of each trial against its steps.

    Args:
        path: of the picture, PNG.
        rounds: the trials of each round.
        title: over the whole.
        chosen: a rate to mark.
        range_test: rising rates and the loss after a step at each.
        ratio_of_units: what a rate is multiplied by for pixels in [0, 255]; adds that axis.

    Raises:
        WriteError: if it cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.6), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    by_rate, by_step = figure.subplots(1, 2)
    figure.suptitle(title, fontsize=11)
    starts = [one.losses[0] for trials in rounds for one in trials]
    ceiling = 1.25 * max(filter(math.isfinite, starts), default=1.0)
    if range_test:
        by_rate.plot(*_below(ceiling, *range_test), color="0.8", lw=3, label="range test")
    for trials, colour in zip(rounds, itertools.cycle(_COLOURS), strict=False):
        label = f"{len(trials)} rates, {trials[0].steps} steps"
        rates = [one.rate for one in trials]
        losses = [one.loss for one in trials]
        by_rate.plot(*_below(ceiling, rates, losses), color=colour, marker="o", ms=4, label=label)
        lost = [rate for rate, loss in zip(rates, losses, strict=True) if not loss <= ceiling]
        by_rate.plot(lost, [ceiling] * len(lost), color=colour, marker="x", ls="", clip_on=False)
    _finish(by_rate, "learning rate", ceiling, rounds)
    by_rate.set_xscale("log")
    by_rate.set_ylabel("total loss")
    if chosen is not None:
        by_rate.axvline(chosen, color="k", lw=1, ls="--", label=f"chosen: {chosen:g}")
    by_rate.legend(fontsize=8, loc="lower left", frameon=False)
    if ratio_of_units:
        other = by_rate.secondary_xaxis(
            "top",
            functions=(lambda rate: rate * ratio_of_units, lambda rate: rate / ratio_of_units),
        )
        other.set_xlabel("learning rate for pixels in [0, 255]", fontsize=8)
        other.tick_params(labelsize=8)
    _draw_curves(by_step, rounds, chosen)
    _finish(by_step, "step", ceiling, rounds)
    data = io.BytesIO()
    figure.savefig(data, format="png")
    write_bytes(path, data.getvalue())


def _below(
    ceiling: float, x: Sequence[float], y: Sequence[float]
) -> tuple[Sequence[float], Sequence[float]]:
    """The same curve with gaps where it is above the ceiling or not finite."""
    return x, [value if value <= ceiling else math.nan for value in y]


def _finish(axes: Axes, label: str, ceiling: float, rounds: Sequence[Sequence[Trial]]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    least = min(
        (loss for trials in rounds for one in trials for loss in one.losses if 0 < loss < ceiling),
        default=ceiling,
    )
    axes.set_yscale("log")
    axes.set_ylim(0.9 * least, ceiling)
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(label)
    axes.grid(color="0.92")
    axes.spines[["top", "right"]].set_visible(False)


def _draw_curves(axes: Axes, rounds: Sequence[Sequence[Trial]], chosen: float | None) -> None:
    """Every trial's loss over its steps, coloured from low to high rates."""
    from matplotlib import colormaps

    rates = sorted({one.rate for trials in rounds for one in trials})
    colours = dict(zip(rates, colormaps["viridis"](_positions(len(rates))), strict=True))
    for trials in rounds:
        for one in trials:
            is_chosen = one.rate == chosen and trials is rounds[-1]
            axes.plot(
                range(one.steps + 1),
                one.losses,
                color="k" if is_chosen else colours[one.rate],
                lw=2 if is_chosen else 1,
                ls="--" if is_chosen else "-",
                zorder=3 if is_chosen else 2,
            )
    for place in (0, len(rates) // 2, len(rates) - 1):
        axes.plot([], [], color=colours[rates[place]], label=f"{rates[place]:.3g}")
    axes.legend(fontsize=8, title="rate", title_fontsize=8, frameon=False, loc="upper right")


def _positions(count: int) -> list[float]:
    """`count` places on a colour map, without its palest end."""
    return [0.92 * i / max(1, count - 1) for i in range(count)]
