"""The verdict as CSV: a row a finding and layer that pays, then a row a figure; no cell is a spreadsheet's formula."""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.budget.outputs import facts
from analyzer.budget.verdict import Budgeted, Finding, Payer, Verdict
from analyzer.files import csv_text
from analyzer.shown import plain

COLUMNS = (
    *("level", "kind", "model", "figure", "layers", "value", "known", "limit", "baseline", "growth"),
    *("layer", "layer_type", "layer_before", "layer_after", "layer_growth"),
    *("what", "fix", "message", "where", "file", "line"),
)


def render(verdict: Verdict) -> str:
    """Raw integers, so that a spreadsheet can work with them; rows of figures have the level `figure`."""
    rows = (*_findings(verdict), *_figures(verdict))
    return csv_text(COLUMNS, ([_plain(row.get(name)) for name in COLUMNS] for row in rows))


def _plain(value: object) -> object:
    return plain(value) if isinstance(value, str) else value


def _findings(verdict: Verdict) -> Iterator[dict[str, object]]:
    for finding in verdict.findings:
        yield from ({**_finding(finding), **_layer(change)} for change in finding.changes or (None,))


def _finding(finding: Finding) -> dict[str, object]:
    numbers = _numbers(finding)
    named = {"level": finding.level, "kind": finding.kind, "model": finding.model, "figure": finding.figure}
    texts = {name: getattr(finding, name) for name in ("what", "fix", "message", "where", "file", "line")}
    return {**named, "layers": finding.group, **numbers, **texts}


def _layer(change: Payer | None) -> dict[str, object]:
    if change is None:
        return {}
    sizes = {"layer_before": change.before, "layer_after": change.after, "layer_growth": change.delta}
    return {"layer": change.path or "(root)", "layer_type": change.type, **sizes}


def _figures(verdict: Verdict) -> Iterator[dict[str, object]]:
    for model in verdict.models:
        for line in model.figures:
            named = {"level": "figure", "model": model.name, "figure": line.figure, "layers": line.group}
            yield {**named, **_numbers(line)}


def _numbers(told: Finding | Budgeted) -> dict[str, object]:
    growth = facts.grown(told.value, told.base)
    known = {"value": told.value, "known": facts.standing(told)}
    return {**known, "limit": told.limit, "baseline": told.base, "growth": growth}
