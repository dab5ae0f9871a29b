"""Who pays, as people would say it: equal layers as a group, growth everywhere as such, the argument that did it."""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from analyzer.budget.verdict import Payer

FEWEST, MANY = 3, 6
"""How many layers of one form are a group: where they changed alike, and in any case."""
SHOWN_ARGUMENTS = 3
_NUMBERED = re.compile(r"\D+\d+")


@dataclass(frozen=True)
class PayerGroup:
    """One module that pays, or several of one form, whose paths differ in the numbers that `*` stands for."""

    path: str
    payers: tuple[Payer, ...]

    @property
    def delta(self) -> int:
        """How much they grew together."""
        return sum(payer.delta for payer in self.payers)

    @property
    def before(self) -> int | None:
        """What they cost before; None where they were not there."""
        return _total([payer.before for payer in self.payers])

    @property
    def after(self) -> int | None:
        """What they cost now; None where they are no more."""
        return _total([payer.after for payer in self.payers])


def _total(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def grouped(changes: Sequence[Payer]) -> list[PayerGroup]:
    """The payers, those of repeated layers together, in the order of `changes`: the largest first."""
    forms: dict[tuple[object, ...], list[Payer]] = defaultdict(list)
    for payer in changes:
        state = (payer.before is None, payer.after is None, payer.delta > 0)
        forms[_form(payer.path), payer.type, *state].append(payer)
    groups = []
    for payers in forms.values():
        alike = len({(payer.before, payer.after) for payer in payers}) == 1
        if len(payers) >= (FEWEST if alike or not payers[0].path.split(".")[-1].isdecimal() else MANY):
            groups.append(PayerGroup(_common(payers), tuple(payers)))
        else:
            groups += [PayerGroup(payer.path, (payer,)) for payer in payers]
    shrinks = bool(changes) and changes[0].delta < 0
    return sorted(groups, key=lambda group: group.delta if shrinks else -group.delta)


def _form(path: str) -> str:
    """The path with `*` for what counts equal modules: whole numbers, and the ends of containers' names."""
    *above, last = path.split(".")
    parts = [part.rstrip("0123456789") + "*" if _counts(part) else part for part in above]
    return ".".join([*parts, "*" if last.isdecimal() else last])


def _counts(part: str) -> bool:
    return part.isdecimal() or _NUMBERED.fullmatch(part) is not None


def _common(payers: Sequence[Payer]) -> str:
    """Their form, with the numbers that are the same in all of them."""
    form = _form(payers[0].path).split(".")
    each = zip(*(payer.path.split(".") for payer in payers), strict=True)
    return ".".join(own.pop() if len(own := set(parts)) == 1 else star for parts, star in zip(each, form, strict=True))


def spread(changes: Sequence[Payer], layers: int) -> str:
    """Says so where nearly all of the `layers` that cost anything grew; empty else."""
    grown = sum(change.delta > 0 and change.before is not None for change in changes)
    return f"every width grew, in {grown:,} of {layers:,} layers" if grown >= max(MANY, 0.75 * layers) else ""


# -- the argument that did it ----------------------------------------------------------------------------------


def arguments_changed(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """`growth_rate 12 to 14`: numbers by name that differ between two versions of the same files; a few, or none."""
    told: Counter[str] = Counter()
    for file in before.keys() & after.keys():
        was, now = dict(_numbers(before[file])), dict(_numbers(after[file]))
        told.update(f"{key[-2]} {was[key]} to {now[key]}" for key in was if key in now and was[key] != now[key])
    return list(told) if len(told) <= SHOWN_ARGUMENTS else []


def _numbers(source: str) -> Iterator[tuple[tuple[str, str, int], object]]:
    """Each number with a name in a source (a default, an argument, an assignment): scope, name and which; its value."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return
    seen: Counter[tuple[str, str]] = Counter()
    for scope, name, value in _named(tree, "", _signatures(tree)):
        if isinstance(value, ast.Constant) and isinstance(value.value, (int, float)) and value.value is not True:
            yield (scope, name, seen[scope, name]), value.value
        seen[scope, name] += 1


def _signatures(tree: ast.Module) -> dict[str, list[str]]:
    """The names of the arguments that a file's own functions and classes take by position."""
    taken: dict[str, list[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            taken[node.name] = [argument.arg for argument in node.args.args]
        elif isinstance(node, ast.ClassDef):
            makers = [part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"]
            taken[node.name] = [argument.arg for maker in makers for argument in maker.args.args[1:]]
    return taken


def _named(node: ast.AST, scope: str, taken: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str, ast.expr]]:
    if isinstance(node, ast.arguments):
        defaults = [*node.defaults, *filter(None, node.kw_defaults)]
        plain = [*node.posonlyargs, *node.args][-len(node.defaults) or len(node.args) + len(node.posonlyargs) :]
        keyed = [a for a, default in zip(node.kwonlyargs, node.kw_defaults, strict=True) if default is not None]
        yield from ((scope, a.arg, value) for a, value in zip([*plain, *keyed], defaults, strict=True))
    elif isinstance(node, ast.Call):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        inside = f"{scope}.{called}()"
        yield from ((inside, key.arg, key.value) for key in node.keywords if key.arg)
        yield from ((inside, name, value) for name, value in zip(taken.get(called, ()), node.args, strict=False))
    elif isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        yield from ((scope, ast.unparse(target), node.value) for target in targets)
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        scope = f"{scope}.{node.name}"
    for child in ast.iter_child_nodes(node):
        yield from _named(child, scope, taken)
