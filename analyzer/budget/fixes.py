"""What to do about a figure beyond its bounds: what to make smaller, or the exact edit that accepts it."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import TYPE_CHECKING

from analyzer.budget.blame import grouped
from analyzer.budget.limits import BudgetLimit, as_bound
from analyzer.budget.verdict import Payer

if TYPE_CHECKING:
    from analyzer.budget.model_check import Held


def fix_of(held: Held, limit: BudgetLimit, value: int, beyond: Set[str], changes: Sequence[Payer]) -> str:
    """Of a figure that is beyond these kinds of bounds (`excess`, `below`, `ratio`, `growth`)."""
    bound = as_bound(value)
    if "below" in beyond:
        return f"see why it shrank, or lower it on purpose: {_key(held, limit)} min {value:,}"
    edits = []
    if "excess" in beyond:
        edits.append(f'{_key(held, limit)} max "{bound}"')
    if "ratio" in beyond:
        edits.append(f"a larger {_key(held, limit)} max-ratio")
    if "growth" in beyond and not held.relockable:
        edits.append(f'a waiver of {limit.figure} with max "{bound}"')
    edits.append("then `analyze lock`" if edits else "`analyze lock`")
    written = f" (`analyze check --update-budget {held.name}` writes it)" if {"excess", "growth"} & beyond else ""
    return f"{_smaller(held, changes)}, or accept it: {', '.join(edits)}{written}"


def _key(held: Held, limit: BudgetLimit) -> str:
    of = f" of {limit.group}" if limit.group else ""
    return f"{held.config_place[0]}: {limit.figure}{of}"


def _smaller(held: Held, changes: Sequence[Payer]) -> str:
    """The group of layers that grew most, by the argument that did it where the source says which."""
    grown = [group for group in grouped(changes) if group.delta > 0]
    if not grown:
        return "make it smaller"
    told = f"make {grown[0].path or 'the root'} smaller"
    arguments = held.arguments()
    return f"{told} ({', '.join(arguments)})" if arguments else told
