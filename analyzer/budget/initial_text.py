"""A first configuration as TOML: models that work as tables, the others as comments with the missing word marked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from analyzer.budget.limits import as_bound
from analyzer.records import Record

if TYPE_CHECKING:
    from analyzer.budget.initial import Proposal

MISSING = "???"
"""What stands where a word is missing."""
_HEAD = "# What each model may cost: `analyze check` holds it, `analyze lock` accepts what it costs now."


def configuration_text(proposals: Sequence[Proposal], prefix: str) -> str:
    """The tables for proposals, those that can't be used as comments that say why, parts of others in a line each."""
    parts = [proposal for proposal in proposals if proposal.problem and proposal.candidate.part_of]
    tables = [_table(proposal, prefix) for proposal in proposals if proposal not in parts]
    lines = [f"# Left out: {proposal.candidate.target}, {proposal.problem}\n" for proposal in parts]
    return "\n".join([f"{_HEAD}\n", *tables, *(["".join(lines)] if lines else [])])


def _table(proposal: Proposal, prefix: str) -> str:
    lines = list(_lines(proposal, prefix))
    if not proposal.problem:
        return "\n".join(lines) + "\n"
    why = f"Left out: {' '.join(proposal.problem.split())}"
    if proposal.candidate.needs:
        why += f". Fill in {MISSING}, then take the # away"
    return "\n".join(f"# {line}" for line in [why, *lines]) + "\n"


def _lines(proposal: Proposal, prefix: str) -> Iterator[str]:
    said = proposal.model.input
    key = f"{prefix}models.{proposal.name}"
    yield f"[{key}]"
    yield f"target = {quoted(proposal.model.target or '')}"
    if proposal.model.kwargs or proposal.candidate.needs:
        yield f"kwargs = {_inline(proposal.model.kwargs, proposal.candidate.needs)}"
    if said is not None:
        yield f"input = {shape_text(said)}"
    yield f"[{key}.budgets]"
    yield f"params = {_budget(proposal.record, 'params')}"
    if said is not None:
        yield f"macs = {_budget(proposal.record, 'macs')}"


def _budget(record: Record | None, figure: str) -> str:
    growth = 'growth = "5%"' + (', growth-min = "1k"' if figure == "params" else "")
    value: int | None = getattr(record, figure) if record is not None else None
    return f'{{ max = "{as_bound(value * 11 // 10 + 1)}", {growth} }}' if value else f"{{ {growth} }}"


def shape_text(said: str | Sequence[Any]) -> str:
    """An input as TOML: `[1, 3, 32, 32]` where it is one shape, else text."""
    if isinstance(said, str):
        return f"[{said.replace(',', ', ')}]" if re.fullmatch(r"[0-9,]+", said) else quoted(said)
    return f"[{', '.join(quoted(str(each)) for each in said)}]"


def _inline(value: Any, needs: Sequence[str] = ()) -> str:
    """A value as TOML in one line; names that need a word have the mark."""
    if isinstance(value, dict):
        pairs = [f"{_key(name)} = {_inline(entry)}" for name, entry in value.items()]
        pairs += [f"{_key(name)} = {MISSING}" for name in needs]
        return "{ " + ", ".join(pairs) + " }" if pairs else "{}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_inline, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return quoted(value) if isinstance(value, str) else _number(value)


def _number(value: int | float) -> str:
    text = repr(value)
    return f"{text.partition('e')[0]}.0e{text.partition('e')[2]}" if re.fullmatch(r"-?\d+e[-+]?\d+", text) else text


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else quoted(name)


def quoted(text: str) -> str:
    """A TOML basic string: JSON's escapes are TOML's."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
