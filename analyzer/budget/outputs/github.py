"""The verdict as GitHub's workflow commands: annotations on lines of the pull request, and the step's summary."""

from __future__ import annotations

import os
from pathlib import Path

from analyzer.budget.outputs import facts, markdown
from analyzer.budget.verdict import Finding, Verdict
from analyzer.errors import UsageError
from analyzer.shown import inert, plain

MOST = 10
"""Annotations: GitHub shows ten of a level and step, and drops the others without a word."""
_COMMANDS = {"error": "error", "warning": "warning", "note": "notice"}


def render(verdict: Verdict) -> str:
    """Ten annotations at most, the worst first, and the headline; a last line says how many more there are."""
    ranked = sorted(verdict.findings, key=lambda finding: list(_COMMANDS).index(finding.level))
    shown = ranked if len(ranked) <= MOST else ranked[: MOST - 1]
    lines = [_annotation(verdict, finding) for finding in shown]
    if more := len(ranked) - len(shown):
        lines.append(f"::{_COMMANDS[ranked[len(shown)].level]} title=analyzer::{more} more findings: see the summary")
    return "\n".join([*lines, inert(f"{facts.headline(verdict)}. {facts.compared(verdict)}")])


def _annotation(verdict: Verdict, finding: Finding) -> str:
    file, line = facts.location(verdict, finding)
    places = f"file={escape_property(file)},line={line},title={escape_property(facts.title(finding))}"
    details = "\n".join([plain(finding.what), *(f"{name}: {text}" for name, text in facts.parts(finding))])
    return f"::{_COMMANDS[finding.level]} {places}::{escape_data(details)}"


def escape_data(text: str) -> str:
    """Text as a workflow command's message."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def escape_property(text: str) -> str:
    """Text as the value of a workflow command's property."""
    return escape_data(text).replace(":", "%3A").replace(",", "%2C")


def append_summary(verdict: Verdict) -> None:
    """Appends the Markdown to the step's summary where a workflow runs. Raises UsageError where it can't."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        return
    try:
        with Path(path).open("a", encoding="utf-8", newline="\n") as file:
            file.write(markdown.render(verdict))
    except OSError as error:
        raise UsageError(f"can't be written: {error.strerror}", where="GITHUB_STEP_SUMMARY") from error
