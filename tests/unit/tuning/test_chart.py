from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from overpaint.tuning.chart import save_chart
from overpaint.tuning.search import Trial, spaced

NAN, INF = math.nan, math.inf


def trial(rate: float, start: float, end: float, steps: int = 8) -> Trial:
    """A trial whose loss goes from `start` to `end` at equal ratios."""
    losses = tuple(start * (end / start) ** (i / steps) for i in range(steps + 1))
    return Trial(rate, losses, (1.0,) * steps)


def lost(rate: float, *losses: float) -> Trial:
    return Trial(rate, losses, (1.0,) * (len(losses) - 1))


def valley(rates: Sequence[float], start: float = 3.0, steps: int = 8) -> list[Trial]:
    middle = rates[len(rates) // 2]
    return [
        trial(rate, start, 0.3 * start * (1 + abs(math.log(rate / middle))), steps)
        for rate in rates
    ]


ROUNDS = [valley(spaced(1e-3, 1.0, 6)), valley(spaced(1e-2, 0.1, 3), steps=16)]


def chart(path: Path, rounds: Sequence[Sequence[Trial]], **options: object) -> np.ndarray:
    save_chart(path, rounds, title="a title", **options)  # type: ignore[arg-type]
    assert list(path.parent.iterdir()) == [path], "nothing else is left"
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def ink(pixels: np.ndarray) -> float:
    return float((pixels < 128).any(axis=2).mean())


@pytest.mark.parametrize(
    ("rounds", "options"),
    [
        (
            ROUNDS,
            {"chosen": 0.0316, "range_test": (spaced(1e-4, 10, 9), [3, 3, 2, 1, 1, 2, 3, 4, 5])},
        ),
        (ROUNDS[:1], {"ratio_of_units": 255.0}),
        ([[trial(0.1, 3.0, 1.0)]], {"chosen": 0.1}),
        ([[trial(0.1, 3.0, 1.0, steps=1), trial(0.2, 3.0, 2.0, steps=1)]], {}),
        (
            [valley(spaced(1e-25, 1e-21, 5), start=5e23)],
            {"chosen": 1e-23, "ratio_of_units": 65025.0},
        ),
        ([[trial(0.1, 3.0, 1e-9), trial(0.2, 3.0, 1e-3)]], {"chosen": 0.1}),
        ([[trial(0.1, 3.0, 2.999999), trial(0.2, 3.0, 2.999998)]], {}),
    ],
    ids=[
        "all",
        "one round, two units",
        "one rate",
        "one step",
        "huge losses, tiny rates",
        "losses far apart",
        "losses close together",
    ],
)
def test_a_chart_is_a_picture_with_ink(
    tmp_path: Path, rounds: list[list[Trial]], options: dict[str, object]
) -> None:
    pixels = chart(tmp_path / "lr.png", rounds, **options)
    height, width = pixels.shape[:2]
    assert 400 < height < 1000
    assert 1000 < width < 2000
    assert 0.005 < ink(pixels) < 0.2
    left, right = pixels[:, : width // 2], pixels[:, width // 2 :]
    assert min(ink(left), ink(right)) > 0.003, "both diagrams are drawn"


@pytest.mark.slow
@pytest.mark.parametrize(
    "tail",
    [(NAN, NAN, NAN), (1e30, INF, NAN), (3e38, 3e38, 3e38), (0.0, 0.0, 0.0)],
    ids=["no number", "growing", "finite, but huge", "zero"],
)
def test_trials_that_diverged_are_drawn_too(tmp_path: Path, tail: tuple[float, ...]) -> None:
    calm = valley(spaced(1e-3, 1.0, 6))
    shown = chart(tmp_path / "lr.png", [[*calm, lost(10.0, 3.0, *tail)]], chosen=0.0631)
    without = chart(tmp_path / "lr.png", [calm], chosen=0.0631)
    assert shown.shape == without.shape
    assert (shown != without).any()


@pytest.mark.slow
def test_a_range_test_may_end_beyond_the_numbers(tmp_path: Path) -> None:
    rates = spaced(1e-4, 10, 9)
    losses = [3, 3, 2, 1, 1, 2, 1e20, INF, NAN]
    plain = chart(tmp_path / "lr.png", ROUNDS)
    assert (chart(tmp_path / "lr.png", ROUNDS, range_test=(rates, losses)) != plain).any()


def test_if_every_trial_diverged_there_is_still_a_chart(tmp_path: Path) -> None:
    rounds = [[lost(0.1, 3.0, INF, NAN), lost(1.0, 3.0, NAN, NAN)]]
    assert ink(chart(tmp_path / "lr.png", rounds)) > 0.005


def test_the_chosen_rate_is_marked_in_its_place(tmp_path: Path) -> None:
    def lines(chosen: float | None) -> list[int]:
        """Columns of the left half that are dark from top to bottom, dashed or not."""
        pixels = chart(tmp_path / "lr.png", ROUNDS, chosen=chosen)
        dark = (pixels < 128).all(axis=2)[:, : pixels.shape[1] // 2]
        return np.flatnonzero(dark.mean(axis=0) > 0.3).tolist()

    axis = lines(None)
    low, high = (sorted({*lines(chosen)} - {*axis}) for chosen in (0.01, 0.1))
    assert axis[-1] < low[0] <= low[-1] < high[0]
    assert max(len(low), len(high)) < 4


@pytest.mark.slow
def test_a_start_beyond_the_numbers_is_no_crash(tmp_path: Path) -> None:
    rounds = [[lost(0.1, INF, INF, INF), lost(1.0, INF, INF, NAN)]]
    chart(tmp_path / "lr.png", rounds)


@pytest.mark.slow
def test_every_round_is_drawn_however_many_there_are(tmp_path: Path) -> None:
    rates = spaced(0.01, 1, 3)
    rounds = [[trial(rate, 3.0, 2 - 0.2 * i) for rate in rates] for i in range(6)]
    one, other = (
        chart(tmp_path / "lr.png", [*rounds, [trial(rate, 3.0, end) for rate in rates]])
        for end in (1.7, 1.5)
    )
    left = one.shape[1] // 2  # the other half shows the curves of all trials, in other colours
    assert (one[:, :left] != other[:, :left]).any()


def test_a_folder_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        save_chart(tmp_path / "nowhere" / "lr.png", ROUNDS, title="")


@pytest.mark.slow
def test_pyplot_and_its_windows_are_left_alone(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "import overpaint.tuning.chart as charts; from overpaint.tuning.search import Trial\n"
        "early = 'matplotlib' in sys.modules\n"
        "outcome = Trial(0.1, (3.0, 2.0, 1.0), (1.0, 1.0))\n"
        "charts.save_chart(Path(sys.argv[1]), [[outcome]], title='', ratio_of_units=2.0)\n"
        "print(early, 'matplotlib' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "lr.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "False"]
