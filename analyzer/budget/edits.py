"""What a branch changed in its own budgets and waivers: shown, so that no pull request raises its limit unseen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from analyzer.budget.limits import as_text, limits
from analyzer.budget.schema import Configuration, FigureBudget, Model
from analyzer.budget.verdict import Finding

_LOOSER: dict[str, Literal[1, -1]] = {"max": 1, "min": -1, "growth": 1, "growth-min": 1, "max-ratio": 1}
"""Which way a number loosens its budget."""

Key = tuple[str, str, str]
"""Group (empty: the model), figure, and the budget's key."""


def edits(base: Configuration, head: Configuration) -> Iterator[Finding]:
    """A finding for each budget that differs: a warning where it was loosened, else a note."""
    for name, model in base.models.items():
        if name not in head.models:
            yield _edit(name, "is no longer checked: it was removed from the configuration", True)
        else:
            yield from _of_model(name, model, head.models[name])


def _of_model(name: str, base: Model, head: Model) -> Iterator[Finding]:
    before, after = _numbers(base), _numbers(head)
    said, says = _said(base), _said(head)
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) == after.get(key):
            continue
        group, figure, word = key
        old, new = (as_text(values[key]) if key in values else None for values in (said, says))
        what = f"{figure}{f' of {group}' if group else ''}: {word}"
        told = f"budget added: {what} {new}" if old is None else f"budget removed: {what} {old}"
        if old is not None and new is not None:
            told = f"budget changed: {what} from {old} to {new}"
        yield _edit(name, told, _is_looser(word, before.get(key), after.get(key)), figure, group or None)
    for waiver in head.waivers:
        if waiver not in base.waivers:
            until = f"until {waiver.expires.isoformat()} by {waiver.by}: {waiver.reason}"
            yield _edit(name, f"waiver added: {waiver.figure} {until}", True, waiver.figure, waiver.group)
    for waiver in base.waivers:
        if waiver not in head.waivers:
            yield _edit(name, f"waiver removed: {waiver.figure}", False, waiver.figure, waiver.group)


def _numbers(model: Model) -> dict[Key, Any]:
    """The budgets as comparable values: `8M` and 8000000 are one."""
    numbers: dict[Key, Any] = {}
    for limit in limits(model):
        values = {
            "max": limit.max, "min": limit.min, "growth": limit.growth, "growth-min": limit.growth_min or None,
            "max-ratio": limit.max_ratio, "of": limit.of or None,
            "level": limit.level if limit.level != "error" else None,
        }  # fmt: skip
        numbers.update({(limit.group or "", limit.figure, word): v for word, v in values.items() if v is not None})
    return numbers


def _said(model: Model) -> dict[Key, Any]:
    """The budgets as they are written."""
    said: dict[Key, Any] = {}

    def add(group: str, figure: str, budget: FigureBudget) -> None:
        for word, value in msgspec.to_builtins(budget).items():
            if value is not None:
                said[group, figure, word] = value

    for figure, budget in model.budgets.items():
        add("", figure, budget)
    for group, budgets in model.groups.items():
        for figure, budget in budgets.items():
            add(group, figure, budget)
    return said


def _is_looser(word: str, before: Any, after: Any) -> bool:
    if word in ("level", "of"):
        return word == "of" or after is not None
    if word == "growth-min":
        return (after or 0) > (before or 0)
    if after is None or before is None:
        return after is None
    return bool((after > before) == (_LOOSER[word] == 1))


def _edit(model: str, what: str, looser: bool, figure: str | None = None, group: str | None = None) -> Finding:
    fix = "see that this is meant; --budget-from base holds the branch to the old budgets" if looser else ""
    level: Literal["warning", "note"] = "warning" if looser else "note"
    return Finding(kind="budget-changed", level=level, model=model, what=what, fix=fix, figure=figure, group=group)
