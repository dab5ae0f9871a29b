"""The verdict as a pull request's comment, found again by its first line and updated in place."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from analyzer.budget.outputs import facts
from analyzer.budget.verdict import Finding, ModelVerdict, Verdict
from analyzer.reporting.markdown_text import escape
from analyzer.shown import plain

MARKER = "<!-- analyzer-budget -->"
LONGEST = 60_000
"""Characters: GitHub refuses comments above 65,536, GitLab above 1,000,000."""
_ICONS = {"error": "❌", "warning": "⚠️", "note": "ℹ️"}


def render(verdict: Verdict) -> str:
    """The headline, what was found (the worst first), then each model's figures; cut where a comment would be."""
    text = MARKER + "\n" + "\n".join(_lines(verdict)) + "\n"
    if len(text) <= LONGEST:
        return text
    end = max(text.rfind(start, 0, LONGEST) for start in ("\n\n", "\n- "))
    return text[:end] + "\n\nCut here: the other formats have everything.\n"


def _lines(verdict: Verdict) -> Iterator[str]:
    icon = "✅" if verdict.exit_code == 0 else "❌"
    yield f"## {icon} {escape(facts.headline(verdict))}"
    yield ""
    yield escape(facts.compared(verdict))
    yield ""
    for level in _ICONS:
        for finding in verdict.findings:
            if finding.level == level:
                yield from _finding(finding)
    yield ""
    for model in verdict.models:
        yield from _model(model)
    if verdict.command:
        yield f"Made by: {escape(plain(shlex.join(verdict.command)))}"


def _finding(finding: Finding) -> Iterator[str]:
    yield f"- {_ICONS[finding.level]} **{escape(facts.title(finding))}**: {escape(plain(finding.what))}"
    yield from (f"  - {escape(line)}" for line in facts.lines(finding))


def _model(model: ModelVerdict) -> Iterator[str]:
    yield f"### {escape(facts.name_of(model))}"
    yield ""
    if model.figures:
        yield "| " + " | ".join(facts.HEADINGS) + " |"
        yield "| --- |" + " ---: |" * (len(facts.HEADINGS) - 1)
        for budgeted in model.figures:
            yield "| " + " | ".join(escape(cell) for cell in facts.row(budgeted)) + " |"
        yield ""
