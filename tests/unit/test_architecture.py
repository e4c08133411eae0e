from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCE = REPOSITORY / "src" / "overpaint"
PACKAGE = "overpaint"

# A file may import from files to its left; those in one group never import each other.
ORDER = (
    ("errors", "version", "schema", "files", "network", "interrupts", "rates"),
    ("layers", "search"),
    ("checks", "charts"),
    ("config",),
    (
        "images",
        "tensors",
        "weights",
        "vgg",
        "measures",
        "optimizers",
        "scales",
        "device",
        "textures",
    ),
    ("inputs", "losses", "slim", "slimming"),
    ("encoders", "distilling", "scoring"),
    ("module", "fitting", "trials"),
    ("callbacks", "watching", "tracking", "record", "compiling"),
    ("assembly",),
    ("pyramid", "workbench", "studies"),
    ("run", "tuning", "series"),
    ("cli",),
)
NAMES = tuple(itertools.chain.from_iterable(ORDER))
# Whoever reads settings or prints messages about them; all others take plain arguments.
KNOW_SETTINGS = {"schema", "checks", "config", "record", "assembly", "pyramid", "run", "cli"}
KNOW_SETTINGS |= {"workbench", "studies", "tuning", "series"}
NO_TORCH = {*itertools.chain.from_iterable(ORDER[:4])}
NO_TORCH |= {"images", "scales", "textures", "record", "cli"}
SETTINGS_MODULES = {"schema", "checks", "config"}


def imported(tree: ast.AST) -> Iterator[str]:
    """Dotted names of all modules, and of what is taken from them, that a file imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = ".".join([PACKAGE] * bool(node.level) + [node.module or ""]).strip(".")
            yield start
            yield from (f"{start}.{alias.name}" for alias in node.names)


def at_import_time(tree: ast.Module) -> ast.Module:
    """The file without the bodies of its functions and of `if TYPE_CHECKING`."""

    class Strip(ast.NodeTransformer):
        def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
            return None

        visit_AsyncFunctionDef = visit_FunctionDef  # type: ignore[assignment]

        def visit_If(self, node: ast.If) -> ast.AST:
            checked = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
            return ast.Pass() if checked else self.generic_visit(node)

    return Strip().visit(tree)  # type: ignore[no-any-return]


def parse(name: str) -> ast.Module:
    return ast.parse((SOURCE / f"{name}.py").read_text(encoding="utf-8"))


def neighbours(tree: ast.AST) -> set[str]:
    """Files of this package that a file imports."""
    parts = [name.split(".") for name in imported(tree)]
    return {part[1] for part in parts if part[0] == PACKAGE and len(part) > 1 and part[1] in NAMES}


def packages(tree: ast.AST) -> set[str]:
    return {name.partition(".")[0] for name in imported(tree)}


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import overpaint.run", {"run"}),
        ("import overpaint.run as r, os", {"run"}),
        ("from overpaint.run import stylize", {"run"}),
        ("from overpaint import run, vgg", {"run", "vgg"}),
        ("from .run import stylize", {"run"}),
        ("from . import run", {"run"}),
        ("def f():\n    from overpaint.run import stylize", {"run"}),
        ("if TYPE_CHECKING:\n    import overpaint.run", {"run"}),
        ("import os.run\nfrom overpaint import __version__", set()),
    ],
)
def test_the_reader_of_imports_sees_every_form(code: str, found: set[str]) -> None:
    assert neighbours(ast.parse(code)) == found


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import torch.nn", {"torch"}),
        ("try:\n    import torch\nexcept ImportError:\n    pass", {"torch"}),
        ("class A:\n    from torch import nn", {"torch"}),
        ("def f():\n    import torch", set()),
        ("class A:\n    def f(self):\n        import torch", set()),
        ("if TYPE_CHECKING:\n    import torch", set()),
    ],
)
def test_imports_inside_functions_wait(code: str, found: set[str]) -> None:
    assert packages(at_import_time(ast.parse(code))) == found


def test_every_file_has_its_place_in_the_order() -> None:
    files = {path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py")}
    assert len(NAMES) == len(set(NAMES))
    assert files == {"__init__.py", *(f"{name}.py" for name in NAMES)}


@pytest.mark.parametrize("name", NAMES)
def test_imports_point_one_way(name: str) -> None:
    place = next(i for i, group in enumerate(ORDER) if name in group)
    allowed = set(itertools.chain.from_iterable(ORDER[:place]))
    assert neighbours(parse(name)) <= allowed


def test_the_package_itself_imports_only_its_version() -> None:
    assert neighbours(at_import_time(parse("__init__"))) == {"version"}


@pytest.mark.parametrize("name", sorted(set(NAMES) - KNOW_SETTINGS))
def test_settings_stop_at_the_run(name: str) -> None:
    assert neighbours(parse(name)) & SETTINGS_MODULES == set()


@pytest.mark.parametrize("name", ["__init__", *NAMES])
def test_only_tracking_knows_weights_and_biases(name: str) -> None:
    assert ("wandb" in packages(parse(name))) == (name == "tracking")


@pytest.mark.parametrize("name", NAMES)
def test_lightning_begins_at_the_module(name: str) -> None:
    if NAMES.index(name) < NAMES.index("module"):
        assert packages(parse(name)) & {"pytorch_lightning", "lightning", "torchmetrics"} == set()


@pytest.mark.parametrize("name", sorted(NO_TORCH))
def test_settings_and_pictures_do_without_pytorch(name: str) -> None:
    heavy = {"torch", "torchvision", "pytorch_lightning", "wandb", "safetensors"}
    assert packages(at_import_time(parse(name))) & heavy == set()


@pytest.mark.parametrize("name", ["__init__", *NAMES])
def test_no_file_is_longer_than_300_lines(name: str) -> None:
    assert len((SOURCE / f"{name}.py").read_text(encoding="utf-8").splitlines()) <= 300


@pytest.mark.parametrize("name", ["stylize", "tune_lr"])
def test_a_script_only_passes_words_on(name: str) -> None:
    tree = ast.parse((REPOSITORY / "scripts" / f"{name}.py").read_text(encoding="utf-8"))
    assert packages(tree) <= {"__future__", "argparse", "sys", PACKAGE}
    assert neighbours(tree) == {"cli", "version"}


def test_the_library_does_not_lean_on_scripts_or_tests() -> None:
    for name in NAMES:
        assert packages(parse(name)) & {"scripts", "tests", "conftest"} == set(), name
