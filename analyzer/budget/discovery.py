"""Models of a package, found by reading its source: nothing is imported.

A class is a module if one of its bases is, by name: torch's own, or another class found here. A function is a factory
if it is annotated to return a module, or returns a call of one. Parts that other modules are made of are left out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

MOST_FILES, MOST_BYTES = 2000, 2**20
_SKIPPED = {"tests", "test", "docs", "build", "dist", "node_modules", "site-packages", "__pycache__", "venv", "env"}
_TORCH_CONTAINERS = {"Module", "Sequential", "ModuleList", "ModuleDict"}
_FIRST_LAYERS = {
    "Conv1d": "1,{},1024", "Conv2d": "1,{},224,224", "Conv3d": "1,{},16,112,112",
    "Linear": "1,{}", "Embedding": "1,128:int64",
}  # fmt: skip
"""What a model whose first layer is this takes; {} is the layer's first argument."""


@dataclass(frozen=True)
class Candidate:
    """A class or function that makes a model. `needs` are its arguments without a default; `input` a guess, or None."""

    target: str
    name: str
    line: int
    needs: tuple[str, ...]
    input: str | None


@dataclass(frozen=True)
class _Definition:
    file: str
    node: ast.ClassDef | ast.FunctionDef
    calls: frozenset[str]


def candidates(folder: Path) -> list[Candidate]:
    """The models of all Python files below a folder, in the order of files and lines."""
    definitions = [d for path in files(folder) for d in _definitions(path, path.relative_to(folder).as_posix())]
    classes = {d.node.name: d for d in definitions if isinstance(d.node, ast.ClassDef)}
    modules = _module_classes(classes)
    parts = {call for name in modules for call in classes[name].calls if call in modules and call != name}
    factories = [d for d in definitions if isinstance(d.node, ast.FunctionDef) and _is_factory(d.node, modules)]
    made = {call for factory in factories for call in factory.calls}
    tops = [
        d
        for d in definitions
        if isinstance(d.node, ast.ClassDef) and d.node.name in set(modules) - parts and d.node.name not in made
    ]
    makers = [d for d in [*factories, *tops] if not d.node.name.startswith("_")]
    return [_candidate(d, classes) for d in sorted(makers, key=lambda d: (d.file, d.node.lineno))]


def files(folder: Path) -> Iterator[Path]:
    """The Python files below a folder that may hold models: none of tests, hidden or installed ones."""
    number = 0
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith(".") or part in _SKIPPED for part in parts[:-1])
        if hidden or path.name.startswith("test_") or path.is_symlink() or path.stat().st_size > MOST_BYTES:
            continue
        number += 1
        if number > MOST_FILES:
            return
        yield path


def _definitions(path: Path, file: str) -> Iterator[_Definition]:
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError, OSError):
        return
    for node in tree.body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            yield _Definition(file, node, frozenset(_calls(node)))


def _calls(node: ast.AST) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Call):
            name = _last(inner.func)
            if name:
                yield name


def _last(node: ast.AST | None) -> str:
    """The last part of a dotted name: `Module` of `torch.nn.Module`."""
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value.rpartition(".")[2]
    return node.id if isinstance(node, ast.Name) else ""


def _module_classes(classes: dict[str, _Definition]) -> list[str]:
    modules: dict[str, None] = {}
    while True:
        new = [
            name
            for name, definition in classes.items()
            if name not in modules
            and isinstance(definition.node, ast.ClassDef)
            and any(_last(base) in modules or _last(base) in _TORCH_CONTAINERS for base in definition.node.bases)
        ]
        if not new:
            return list(modules)
        modules.update(dict.fromkeys(new))


def _is_factory(node: ast.FunctionDef, modules: Iterable[str]) -> bool:
    known = {*modules, *_TORCH_CONTAINERS}
    if _last(node.returns) in known:
        return True
    made = {
        target.id
        for inner in ast.walk(node)
        if isinstance(inner, ast.Assign) and isinstance(inner.value, ast.Call) and _last(inner.value.func) in known
        for target in inner.targets
        if isinstance(target, ast.Name)
    }
    for inner in ast.walk(node):
        if isinstance(inner, ast.Return) and inner.value is not None:
            value = inner.value
            if (isinstance(value, ast.Call) and _last(value.func) in known) or _last(value) in made:
                return True
    return False


def _candidate(definition: _Definition, classes: dict[str, _Definition]) -> Candidate:
    node = definition.node
    guess = _input(node, classes, set())
    return Candidate(
        target=f"{definition.file}:{node.name}",
        name=node.name,
        line=node.lineno,
        needs=tuple(_needed(_signature(node), isinstance(node, ast.ClassDef))),
        input=None if guess is None or "{}" in guess else guess,
    )


def _signature(node: ast.ClassDef | ast.FunctionDef) -> ast.arguments | None:
    if isinstance(node, ast.FunctionDef):
        return node.args
    made = [inner for inner in node.body if isinstance(inner, ast.FunctionDef) and inner.name == "__init__"]
    return made[0].args if made else None


def _needed(signature: ast.arguments | None, is_class: bool) -> list[str]:
    if signature is None:
        return []
    positional = [*signature.posonlyargs, *signature.args]
    positional = positional[: len(positional) - len(signature.defaults)]
    keywords = [a for a, default in zip(signature.kwonlyargs, signature.kw_defaults, strict=True) if default is None]
    return [argument.arg for argument in [*positional[1 if is_class else 0 :], *keywords]]


def _input(node: ast.AST, classes: dict[str, _Definition], seen: set[str]) -> str | None:
    """The input of the first layer that is made in the source's order, its parts' layers included."""
    calls = [inner for inner in ast.walk(node) if isinstance(inner, ast.Call)]
    for call in sorted(calls, key=lambda call: (call.lineno, call.col_offset)):
        name = _last(call.func)
        if name in classes and name not in seen:
            seen.add(name)
            template = _input(classes[name].node, classes, seen)
            if template is not None:
                values = [a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, int)]
                return template.format(values[0]) if "{}" in template and values else template
        if name in _FIRST_LAYERS:
            first = call.args[0] if call.args else None
            known = isinstance(first, ast.Constant) and isinstance(first.value, int)
            return _FIRST_LAYERS[name].format(first.value if known and isinstance(first, ast.Constant) else "{}")
    return None
