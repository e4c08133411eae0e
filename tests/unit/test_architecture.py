"""The house keeps its order: who imports whom, and how large a file may grow.

The order of the rooms and of the files in them is in pyproject.toml, as contracts of import-linter.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCE = REPOSITORY / "src" / "overpaint"
FILES = sorted(SOURCE.rglob("*.py"))


def names_of(paths: list[Path]) -> list[str]:
    return [path.relative_to(REPOSITORY).as_posix() for path in paths]


def test_imports_point_one_way() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [linter, "--no-cache"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", FILES, ids=names_of(FILES))
def test_no_file_is_longer_than_300_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


@pytest.mark.parametrize("path", FILES, ids=names_of(FILES))
def test_no_function_is_longer_than_60_lines(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.body[0].lineno < 60, node.name


def rooms() -> Iterator[Path]:
    return (path.parent for path in FILES if path.name == "__init__.py" and path.parent != SOURCE)


@pytest.mark.parametrize("room", list(rooms()), ids=lambda room: room.name)
def test_a_room_says_what_belongs_in_it(room: Path) -> None:
    tree = ast.parse((room / "__init__.py").read_text(encoding="utf-8"))
    assert len(tree.body) == 1, "a room's __init__ holds its sentence and imports nothing"
    assert ast.get_docstring(tree)
    assert len(list(room.glob("*.py"))) <= 13


@pytest.mark.parametrize(
    "statement",
    [
        "import overpaint.cli",
        "import overpaint; overpaint.load_config",
        "from overpaint.pictures.io import read_picture",
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(statement: str) -> None:
    heavy = ("torch", "torchvision", "pytorch_lightning", "wandb", "safetensors", "matplotlib")
    code = f"import sys; {statement}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_drawing_of_the_rooms_is_up_to_date() -> None:
    draw = [sys.executable, "scripts/development/draw_rooms.py", "--check"]
    done = subprocess.run(draw, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
