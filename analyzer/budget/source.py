"""Where in the project a module's class, or a model's factory, is written: files and lines for annotations."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

Place = tuple[str, int]
"""A file, relative to the project's root and with slashes, and a line from 1."""


def places(model: nn.Module, factory: Any, root: Path) -> Callable[[str], Place | None]:
    """For a module's path: the class of it, or of the nearest module around it, that the project itself defines.

    Where none is, the factory; None where that isn't the project's either.
    """
    by_path = dict(model.named_modules())
    known: dict[type, Place | None] = {}
    fallback = place_of(factory, root)

    def place(path: str) -> Place | None:
        while True:
            module = by_path.get(path)
            if module is not None:
                kind = type(module)
                if kind not in known:
                    known[kind] = place_of(kind, root)
                if known[kind] is not None:
                    return known[kind]
            if not path:
                return fallback
            path = path.rpartition(".")[0]

    return place


def place_of(definition: Any, root: Path) -> Place | None:
    """Where a class or function is written, if that is below `root`."""
    try:
        file = inspect.getsourcefile(definition)
        _, line = inspect.getsourcelines(definition)
    except (TypeError, OSError):
        return None
    if file is None:
        return None
    path, top = Path(file).resolve(), root.resolve()
    inside = path.is_relative_to(top) and "site-packages" not in path.parts
    return (path.relative_to(top).as_posix(), max(line, 1)) if inside else None


def defines(path: Path, name: str) -> bool:
    """Whether a Python file may define a name at its top level, by reading it. True where that can't be told."""
    try:
        tree = ast.parse(path.read_bytes())
    except OSError:
        return False
    except (SyntaxError, ValueError, RecursionError):
        return True
    return any(name in _bound(node) for node in tree.body)


def _bound(node: ast.stmt) -> set[str]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {node.name}
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return {alias.asname or alias.name.partition(".")[0] for alias in node.names} | (
            {"*"} if any(alias.name == "*" for alias in node.names) else set()
        )
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)}
