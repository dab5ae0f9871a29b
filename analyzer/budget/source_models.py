"""Which classes and functions of a repository make models, and every call that makes one, with its arguments."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from analyzer.budget.source_index import Definition, SourceIndex, dotted_name
from analyzer.budget.source_values import UNKNOWN, Function, SourceScope, fields_of

_CONTAINERS = {"Module", "Sequential", "ModuleList", "ModuleDict", "LightningModule", "PreTrainedModel"}
_ELSEWHERE = re.compile(
    r"timm(\.models)?\.create_model|torchvision\.models(\.\w+)?\.[a-z]\w*|transformers\.\w*(Model|For[A-Z]\w*)"
)
"""What makes a model in packages that many use."""
_FIRST = {"timm": "model_name", "transformers": "config"}
"""What those take by position."""
_WEIGHTS = ("pretrained", "weights", "progress")
"""Arguments that fetch something, or are about that."""
_RUNS = ("parse_args", "backward", "DataLoader", "step")
"""What a function that does more than make a model calls."""


@dataclass(frozen=True, eq=False)
class Construction:
    """A call that makes a model: of a definition here, or of the dotted name of one elsewhere.

    `variable` is what it is assigned to; `within` the definition whose body it stands in.
    """

    of: Definition | str
    node: ast.Call
    scope: SourceScope
    variable: str
    within: Definition | None

    def arguments(self) -> tuple[dict[str, object], list[str]]:
        """The arguments that can be read, and the names of those that can't and must be given."""
        fields = fields_of(self.of) if isinstance(self.of, Definition) else {}
        names = [*fields] or [_FIRST.get(str(self.of).partition(".")[0], "")]
        given = dict(zip(names, map(self.scope.value, self.node.args), strict=False))
        given |= self.scope.keywords(self.node, keep_unknown=True)
        given = {name: _without_none(value) for name, value in given.items()}
        if isinstance(self.of, str):
            given = {name: value for name, value in given.items() if name not in _WEIGHTS}
            return {n: v for n, v in given.items() if v is not UNKNOWN}, [n for n, v in given.items() if v is UNKNOWN]
        known = {name: value for name, value in given.items() if value is not UNKNOWN}
        return known, [name for name, default in fields.items() if default is None and name not in known]


def _without_none(value: object) -> object:
    """UNKNOWN where a configuration could not say it: TOML has no null."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return UNKNOWN if value is None or any(_without_none(part) is UNKNOWN for part in parts) else value


class SourceModels:
    """The classes that are modules, the functions that make one, and the calls of either."""

    def __init__(self, index: SourceIndex) -> None:
        self.index = index
        self.classes: dict[Definition, None] = {}
        self.factories: dict[Definition, None] = {}
        self._bodies: dict[Definition, tuple[bool, list[tuple[str, ast.expr]], list[ast.expr]]] = {}
        own = [d for source in index.files.values() for d in source.definitions.values()]
        self._grow(self.classes, [d for d in own if isinstance(d.node, ast.ClassDef)], self._is_module)
        self._grow(self.factories, [d for d in own if isinstance(d.node, ast.FunctionDef)], self._is_factory)
        self.makers = {*self.classes, *self.factories}
        self.constructions = [made for file in index.files for made in self._constructions(file)]

    def makes(self, file: str, node: ast.AST | None) -> Definition | str | None:
        """What an expression names, if that makes a model."""
        name = dotted_name(node)
        meaning = self.index.meaning(file, name) if name else None
        if isinstance(meaning, Definition):
            return meaning if meaning in self.classes or meaning in self.factories else None
        return meaning if isinstance(meaning, str) and _ELSEWHERE.fullmatch(meaning) else None

    @staticmethod
    def _grow(found: dict[Definition, None], rest: list[Definition], test: Callable[[Definition], bool]) -> None:
        """Adds to `found` until nothing more follows from what is in it."""
        before = -1
        while len(found) > before:
            before = len(found)
            found.update(dict.fromkeys(each for each in rest if each not in found and test(each)))

    def _is_module(self, definition: Definition) -> bool:
        assert isinstance(definition.node, ast.ClassDef)
        return any(self._is_base(definition.file, base) for base in definition.node.bases)

    def _is_base(self, file: str, base: ast.expr) -> bool:
        name = dotted_name(base)
        meaning = self.index.meaning(file, name) if name else None
        if isinstance(meaning, Definition):
            return meaning in self.classes
        return name.rpartition(".")[2] in _CONTAINERS or bool(self.makes(file, base))

    def _is_factory(self, definition: Definition) -> bool:
        file, node = definition.file, definition.node
        assert isinstance(node, ast.FunctionDef)
        runs, assigned, returned = self._bodies.get(definition) or self._body(definition)
        said = node.returns
        if runs:
            return False
        if said is not None and (self.makes(file, said) or self._is_base(file, said)):
            return True
        made = {name for name, value in assigned if self._is_made(file, value)}
        return any(self._is_made(file, value) or dotted_name(value) in made for value in returned)

    def _body(self, definition: Definition) -> tuple[bool, list[tuple[str, ast.expr]], list[ast.expr]]:
        """Of a function: whether it does more than make a model, what it assigns calls to, what it returns."""
        runs = False
        assigned: list[tuple[str, ast.expr]] = []
        returned: list[ast.expr] = []
        for part in ast.walk(definition.node):
            if isinstance(part, ast.Call):
                runs = runs or dotted_name(part.func).rpartition(".")[2] in _RUNS
            elif isinstance(part, ast.Assign) and isinstance(part.value, ast.Call):
                assigned += [(target.id, part.value) for target in part.targets if isinstance(target, ast.Name)]
            elif isinstance(part, ast.Return) and part.value is not None:
                returned.append(part.value)
        self._bodies[definition] = runs, assigned, returned
        return self._bodies[definition]

    def _is_made(self, file: str, value: ast.expr) -> bool:
        return isinstance(value, ast.Call) and (bool(self.makes(file, value.func)) or self._is_base(file, value.func))

    @cached_property
    def dummies(self) -> list[tuple[str, ast.expr]]:
        """What is assigned to names like `dummy_input` anywhere: file and expression."""
        return [
            (file, node.value)
            for file, source in self.index.files.items()
            for node in ast.walk(source.tree)
            if isinstance(node, ast.Assign) and "dummy" in dotted_name(node.targets[0]).lower()
        ]

    # -- calls -------------------------------------------------------------------------------------------------

    def _constructions(self, file: str) -> Iterator[Construction]:
        source = self.index.files[file]
        for statement in source.tree.body:
            name = getattr(statement, "name", "")
            within = (
                source.definitions.get(name) if getattr(source.definitions.get(name), "node", 0) is statement else None
            )
            for node, around, variable in _calls(statement, (), ""):
                of = self.makes(file, node.func)
                if of is not None:
                    scope = SourceScope(self.index, file, around, node.lineno + 1)
                    yield Construction(of, node, scope, variable, within)


def _calls(
    node: ast.AST, around: tuple[Function, ...], variable: str
) -> Iterator[tuple[ast.Call, tuple[Function, ...], str]]:
    """Every call below a node, with the functions around it and the name that its value is assigned to."""
    if isinstance(node, ast.Call):
        yield node, around, variable
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        around = (*around, node)
    inherits = variable if isinstance(node, (ast.Call, ast.Attribute)) else ""  # net = Net().to(device)
    carrier = node.func if isinstance(node, ast.Call) else getattr(node, "value", None)
    if isinstance(node, ast.Assign):
        inherits = dotted_name(node.targets[0])
    for child in ast.iter_child_nodes(node):
        yield from _calls(child, around, inherits if child is carrier else "")


def calls_in(node: ast.AST) -> Sequence[ast.Call]:
    """The calls below a node, in the source's order."""
    found = [part for part in ast.walk(node) if isinstance(part, ast.Call)]
    return sorted(found, key=lambda call: (call.lineno, call.col_offset))
