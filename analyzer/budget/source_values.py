"""What an expression in a source comes to, where that can be read: numbers, texts, lists, tables, configurations.

Names are followed to their assignments, to defaults of the function around them and of the command line's arguments,
and through imports. A configuration object is a table whose `from` says what makes it.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from analyzer.budget.source_index import Definition, SourceIndex, dotted_name

UNKNOWN: Any = type("Unknown", (), {"__repr__": lambda self: "UNKNOWN"})()
"""What can't be read."""
_DEPTH = 12
_LARGEST = 2**40
_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv,
    ast.Div: operator.truediv, ast.Mod: operator.mod,
}  # fmt: skip
_PLAIN_MAKERS = {"argparse.Namespace", "types.SimpleNamespace"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


class SourceScope:
    """A place in a file: the functions around it, the innermost last, and the line up to which names are set."""

    def __init__(self, index: SourceIndex, file: str, around: tuple[Function, ...] = (), line: int = 10**9) -> None:
        self.index, self.file, self.around, self.line = index, file, around, line

    def value(self, node: ast.AST | None, depth: int = 0) -> Any:
        """A plain value, or UNKNOWN."""
        if node is None or depth > _DEPTH:
            return UNKNOWN
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, (bool, int, float, str)) or node.value is None else UNKNOWN
        if isinstance(node, (ast.List, ast.Tuple)):
            each = [self.value(part, depth + 1) for part in node.elts]
            return UNKNOWN if any(part is UNKNOWN for part in each) else each
        if isinstance(node, ast.Dict):
            return self._table(node, depth)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.Not)):
            value = self.value(node.operand, depth + 1)
            if isinstance(node.op, ast.Not):
                return not value if isinstance(value, bool) else UNKNOWN
            return -value if type(value) in (int, float) else UNKNOWN
        if isinstance(node, ast.BinOp):
            return self._arithmetic(node, depth)
        if isinstance(node, ast.Name):
            return self._named(node.id, depth)
        if isinstance(node, ast.Attribute):
            return self._attribute(node, depth)
        if isinstance(node, ast.Subscript):
            return _item(self.value(node.value, depth + 1), self.value(node.slice, depth + 1))
        return self._called(node, depth) if isinstance(node, ast.Call) else UNKNOWN

    def _table(self, node: ast.Dict, depth: int) -> Any:
        table: dict[str, Any] = {}
        for key, part in zip(node.keys, node.values, strict=True):
            value = self.value(part, depth + 1)
            if key is None and isinstance(value, dict):
                table |= value
                continue
            name = self.value(key, depth + 1)
            if not isinstance(name, str) or value is UNKNOWN:
                return UNKNOWN
            table[name] = value
        return table

    def _arithmetic(self, node: ast.BinOp, depth: int) -> Any:
        left, right = self.value(node.left, depth + 1), self.value(node.right, depth + 1)
        apply = _OPERATORS.get(type(node.op))
        if apply is None or type(left) not in (int, float) or type(right) not in (int, float):
            if isinstance(node.op, ast.Mult) and isinstance(left, list) and type(right) is int and right <= 64:
                return left * right
            return UNKNOWN
        try:
            made = apply(left, right)
        except ArithmeticError:
            return UNKNOWN
        return made if abs(made) < _LARGEST else UNKNOWN

    # -- names -------------------------------------------------------------------------------------------------

    def binding(self, name: str) -> ast.expr | None:
        """The expression that a name was last set to before this place, in the functions around it or at the top."""
        for body in [*reversed(self.around), self.index.files[self.file].tree]:
            found = [value for line, value in _settings(body, name) if line < self.line]
            found = found or [value for _, value in _settings(body, name)][:1]
            if found:
                return found[-1]
            if isinstance(body, (ast.FunctionDef, ast.AsyncFunctionDef)) and name in (
                defaults := defaults_of(body.args)
            ):
                return defaults[name]
        return None

    def _named(self, name: str, depth: int) -> Any:
        bound = self.binding(name)
        if bound is None:
            there = self.index.assigned(self.file, name)
            return UNKNOWN if there is None else SourceScope(self.index, there[0]).value(there[1], depth + 1)
        if isinstance(bound, ast.Name) and bound.id == name:
            return UNKNOWN
        value = self.value(bound, depth + 1)
        return {**value, **self._set_later(name, depth)} if isinstance(value, dict) else value

    def _set_later(self, name: str, depth: int) -> dict[str, Any]:
        """`config.n_layer = 4`, `config["n_layer"] = 4` before this place."""
        later: dict[str, Any] = {}
        for body in [self.index.files[self.file].tree, *self.around]:
            for node in _walk_scope(body):
                if isinstance(node, ast.Assign) and node.lineno < self.line:
                    for key in filter(None, (_key_of(target, name) for target in node.targets)):
                        later[key] = self.value(node.value, depth + 1)
        return {key: value for key, value in later.items() if value is not UNKNOWN}

    def _attribute(self, node: ast.Attribute, depth: int) -> Any:
        owner = self.value(node.value, depth + 1)
        if isinstance(owner, dict):
            if node.attr in owner:
                return owner[node.attr]
            made = owner.get("from")
            return self._default_of(made, node.attr) if isinstance(made, str) else UNKNOWN
        return UNKNOWN

    def _default_of(self, maker: str, name: str) -> Any:
        file, _, attribute = maker.rpartition(":")
        source = self.index.files.get(file)
        found = source.definitions.get(attribute) if source else None
        fields = fields_of(found) if found is not None else {}
        return SourceScope(self.index, file).value(fields.get(name)) if name in fields else UNKNOWN

    # -- calls -------------------------------------------------------------------------------------------------

    def _called(self, node: ast.Call, depth: int) -> Any:
        name = dotted_name(node.func)
        if name == "dict" and not node.args:
            return self.keywords(node, depth)
        if name in ("tuple", "list") and len(node.args) == 1:
            return self.value(node.args[0], depth + 1)
        if name.endswith(("parse_args", "parse_known_args")):
            known = self.index.arguments
            if self.file not in known:
                known[self.file] = {}  # a default that is made of the arguments themselves ends here
                known[self.file] = self._arguments()
            return {"from": "argparse:Namespace", **known[self.file]}
        meaning = self.index.meaning(self.file, name) if name else None
        if isinstance(meaning, Definition) and isinstance(meaning.node, ast.ClassDef):
            return self._configuration(node, meaning, depth)
        if isinstance(meaning, Definition) and isinstance(meaning.node, ast.FunctionDef):
            returned = [part.value for part in _walk_scope(meaning.node) if isinstance(part, ast.Return)]
            inner = SourceScope(self.index, meaning.file, (meaning.node,))
            return inner.value(returned[0], depth + 1) if len(returned) == 1 and not node.args else UNKNOWN
        owner, _, method = name.rpartition(".")
        owned = self.index.meaning(self.file, owner) if owner else None
        if isinstance(owned, Definition) and not node.args and "config" in method.lower():
            return {"from": f"{owned.target}.{method}", **self.keywords(node, depth)}
        if isinstance(meaning, str) and (meaning in _PLAIN_MAKERS or meaning.rpartition(".")[2].endswith("Config")):
            module, _, attribute = meaning.rpartition(".")
            return {"from": f"{module}:{attribute}", **self.keywords(node, depth)}
        return UNKNOWN

    def _configuration(self, node: ast.Call, of: Definition, depth: int) -> Any:
        """An object of a class of the repository, as a table; a value that can't be read and has a default is left."""
        fields = list(fields_of(of))
        if not fields and (node.args or node.keywords):
            return UNKNOWN
        given = dict(zip(fields, (self.value(part, depth + 1) for part in node.args), strict=False))
        given |= self.keywords(node, depth, keep_unknown=True)
        known = {name: value for name, value in given.items() if value is not UNKNOWN and value is not None}
        needed = [name for name, default in fields_of(of).items() if default is None]
        return UNKNOWN if any(name not in known for name in needed) else {"from": of.target, **known}

    def keywords(self, node: ast.Call, depth: int = 0, *, keep_unknown: bool = False) -> dict[str, Any]:
        """A call's arguments by name, tables that are spread into it included."""
        made: dict[str, Any] = {}
        for keyword in node.keywords:
            value = self.value(keyword.value, depth + 1)
            if keyword.arg is None:
                made |= {key: part for key, part in value.items() if key != "from"} if isinstance(value, dict) else {}
            elif value is not UNKNOWN or keep_unknown:
                made[keyword.arg] = value
        return made

    def _arguments(self) -> dict[str, Any]:
        """The defaults of every argument that the file's parsers take."""
        made: dict[str, Any] = {}
        for node in ast.walk(self.index.files[self.file].tree):
            if isinstance(node, ast.Call) and dotted_name(node.func).endswith("add_argument"):
                names = [part.value for part in node.args if isinstance(part, ast.Constant)]
                told = {word.arg: word.value for word in node.keywords}
                flags = [name for name in names if isinstance(name, str)]
                long = [name for name in flags if name.startswith("--")] or flags
                if not long:
                    continue
                key = self.value(told["dest"]) if "dest" in told else long[0].lstrip("-").replace("-", "_")
                value = self.value(told.get("default"))
                if "default" not in told and "action" in told:
                    value = {"store_true": False, "store_false": True}.get(self.value(told["action"]), UNKNOWN)
                if value is not UNKNOWN and isinstance(key, str):
                    made[key] = _converted(value, dotted_name(told.get("type")))
        return {key: value for key, value in made.items() if value is not None}


def _converted(value: Any, kind: str) -> Any:
    """A default in the argument's type: argparse converts texts."""
    makers: Mapping[str, Callable[[Any], Any]] = {"int": int, "float": float}
    try:
        return makers[kind](value) if isinstance(value, str) and kind in makers else value
    except ValueError:
        return value


def _key_of(target: ast.expr, name: str) -> str:
    """The key or attribute of a named object that a statement sets; empty where it sets another thing."""
    if not isinstance(target, (ast.Attribute, ast.Subscript)) or getattr(target.value, "id", "") != name:
        return ""
    if isinstance(target, ast.Attribute):
        return target.attr
    key = target.slice.value if isinstance(target.slice, ast.Constant) else None
    return key if isinstance(key, str) else ""


def _item(of: Any, key: Any) -> Any:
    try:
        return of[key] if isinstance(of, (dict, list)) and key is not UNKNOWN else UNKNOWN
    except (KeyError, IndexError, TypeError):
        return UNKNOWN


def _walk_scope(body: ast.AST) -> Iterator[ast.AST]:
    """The statements of a scope and its expressions, in their order; not those of functions within it."""
    for child in ast.iter_child_nodes(body):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            continue
        yield child
        yield from _walk_scope(child)


def _settings(body: ast.AST, name: str) -> Iterator[tuple[int, ast.expr]]:
    for node in _walk_scope(body):
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name) and target.id == name:
                    yield node.lineno, node.value
                elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                    pairs = zip(target.elts, node.value.elts, strict=False)
                    yield from ((node.lineno, value) for each, value in pairs if getattr(each, "id", "") == name)


def defaults_of(arguments: ast.arguments) -> dict[str, ast.expr]:
    """The defaults of a function's arguments, by name."""
    placed = [*arguments.posonlyargs, *arguments.args]
    last = placed[len(placed) - len(arguments.defaults) :]
    made = {argument.arg: default for argument, default in zip(last, arguments.defaults, strict=True)}
    keyed = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return made | {argument.arg: default for argument, default in keyed if default is not None}


def fields_of(definition: Definition) -> dict[str, ast.expr | None]:
    """The arguments of a class or function by name, with their defaults (None: it must be given)."""
    node = definition.node
    if isinstance(node, ast.ClassDef):
        makers = [part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"]
        if not makers:
            annotated = [part for part in node.body if isinstance(part, ast.AnnAssign)]
            return {part.target.id: part.value for part in annotated if isinstance(part.target, ast.Name)}
        arguments, skip = makers[0].args, 1
    else:
        arguments, skip = node.args, 0
    defaults = defaults_of(arguments)
    names = [argument.arg for argument in [*arguments.posonlyargs, *arguments.args]][skip:]
    return {name: defaults.get(name) for name in [*names, *(argument.arg for argument in arguments.kwonlyargs)]}
