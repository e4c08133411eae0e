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


def test_the_gallery_shows_all_of_its_pictures() -> None:
    text = (REPOSITORY / "docs" / "gallery.md").read_text(encoding="utf-8")
    for picture in (REPOSITORY / "docs" / "gallery").iterdir():
        assert f"(gallery/{picture.name})" in text
        assert picture.stat().st_size < 250_000
