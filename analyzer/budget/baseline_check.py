"""Whether a model's baseline is there, and of the same thing: what growth can't be held without."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from analyzer.budget.limits import BudgetLimit
from analyzer.budget.lock_file import Identity, Locked
from analyzer.budget.source import is_gone
from analyzer.budget.verdict import Finding, Level
from analyzer.figures import known

if TYPE_CHECKING:
    from analyzer.budget.baseline import Baseline
    from analyzer.budget.model_check import Held


def baseline_of(name: str, identity: Identity, baseline: Baseline) -> Locked | None:
    """The baseline of a model: the one of its name, else the only one there of the very same thing."""
    if name in baseline.models:
        return baseline.models[name]
    same = [model for model in baseline.models.values() if model.identity == identity]
    return same[0] if len(same) == 1 else None


def is_moved(before: Identity, now: Identity, root: Path) -> bool:
    """Whether one is the other at another place: equal terms, and what the old target named is gone."""
    own = ":" in before.target and ":" in now.target and before.target != now.target
    return own and msgspec.structs.replace(before, target=now.target) == now and is_gone(before.target, root)


def standing_of(
    held: Held, base: Locked | None, limits: Sequence[BudgetLimit], baseline: Baseline
) -> Iterator[Finding]:
    """What is wrong with the baseline `base` that was found for a model; an error where a growth depends on it."""
    growing = [limit for limit in limits if limit.growth is not None]
    if held.base is not None:
        yield from _unlocked_figures(held, growing, baseline)
    elif base is not None:
        yield _stale(held, base, bool(growing), baseline)
    elif growing and not baseline.begins:
        yield _missing(held, growing, baseline)


def _unlocked_figures(held: Held, growing: Sequence[BudgetLimit], baseline: Baseline) -> Iterator[Finding]:
    for limit in growing:
        value, was = held.values(limit.figure, limit.group)
        if value is not None and was is None:
            what = f"the baseline has no {known(limit.figure).label}, so nothing holds their growth"
            yield _finding(held, "no-baseline", "error", what, baseline.fix, limit)


def _stale(held: Held, base: Locked, grows: bool, baseline: Baseline) -> Finding:
    what = f"the baseline is another thing's: {_difference(base.identity, held.now.identity)}"
    fix = "run `analyze lock` and commit it"
    if baseline.is_base:
        anew = (
            "" if held.name in baseline.counted else "add --rebuild, which counts the old code under the new terms, or "
        )
        fix = f"{anew}add a waiver of baseline until it has landed"
    return _finding(held, "stale", "error" if grows else "warning", what, fix)


def _missing(held: Held, growing: Sequence[BudgetLimit], baseline: Baseline) -> Finding:
    """A figure that is bounded otherwise may be new in a branch; one that only growth holds is not held at all."""
    new = baseline.is_base and bool(baseline.models) and baseline.problem is None
    unheld = [g.figure for g in growing if not (new and (g.max is not None or g.max_ratio is not None))]
    what = f"is new since {baseline.label}" if new else f"has no baseline in {baseline.label}"
    if unheld:
        what += f", so nothing holds the growth of {', '.join(dict.fromkeys(unheld))}"
    bound = f"give {', '.join(dict.fromkeys(unheld))} a max too, or add a waiver of baseline until it has landed"
    fix = (bound if unheld else "") if new else baseline.fix
    return _finding(held, "no-baseline", "error" if unheld else "note", what, fix)


def _finding(held: Held, kind: Any, level: Level, what: str, fix: str, limit: BudgetLimit | None = None) -> Finding:
    of: dict[str, Any] = {} if limit is None else {"figure": limit.figure, "group": limit.group}
    return Finding(kind=kind, level=level, model=held.name, what=what, fix=fix, **of)


def _difference(before: Identity, after: Identity) -> str:
    old, new = msgspec.structs.asdict(before), msgspec.structs.asdict(after)
    return ", ".join(f"{key} was {_short(old[key])}, is {_short(new[key])}" for key in old if old[key] != new[key])


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= 120 else text[:119] + "…"
