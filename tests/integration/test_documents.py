from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import REPOSITORY

DOCUMENTS = sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_to_a_file_leads_to_one(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)]+)\)", text)]
    for target in filter(None, targets):
        if not target.startswith("https://"):
            assert (document.parent / target).is_file(), target


@pytest.mark.parametrize("name", ["control", "gallery", "looks", "layers"])
def test_a_page_of_pictures_shows_all_of_them(name: str) -> None:
    text = (REPOSITORY / "docs" / f"{name}.md").read_text(encoding="utf-8")
    for picture in (REPOSITORY / "docs" / name).iterdir():
        assert f"({name}/{picture.name})" in text
        assert picture.stat().st_size < 250_000
