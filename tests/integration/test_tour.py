from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from conftest import REPOSITORY
from nbclient import NotebookClient

import overpaint

TOUR = REPOSITORY / "docs" / "tour.ipynb"


@pytest.fixture(scope="module")
def tour() -> nbformat.NotebookNode:
    return nbformat.read(TOUR, as_version=4)


def code_of(notebook: nbformat.NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def test_the_tour_shows_every_public_name(tour: nbformat.NotebookNode) -> None:
    text = "\n".join(cell.source for cell in tour.cells)
    missing = [name for name in overpaint.__all__ if not re.search(rf"\b{name}\b", text)]
    assert not missing


def test_the_tour_keeps_its_outputs_and_no_path_of_a_machine(tour: nbformat.NotebookNode) -> None:
    shown = [cell for cell in tour.cells if cell.get("outputs")]
    assert len(shown) == len(code_of(tour))
    assert not re.search(r"/(home|root|tmp|work|opt|Users)/", TOUR.read_text(encoding="utf-8"))
    assert TOUR.stat().st_size < 250_000


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_tour_runs_from_its_first_cell_to_its_last(
    tour: nbformat.NotebookNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    notebook = nbformat.from_dict(tour)
    resources = {"metadata": {"path": str(TOUR.parent)}}
    NotebookClient(notebook, timeout=300, resources=resources).execute()
    drawn = [
        output.data["application/vnd.jupyter.widget-view+json"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "application/vnd.jupyter.widget-view+json" in output.get("data", {})
    ]
    assert drawn, "the progress bar is a widget"
