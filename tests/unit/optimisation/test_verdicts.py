from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from overpaint.optimisation.verdicts import Finding, Row, judge

# Real runs: their settings, the verdict on their rate, the usual share of values at 0 or 1, and
# rows of step, rate, loss as a multiple of the first, grey levels moved, share of values at 0 or 1.
RECORDED: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "golden" / "rate_traces.json").read_text(encoding="utf-8")
)


def findings(
    rows: Sequence[Row], *, rate: float = 0.03, last_step: int = 80, usual: float = 0.0
) -> list[Finding]:
    """All that is found while the rows come in, one after the other."""

    def judged() -> Iterator[Finding]:
        for end in range(len(rows) + 1):
            yield from judge(
                rows[:end],
                rate=rate,
                last_step=last_step,
                usual_clamped=usual,
                command="python find.py",
            )

    return list(judged())


def kinds(rows: Sequence[Row], **options: Any) -> set[str]:
    return {finding.kind for finding in findings(rows, **options)}


def made_up(
    steps: Sequence[int],
    *,
    losses: Sequence[float] | None = None,
    moved: float = 2.0,
    lr: float = 0.03,
    clamped: float = 0.0,
) -> list[Row]:
    """Rows of a loss that falls by a percent a step, or of given losses."""
    losses = losses or [0.99**step for step in steps]
    return [Row(s, lr, loss, moved, clamped) for s, loss in zip(steps, losses, strict=True)]


@pytest.mark.parametrize("log_every", [1, 3, 10])
@pytest.mark.parametrize("name", RECORDED)
def test_recorded_runs_get_their_verdict(name: str, log_every: int) -> None:
    run = RECORDED[name]
    last = run["last_step"]
    rows = [Row(*r) for r in run["rows"] if r[0] in (1, last) or r[0] % log_every == 0]
    found = kinds(rows, rate=rows[0].lr, last_step=last, usual=run["usual"])
    # Every third step hides that a loss goes to and fro, every tenth that a picture of 32 pixels
    # was black and white and has recovered.
    hidden = (name == "sgd-30" and log_every > 1) or (name == "default-x100" and log_every > 3)
    assert found == (set() if run["verdict"] == "fine" or hidden else {run["verdict"]})


@pytest.mark.parametrize(
    ("name", "good"), [("texture-x0.01", 0.03), ("gatys-x0.01", 1.0), ("paper-x0.01", 0.02)]
)
def test_the_rate_to_try_is_near_a_good_one(name: str, good: float) -> None:
    rows = [Row(*r) for r in RECORDED[name]["rows"]]
    (finding,) = findings(rows, rate=good / 100, last_step=80)
    proposal = float(finding.message.partition("try optimizer.lr=")[2].partition(",")[0])
    assert good / 4 < proposal < good * 4


def test_too_low_a_rate_is_put_in_one_sentence_with_a_rate_that_suits() -> None:
    rows = made_up(range(1, 30), moved=0.2)
    (finding,) = findings(rows, rate=0.001)
    assert (finding.kind, finding.step) == ("too_low", 20)
    assert finding.message == (
        "The picture moves by 0.2 of 255 grey levels a step at optimizer.lr=0.001: the learning "
        "rate is too low; try optimizer.lr=0.025, or find one with `python find.py`."
    )


@pytest.mark.parametrize(("moved", "found"), [(0.34, {"too_low"}), (0.36, set())])
@pytest.mark.parametrize("log_every", [1, 7, 10, 25])
def test_a_slow_picture_is_one_below_a_third_of_a_level(
    moved: float, found: set[str], log_every: int
) -> None:
    steps = [s for s in range(1, 80) if s == 1 or s % log_every == 0]
    assert kinds(made_up(steps, moved=moved)) == found


def test_the_first_step_says_nothing_of_the_rate() -> None:
    slow = [Row(1, 0.03, 1.0, 5.0, 0.0), *made_up(range(2, 21), moved=0.1)]
    fast = [Row(1, 0.03, 1.0, 0.0, 0.0), *made_up(range(2, 21), moved=2.0)]
    assert kinds(slow) == {"too_low"}
    assert kinds([slow[0], slow[-1]]) == {"too_low"}
    assert kinds(fast) == set()


def test_one_long_step_does_not_hide_that_all_others_are_short() -> None:
    rows = made_up(range(1, 21), moved=0.1)
    rows[5] = Row(6, 0.03, 0.94, 90.0, 0.0)
    assert kinds(rows) == {"too_low"}


@pytest.mark.parametrize(("last_step", "step"), [(2, 2), (7, 7), (20, 20), (300, 20)])
def test_a_low_rate_shows_after_twenty_steps_or_at_the_end(last_step: int, step: int) -> None:
    rows = made_up(range(1, last_step + 1), moved=0.1)
    assert [finding.step for finding in findings(rows, last_step=last_step)] == [step]


def test_steps_are_measured_by_the_rate_of_the_first() -> None:
    rows = [Row(step, 0.03 / step, 0.99**step, 2.0 / step, 0.0) for step in range(1, 21)]
    assert kinds(rows) == set()


def test_a_falling_schedule_makes_no_rate_too_low() -> None:
    def rows(log_every: int, peak: float) -> list[Row]:
        steps = [s for s in range(1, 81) if s in (1, 80) or s % log_every == 0]
        falls = [0.5 * (1 + math.cos(math.pi * (step - 1) / 80)) for step in steps]
        return [
            Row(step, 0.03 * fall, 0.99**step, peak * fall, 0.0)
            for step, fall in zip(steps, falls, strict=True)
        ]

    for log_every in (1, 10, 30):
        assert kinds(rows(log_every, 2.0)) == set()
        assert kinds(rows(log_every, 0.1)) == {"too_low"}


@pytest.mark.parametrize(("step", "found"), [(30, {"too_low"}), (31, set())])
def test_nothing_is_said_of_steps_that_may_be_small_for_being_late(
    step: int, found: set[str]
) -> None:
    assert kinds(made_up([1, step], moved=0.1)) == found


def test_a_rate_of_zero_in_a_schedule_is_no_fault() -> None:
    rows = [Row(1, 0.03, 1.0, 2.0, 0.0), Row(2, 0.0, 0.9, 0.0, 0.0)]
    assert kinds(rows, last_step=2) == set()


def test_the_trace_of_a_later_size_says_nothing_of_too_low_a_rate() -> None:
    assert kinds(made_up(range(41, 81), moved=0.1)) == set()
    assert kinds(made_up(range(6, 25), moved=0.1)) == set()


@pytest.mark.parametrize(
    ("losses", "found"),
    [
        ([1.0] * 20, set()),
        ([1.0 + 0.001 * step for step in range(20)], set()),
        ([1.0 - 0.001 * (step % 2) for step in range(20)], set()),
        ([1.0 + 0.01 * step - 0.5 * (step > 10) for step in range(20)], set()),
        ([1.0 - 0.01 * step + 0.1 * (step // 5) for step in range(20)], set()),
        ([1.0 - 0.001 * step for step in range(20)], {"too_low"}),
    ],
    ids=["constant", "rising", "to and fro", "falling once", "rising on the whole", "falling"],
)
def test_a_slow_picture_is_no_fault_unless_its_loss_falls(
    losses: list[float], found: set[str]
) -> None:
    assert kinds(made_up(range(1, 21), losses=losses, moved=0.1)) == found


@pytest.mark.parametrize(
    ("moved", "loss", "found"),
    [(0.009, 1.0, {"too_low"}), (0.011, 1.0, set()), (0.0, 1.0, {"too_low"}), (0.0, 0.0, set())],
)
def test_a_picture_that_stands_still_is_one_unless_it_is_perfect(
    moved: float, loss: float, found: set[str]
) -> None:
    rows = made_up(range(1, 21), losses=[loss] * 20, moved=moved)
    assert kinds(rows) == found


def test_a_rate_that_moves_nothing_gives_no_measure_of_a_better_one() -> None:
    (finding,) = findings(made_up(range(1, 21), losses=[1.0] * 20, moved=0.0))
    assert "try a far higher one, or find one with" in finding.message


@pytest.mark.parametrize(("clamped", "found"), [(0.36, {"too_high"}), (0.34, set())])
@pytest.mark.parametrize("log_every", [1, 10])
def test_black_and_white_count_by_what_is_more_than_usual(
    clamped: float, found: set[str], log_every: int
) -> None:
    steps = [s for s in range(1, 40) if s == 1 or s % log_every == 0]
    assert kinds(made_up(steps, clamped=clamped), usual=0.1) == found


@pytest.mark.parametrize(("spell", "found"), [(3, set()), (4, {"too_high"})])
def test_a_few_wild_steps_are_no_fault(spell: int, found: set[str]) -> None:
    black = made_up(range(1, 41))
    above = made_up(range(1, 41), moved=40.0)
    for step in range(8, 8 + spell):
        black[step - 1] = Row(step, 0.03, 0.9, 2.0, 0.6)
        above[step - 1] = Row(step, 0.03, 9.0, 40.0, 0.0)
    assert kinds(black) == found
    assert {f.kind for f in findings(above) if "times the first one" in f.message} == found


@pytest.mark.parametrize(("factor", "found"), [(2.1, {"too_high"}), (1.9, set())])
@pytest.mark.parametrize("log_every", [1, 10])
def test_a_loss_that_stays_above_twice_the_first_is_a_fault(
    factor: float, found: set[str], log_every: int
) -> None:
    steps = [s for s in range(1, 41) if s == 1 or s % log_every == 0]
    losses = [5.0] + [5.0 * factor] * (len(steps) - 1)
    assert kinds(made_up(steps, losses=losses)) == found


def test_a_loss_above_the_first_is_no_fault_of_steps_that_hardly_move() -> None:
    losses = [1.0] + [8.0] * 39
    assert kinds(made_up(range(1, 41), losses=losses, moved=0.9)) == set()
    assert kinds(made_up(range(1, 41), losses=losses, moved=1.1)) == {"too_high"}


def test_a_loss_that_begins_at_zero_has_no_multiple() -> None:
    assert kinds(made_up(range(1, 41), losses=[0.0] + [1.0] * 39)) == set()


@pytest.mark.parametrize(("rises", "found"), [(5, set()), (6, {"too_high"})])
@pytest.mark.parametrize("log_every", [1, 10])
def test_a_loss_that_goes_to_and_fro_is_a_fault(
    rises: int, found: set[str], log_every: int
) -> None:
    losses = [1.0, 1.06] * rises + [1.0] * 12
    steps = [1, *(log_every * n for n in range(2, len(losses) + 1))]
    assert kinds(made_up(steps, losses=losses)) == found


def test_rises_count_among_the_last_ones_alone() -> None:
    losses = ([1.0, 1.1] * 3 + [1.0] * 8) * 4
    assert kinds(made_up(range(1, 57), losses=losses)) == set()


def test_rises_of_less_than_a_twentieth_do_not_count() -> None:
    assert kinds(made_up(range(1, 41), losses=[1.0, 1.04] * 20)) == set()


@pytest.mark.parametrize(
    ("rows", "measured"),
    [
        (made_up(range(1, 5), clamped=0.6), r"By step 4 60% of .* black or white \(usual: 20%\)"),
        (
            made_up([1, 10, 20], losses=[2.0, 9.0, 8.0]),
            "The loss of step 20 is 4 times the first one",
        ),
        (
            made_up(range(1, 14), losses=[*[1.0, 1.1] * 6, 1.0]),
            "The loss rose 6 times between the last 13 logged steps, up to step 13,",
        ),
    ],
)
def test_too_high_a_rate_is_put_in_one_sentence_with_a_tenth_of_it(
    rows: list[Row], measured: str
) -> None:
    finding = findings(rows, rate=0.3, usual=0.2)[-1]
    assert (finding.kind, finding.step) == ("too_high", rows[-1].step)
    assert re.fullmatch(
        measured + r" at optimizer\.lr=0\.3: the learning rate is too high; "
        r"try optimizer\.lr=0\.03, or find one with `python find\.py`\.",
        finding.message,
    )


@pytest.mark.parametrize(
    "rows",
    [
        [],
        made_up([1], losses=[1.0], moved=0.0),
        made_up([5], losses=[1.0], moved=0.0, clamped=1.0),
        made_up(range(1, 21), losses=[math.nan] * 20, moved=0.0, clamped=1.0),
        made_up(range(1, 21), losses=[math.inf] * 20, moved=0.0),
        made_up(range(1, 21), losses=[0.0] * 20, moved=0.0),
        made_up(range(1, 21), losses=[1.0] * 20, moved=math.nan),
    ],
    ids=["none", "one", "one late", "nan", "inf", "no loss", "no picture"],
)
def test_nonsense_is_no_finding(rows: list[Row]) -> None:
    assert findings(rows, last_step=20) == []
