"""Where in the project a module's class, or a model's factory, is written: files and lines for annotations."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyzer.errors import UsageError

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
    bound = {each for node in tree.body for each in _bound(node)}
    return name in bound or "*" in bound


def from_top(folder: Path) -> str:
    """A folder's path from its repository's top, with slashes (empty: it is the top).

    Outside of a repository from the checkout that the CI service names, if it is in one; empty else.
    """
    folder = folder.resolve()
    checkout = os.environ.get("GITHUB_WORKSPACE") or os.environ.get("CI_PROJECT_DIR")
    tops = [place for place in (folder, *folder.parents) if (place / ".git").exists()]
    tops += [Path(checkout).resolve()] if checkout else []
    top = next((place for place in tops if folder.is_relative_to(place)), folder)
    return "" if top == folder else folder.relative_to(top).as_posix()


def within_repository(root: Path, folder: str) -> None:
    """Refuses a folder to import from that is absolute, or outside of the repository around `root`."""
    path = (root / folder).resolve()
    top = next((place for place in (root, *root.parents) if (place / ".git").exists()), None)
    if Path(folder).is_absolute() or (top is not None and not path.is_relative_to(top.resolve())):
        raise UsageError(f"{folder[:120]!r} leaves the repository", where="pythonpath", fix='such as ["..", "src"]')


def is_gone(target: str, root: Path) -> bool:
    """Whether what a target names is no longer in a project, by reading it. False where that can't be told."""
    location, _, attribute = target.rpartition(":")
    name = attribute.partition(".")[0]
    if not location:
        return False
    if location.endswith(".py"):
        return not defines(root / location, name)
    top, *below = location.split(".")
    tops = [place for place in (root, root / "src") if (place / top).is_dir() or (place / f"{top}.py").is_file()]
    if not tops:
        return _is_not_installed(top)
    files = [file for place in tops for file in _files_of(place.joinpath(top, *below))]
    return not any(defines(file, name) for file in files)


def _files_of(module: Path) -> tuple[Path, Path]:
    return module.with_name(module.name + ".py"), module / "__init__.py"


def _is_not_installed(top: str) -> bool:
    try:
        return importlib.util.find_spec(top) is None
    except (ImportError, ValueError):
        return False


def _bound(node: ast.stmt) -> set[str]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {node.name}
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return {alias.asname or alias.name.partition(".")[0] for alias in node.names} | (
            {"*"} if any(alias.name == "*" for alias in node.names) else set()
        )
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)}
