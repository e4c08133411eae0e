from __future__ import annotations

import random
from pathlib import Path

import fuzz_settings
import pytest
from conftest import REPOSITORY


def test_random_settings_end_in_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(REPOSITORY)
    assert fuzz_settings.main(["--cases", "200", "--limit", "20"]) == 0, capsys.readouterr().out


def test_a_seed_gives_the_same_words_again_and_another_one_others(tmp_path: Path) -> None:
    cases = [fuzz_settings.a_case(random.Random(seed), tmp_path) for seed in ("a", "a", "b")]
    assert cases[0] == cases[1] != cases[2]


def test_a_traceback_or_a_wrong_status_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(words: list[str], task: str) -> int:
        raise ZeroDivisionError("boom")

    monkeypatch.setattr(fuzz_settings, "run", fail)
    assert fuzz_settings.fault_of([], 5) == "raised ZeroDivisionError: boom"
    monkeypatch.setattr(fuzz_settings, "run", lambda words, task: 1)
    assert str(fuzz_settings.fault_of([], 5)).startswith("status 1")
    monkeypatch.setattr(fuzz_settings, "run", lambda words, task: 2)
    assert str(fuzz_settings.fault_of([], 5)).startswith("status 2, told ''")  # not a word
