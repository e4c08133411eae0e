from __future__ import annotations

from pathlib import Path

from overpaint.records.settings import save_settings


def test_settings_are_kept_as_they_are_under_a_line_that_says_what_they_are(tmp_path: Path) -> None:
    save_settings("seed: 3\n# grün\n", tmp_path / "config.yaml")
    text = (tmp_path / "config.yaml").read_text(encoding="utf-8")
    assert text == "# The resolved settings of this run.\nseed: 3\n# grün\n"
