"""What a file of models offers, read and never run: what to name after its `:`."""

from __future__ import annotations

import ast
from pathlib import Path

MOST_BYTES, MOST_NAMED = 1_000_000, 5


def attribute_cure(text: str) -> str:
    """What to write in place of a file's name alone: with the classes and functions that are in it."""
    path = Path(text)
    names = offered(path)
    if names:
        return "add the attribute that is meant: " + " or ".join(f"{text}:{name}" for name in names[:MOST_NAMED])
    missing = "" if path.is_file() else "there is no such file; "
    return f"{missing}add the attribute, such as {text}:build"


def offered(path: Path) -> list[str]:
    """Public classes and functions of a file's top, modules first; none where it can't be read."""
    try:
        if path.suffix != ".py" or path.stat().st_size > MOST_BYTES:
            return []
        body = ast.parse(path.read_bytes()).body
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    made = [node for node in body if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name[0] != "_"]
    return [node.name for node in sorted(made, key=lambda node: not _is_module(node))]


def _is_module(node: ast.ClassDef | ast.FunctionDef) -> bool:
    return isinstance(node, ast.ClassDef) and any("Module" in ast.unparse(base) for base in node.bases)
