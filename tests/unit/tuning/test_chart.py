from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from overpaint.tuning.chart import contact_sheet, save_chart
from overpaint.tuning.search import Outcome, spaced

NAN, INF = math.nan, math.inf


def trial(rate: float, start: float, end: float, steps: int = 8) -> Outcome:
    """A trial whose loss goes from `start` to `end` at equal ratios."""
    losses = tuple(start * (end / start) ** (i / steps) for i in range(steps + 1))
    return Outcome(rate, losses, (1.0,) * steps)


def lost(rate: float, *losses: float) -> Outcome:
    return Outcome(rate, losses, (1.0,) * (len(losses) - 1))


def valley(rates: Sequence[float], start: float = 3.0, steps: int = 8) -> list[Outcome]:
    middle = rates[len(rates) // 2]
    return [
        trial(rate, start, 0.3 * start * (1 + abs(math.log(rate / middle))), steps)
        for rate in rates
    ]


ROUNDS = [valley(spaced(1e-3, 1.0, 6)), valley(spaced(1e-2, 0.1, 3), steps=16)]


def chart(path: Path, rounds: Sequence[Sequence[Outcome]], **options: object) -> np.ndarray:
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
    tmp_path: Path, rounds: list[list[Outcome]], options: dict[str, object]
) -> None:
    pixels = chart(tmp_path / "lr.png", rounds, **options)
    height, width = pixels.shape[:2]
    assert 400 < height < 1000
    assert 1000 < width < 2000
    assert 0.005 < ink(pixels) < 0.2
    left, right = pixels[:, : width // 2], pixels[:, width // 2 :]
    assert min(ink(left), ink(right)) > 0.003, "both diagrams are drawn"


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


def test_a_start_beyond_the_numbers_is_no_crash(tmp_path: Path) -> None:
    rounds = [[lost(0.1, INF, INF, INF), lost(1.0, INF, INF, NAN)]]
    chart(tmp_path / "lr.png", rounds)


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


def test_pyplot_and_its_windows_are_left_alone(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "import overpaint.tuning.chart as charts; from overpaint.tuning.search import Outcome\n"
        "early = 'matplotlib' in sys.modules\n"
        "outcome = Outcome(0.1, (3.0, 2.0, 1.0), (1.0, 1.0))\n"
        "charts.save_chart(Path(sys.argv[1]), [[outcome]], title='', ratio_of_units=2.0)\n"
        "print(early, 'matplotlib' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "lr.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "False"]


COLOURS = {"a": (200, 30, 30), "b": (30, 160, 30), "c": (30, 30, 200), "d": (120, 120, 0)}
WHITE, FRAME = (255, 255, 255), (224, 122, 31)


def plain(name: str, size: tuple[int, int] = (40, 20)) -> Image.Image:
    return Image.new("RGB", size, COLOURS[name])


def boxes(sheet: Image.Image, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Left, top, width and height of what has a colour, which is to fill that rectangle."""
    same = (np.asarray(sheet) == colour).all(axis=2)
    rows, columns = np.flatnonzero(same.any(axis=1)), np.flatnonzero(same.any(axis=0))
    top, left, bottom, right = rows[0], columns[0], rows[-1], columns[-1]
    assert same[top : bottom + 1, left : right + 1].all(), "it is whole"
    return int(left), int(top), int(right - left + 1), int(bottom - top + 1)


def test_every_picture_is_in_the_place_of_its_row_and_column() -> None:
    sheet = contact_sheet(
        {"low": {"x": plain("a"), "y": plain("b")}, "high": {"y": plain("d"), "x": plain("c")}},
        columns=["x", "y"],
        cell=60,
    )
    assert sheet.mode == "RGB"
    a, b, c, d = (boxes(sheet, COLOURS[name]) for name in "abcd")
    assert {box[2:] for box in (a, b, c, d)} == {(60, 30)}, "the longer edge is the cell's"
    assert a[1] == b[1]
    assert c[1] == d[1]
    assert a[0] == c[0]
    assert b[0] == d[0]
    gap = b[0] - a[0] - 60
    assert gap == c[1] - a[1] - 30 > 0
    # The last picture ends a gap before the edges of the sheet; labels are left of and above all.
    assert sheet.size == (d[0] + 60 + gap, d[1] + 30 + gap)
    assert a[0] > 20
    assert a[1] > 15


def test_a_sheet_is_as_large_as_its_cells() -> None:
    def size(rows: int, columns: int, cell: int) -> tuple[int, int]:
        names = [f"step {i}" for i in range(columns)]
        return contact_sheet(
            {f"row {i}": {name: plain("a", (20, 40)) for name in names} for i in range(rows)},
            columns=names,
            cell=cell,
        ).size

    width, height = size(1, 1, 60)
    gap = size(1, 2, 60)[0] - width - 30
    assert gap > 0
    assert size(3, 1, 60) == (width, height + 2 * (60 + gap))
    assert size(1, 4, 60) == (width + 3 * (30 + gap), height)
    assert size(1, 1, 100) == (width + 20, height + 40)


def test_a_longer_label_makes_a_wider_margin_line_by_line() -> None:
    def width(label: str) -> int:
        return contact_sheet({label: {"x": plain("a")}}, columns=["x"]).size[0]

    assert width("0.0123") < width("0.0123 and more")
    assert width("0.0123\n12 levels") == width("12 levels")


def test_places_without_a_picture_stay_white() -> None:
    sheet = contact_sheet(
        {"1": {"x": plain("a"), "y": plain("b")}, "2": {"y": plain("c")}, "3": {}},
        columns=["x", "y"],
        cell=60,
    )
    a, b, c = (boxes(sheet, COLOURS[name]) for name in "abc")
    pixels = np.asarray(sheet)
    below = b[1] + 2 * (c[1] - b[1])
    for left, top in ((a[0], c[1]), (a[0], below), (b[0], below)):
        assert (pixels[top : top + 30, left : left + 60] == WHITE).all()
    assert sheet.size[1] > below + 30


def test_labels_are_written_beside_and_above() -> None:
    sheet = contact_sheet({"0.01": {"step 8": plain("a")}}, columns=["step 8"], cell=60)
    left, top, _, _ = boxes(sheet, COLOURS["a"])
    pixels = np.asarray(sheet)
    assert (pixels[:top, left:] < 128).any()
    assert (pixels[top:, :left] < 128).any()
    assert (pixels[:top, :left] == 255).all()


@pytest.mark.parametrize("marked", ["1", "2", "3"])
def test_the_marked_row_alone_is_framed(marked: str) -> None:
    names = dict(zip("123", "abc", strict=True))
    rows = {label: {"x": plain(name)} for label, name in names.items()}
    sheet = contact_sheet(rows, columns=["x"], marked=marked, cell=60)
    frame = (np.asarray(sheet) == FRAME).all(axis=2)
    framed = np.flatnonzero(frame.any(axis=1))
    for label, name in names.items():
        left, top, width, height = boxes(sheet, COLOURS[name])
        assert (width, height) == (60, 30), "the frame is drawn around it"
        inside = framed[0] < top and top + height - 1 < framed[-1]
        assert inside == (label == marked)
        assert frame[top : top + height, :left].any() == (label == marked)
        assert frame[top : top + height, left + width :].any() == (label == marked)


@pytest.mark.parametrize("marked", [None, "4"])
def test_without_a_marked_row_there_is_no_frame(marked: str | None) -> None:
    sheet = contact_sheet({"1": {"x": plain("a")}}, columns=["x"], marked=marked)
    assert not (np.asarray(sheet) == FRAME).all(axis=2).any()


def test_a_narrow_picture_keeps_a_pixel() -> None:
    sheet = contact_sheet({"1": {"x": plain("a", (900, 1))}}, columns=["x"], cell=50)
    assert boxes(sheet, COLOURS["a"])[2:] == (50, 1)


@pytest.mark.parametrize("rows", [{}, {"1": {}}, {"1": {}, "2": {}}])
def test_a_sheet_needs_a_picture(rows: dict[str, dict[str, Image.Image]]) -> None:
    with pytest.raises(ValueError, match="needs a picture"):
        contact_sheet(rows, columns=["x"])
