"""What is done with results that have more pixels than Pillow opens by itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from run_folders import make_run

from overpaint.errors import ImageError
from overpaint.pictures.io import read_picture, read_result
from overpaint.records.reading import read_run
from overpaint.reports.compare import write_page
from overpaint.runs.film import film
from overpaint.runs.recolor import recolor


@pytest.fixture
def run(tmp_path: Path, photo: Path, painting: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run whose pictures are beyond the limit."""
    folder = make_run(tmp_path / "run", photo=photo, painting=painting)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    with pytest.raises(ImageError, match="too many pixels"):
        read_picture(folder / "result.png")
    return folder


def test_it_is_compared(run: Path, tmp_path: Path) -> None:
    assert read_run(run).problems == ()
    page = write_page([run], tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("data:image/webp;base64,") >= 5  # result, snapshots, photo and painting


def test_it_has_a_time_lapse(run: Path) -> None:
    assert film(run, run / "film.webp").stat().st_size > 100


def test_it_is_recoloured(run: Path, tmp_path: Path) -> None:
    recolored = recolor(run, None, tmp_path / "recolored.png", keep="statistics")
    assert read_result(recolored).size == (48, 36)
