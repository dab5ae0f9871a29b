"""A repository's Python as it is written: what each file defines and imports, and what a name means in it.

Nothing is imported. Tests, scripts and the README's code blocks are read too, for how models are made and called; but
only what lies outside of them is a model to configure.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from analyzer.errors import words_of

MOST_FILES, MOST_BYTES = 5000, 2**20
_SKIPPED = {"build", "dist", "node_modules", "site-packages", "__pycache__", "venv", "env"}
_BESIDE = {"tests", "test", "docs"}
_BLOCK = re.compile(r"^```(?:python|py)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL | re.IGNORECASE)
_PROMPT = re.compile(r"^(>>> ?|\.\.\. ?)", re.MULTILINE)

Maker = ast.ClassDef | ast.FunctionDef


@dataclass(frozen=True, eq=False)
class Definition:
    """A class or function at the top level of a file."""

    file: str
    node: Maker

    @property
    def target(self) -> str:
        """How a configuration names it."""
        return f"{self.file}:{self.node.name}"


@dataclass(eq=False)
class SourceFile:
    """One file, or one code block of the README: its definitions, and where its other names come from.

    `imports` are (module, name in it or empty, dots) by local name; `stars` modules of which all names were imported.
    """

    file: str
    tree: ast.Module
    beside: bool
    definitions: dict[str, Definition] = field(default_factory=dict)
    imports: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    stars: list[tuple[str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for statement in self.tree.body:
            if isinstance(statement, (ast.ClassDef, ast.FunctionDef)):
                self.definitions[statement.name] = Definition(self.file, statement)
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for each in node.names:
                    name = each.name if each.asname else each.name.partition(".")[0]
                    self.imports[each.asname or name] = (name, "", 0)
            elif isinstance(node, ast.ImportFrom):
                for each in node.names:
                    if each.name == "*":
                        self.stars.append((node.module or "", node.level))
                    else:
                        self.imports[each.asname or each.name] = (node.module or "", each.name, node.level)


class SourceIndex:
    """All files of a folder, and what a dotted name in one of them is.

    `unread` says of files why they were not read. `arguments` are for whoever reads a file's command line once.
    """

    def __init__(self, folder: Path) -> None:
        self.files: dict[str, SourceFile] = {}
        self.unread: dict[str, str] = {}
        self.arguments: dict[str, dict[str, Any]] = {}
        self._meanings: dict[tuple[str, str], Definition | str | None] = {}
        self._homes: dict[tuple[PurePosixPath, str, int], str | None] = {}
        for path in files(folder, beside=True, unread=self.unread):
            name = path.relative_to(folder).as_posix()
            self._add(name, path, _is_beside(PurePosixPath(name)))
        for path in sorted(folder.glob("[Rr][Ee][Aa][Dd][Mm][Ee].*")):
            if path.is_file() and not path.is_symlink() and path.stat().st_size <= MOST_BYTES:
                self._add_blocks(path)

    def _add(self, name: str, path: Path, beside: bool) -> None:
        try:
            self.files[name] = SourceFile(name, ast.parse(path.read_bytes()), beside)
        except (SyntaxError, ValueError, RecursionError, OSError, MemoryError) as error:
            self.unread[name] = f"can't be read: {words_of(error)}"

    def _add_blocks(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8", errors="replace").replace("\r\n", "\n")
        for number, block in enumerate(_BLOCK.findall(text)):
            try:
                tree = ast.parse(_PROMPT.sub("", block) if ">>>" in block else block)
            except (SyntaxError, ValueError, RecursionError):
                continue
            name = f"{path.name}#{number}"
            self.files[name] = SourceFile(name, tree, True)

    # -- names -------------------------------------------------------------------------------------------------

    def meaning(self, file: str, dotted: str) -> Definition | str | None:
        """The definition that a dotted name in a file is; the full dotted name of what is from elsewhere."""
        key = (file, dotted)
        if key not in self._meanings:
            self._meanings[key] = self._meaning(file, dotted, frozenset())
        return self._meanings[key]

    def _meaning(self, file: str, dotted: str, seen: frozenset[tuple[str, str]]) -> Definition | str | None:
        source = self.files.get(file)
        if source is None or (file, dotted) in seen:
            return None
        seen |= {(file, dotted)}
        first, _, rest = dotted.partition(".")
        if first in source.definitions:
            return source.definitions[first] if not rest else None
        if first in source.imports:
            module, name, level = source.imports[first]
            return self._imported(file, module, ".".join(filter(None, [name, rest])), level, seen)
        for module, level in source.stars:
            found = self._imported(file, module, dotted, level, seen)
            if isinstance(found, Definition):
                return found
        return None

    def _imported(
        self, file: str, module: str, name: str, level: int, seen: frozenset[tuple[str, str]]
    ) -> Definition | str | None:
        """What `name` of a module is, where the module, or one below it that the name begins with, is a file here."""
        parts = name.split(".") if name else []
        for length in range(len(parts), -1, -1):
            dotted = ".".join(filter(None, [module, *parts[:length]]))
            home = self.file_of(file, dotted, level)
            if home is not None:
                rest = ".".join(parts[length:])
                return self._meaning(home, rest, seen) if rest else None
        return ".".join(filter(None, [module, name])) if level == 0 else None

    def file_of(self, file: str, module: str, level: int = 0) -> str | None:
        """The file that a module is, as the importing file sees it; None where it is from elsewhere."""
        here = PurePosixPath(file.partition("#")[0]).parent
        key = (here, module, level)
        if key not in self._homes:
            self._homes[key] = self._home(here, module, level)
        return self._homes[key]

    def _home(self, here: PurePosixPath, module: str, level: int) -> str | None:
        parts = module.split(".") if module else []
        for _ in range(level - 1):
            here = here.parent
        tops = [here] if level else [here, *here.parents, PurePosixPath("src")]
        for top in tops:
            base = top.joinpath(*parts)
            for path in (f"{base}.py", (base / "__init__.py").as_posix()):
                if path in self.files:
                    return path
        return None

    def assigned(self, file: str, name: str) -> tuple[str, ast.expr] | None:
        """What a top-level name of a file, or of where it is imported from, is set to; and the file that says so."""
        source = self.files.get(file)
        for _ in range(8):
            if source is None:
                return None
            for node in source.tree.body:
                if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
                    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                    if any(isinstance(each, ast.Name) and each.id == name for each in targets):
                        return source.file, node.value
            if name not in source.imports:
                return None
            module, inner, level = source.imports[name]
            home = self.file_of(source.file, module, level) if inner else None
            source, name = self.files.get(home or ""), inner
        return None


def files(folder: Path, *, beside: bool = False, unread: dict[str, str] | None = None) -> Iterator[Path]:
    """The Python files below a folder that may hold models: none hidden or installed, no tests but with `beside`.

    Those that are too large, or too many, go to `unread` with the reason.
    """
    left = {} if unread is None else unread
    number = 0
    for path in sorted(folder.rglob("*.py")):
        relative = path.relative_to(folder)
        hidden = any(part.startswith(".") or part in _SKIPPED for part in relative.parts[:-1])
        if hidden or path.is_symlink():
            continue
        try:
            size = path.stat().st_size
        except OSError:  # gone since it was listed
            continue
        if size > MOST_BYTES:
            left[relative.as_posix()] = f"is larger than {MOST_BYTES:,} bytes"
            continue
        if not beside and _is_beside(PurePosixPath(relative.as_posix())):
            continue
        number += 1
        if number > MOST_FILES:
            left["and files after it"] = f"only {MOST_FILES:,} are read: name a folder below"
            return
        yield path


def _is_beside(path: PurePosixPath) -> bool:
    return bool(_BESIDE & set(path.parts[:-1])) or path.name.startswith("test_") or path.name == "conftest.py"


def dotted_name(node: ast.AST | None) -> str:
    """`torch.nn.Module` of such an expression, quoted ones included; empty of any other."""
    if isinstance(node, ast.Attribute):
        above = dotted_name(node.value)
        return f"{above}.{node.attr}" if above else ""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value if re.fullmatch(r"[\w.]+", node.value) else ""
    return node.id if isinstance(node, ast.Name) else ""
