from __future__ import annotations

import math

import pytest

from overpaint.tuning.search import Trial
from overpaint.tuning.table import print_tables

CALM = Trial(0.0123, (4.0, 2.0, 1.004, 1.0, 1.0), (3.14159, 1.0, 1.0, 1.0), 0.0123)
WIDE = Trial(0.05, (4.0, 2.0, 1.0, 1.0, 1.0), (12.75, 1.0, 1.0, 1.0))
WILD = Trial(0.3, (4.0, 9.0, 0.5, 0.5, 0.5), (76.5, 1.0, 1.0, 1.0), 0.9, saturated=True)
LOST = Trial(0.9, (4.0, math.inf, math.nan, math.nan, math.nan), (math.nan,) * 4)


def test_a_table_shows_what_each_rate_did(capsys: pytest.CaptureFixture[str]) -> None:
    print_tables({"Round 1": [CALM, WIDE, WILD, LOST], "Round 2": [CALM, WIDE]}, CALM)
    out, err = capsys.readouterr()
    first, _, last = out.partition("Round 2")
    assert first.startswith("Round 1")
    rows = [line.split() for line in first.splitlines() if line.strip()[:1].isdigit()]
    assert rows == [
        ["0.0123", "3.1", "1.001", "1.2%", "chosen"],
        ["0.05", "13", "1", "0.0%"],
        ["0.3", "76", "0.5", "90.0%", "saturated,", "least", "loss"],
        ["0.9", "nan", "inf", "0.0%", "diverged"],
    ]
    assert [line.split()[0] for line in last.splitlines() if "chosen" in line] == ["0.0123"]
    assert err == ""


def test_a_study_chooses_none(capsys: pytest.CaptureFixture[str]) -> None:
    print_tables({"one way": [CALM], "another": [LOST]}, None)
    out = capsys.readouterr().out
    assert out.index("one way") < out.index("another")
    assert "chosen" not in out
