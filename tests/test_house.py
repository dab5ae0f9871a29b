"""The structure of the code: data flows down, heavy libraries are imported late."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "analyzer"
FILES = sorted(PACKAGE.rglob("*.py"))

ROOMS = [
    ["errors"],
    ["units", "files", "processes"],
    ["figures"],
    ["records"],
    ["limits"],
    ["architecture"],
    ["reading"],
    ["building"],
    ["tracing"],
    ["space"],
    ["targets"],
    ["measuring"],
    ["reporting"],
    ["sweeping", "searching", "budget"],
    ["api", "pytest_plugin"],
    ["cli"],
    ["__init__", "__main__"],
]
"""From top to bottom; a file may import from rooms above its own and from its own."""
LEVEL = {name: level for level, names in enumerate(ROOMS) for name in names}
HEAVY = {"torch", "pandas", "plotly", "fvcore", "torchinfo", "ray", "optuna", "pyarrow"}
HEAVY_ROOMS = {"building", "tracing", "measuring"}
"""The rooms whose files may import torch when they are imported; all others start at once."""
LIGHT = [path for path in FILES if path.relative_to(PACKAGE).parts[0].removesuffix(".py") not in HEAVY_ROOMS]


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found += [node.module] if node.module != "analyzer" else [f"analyzer.{alias.name}" for alias in node.names]
    return found


def module_level(tree: ast.Module) -> list[str]:
    """Imports that run when the module is imported: outside functions and TYPE_CHECKING."""
    found = []
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        found += imports(node)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_come_from_above(path: Path) -> None:
    own = room(path)
    assert own in LEVEL, f"{own} has no place in the house"
    for name in imports(ast.parse(path.read_text())):
        parts = name.split(".")
        if parts[0] == "analyzer" and len(parts) > 1:
            assert LEVEL[parts[1]] <= LEVEL[own], f"{path.name} imports {name} from below"


@pytest.mark.parametrize("path", LIGHT, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_light_rooms_import_nothing_heavy_at_module_level(path: Path) -> None:
    heavy = {name.split(".")[0] for name in module_level(ast.parse(path.read_text()))} & HEAVY
    assert not heavy, f"{path.name} imports {heavy}"


def test_files_stay_readable() -> None:
    long = {str(p.relative_to(ROOT)): n for p in FILES if (n := len(p.read_text().splitlines())) > 400}
    assert not long
