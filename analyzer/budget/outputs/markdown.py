"""The verdict as a pull request's comment: what reviewers see first, the rest folded; found by its first line."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Sequence

from analyzer.budget.outputs import facts
from analyzer.budget.verdict import Finding, Verdict
from analyzer.reporting.markdown_text import escape
from analyzer.shown import plain

LONGEST = 60_000
"""Characters: GitHub refuses comments above 65,536, GitLab above 1,000,000."""
_ICONS = {"error": "❌", "warning": "⚠️", "note": "ℹ️"}


def marker(key: str) -> str:
    """The first line, by which a job finds its own comment again; each `key` has its own."""
    return f"<!-- analyzer-budget {key} -->" if key else "<!-- analyzer-budget -->"


def render(verdict: Verdict) -> str:
    """The headline, the figures, what fails and how to mend it; then, folded, who pays and the notes.

    Cut where a comment would be.
    """
    text = marker(verdict.key) + "\n" + "\n".join(_lines(verdict)) + "\n"
    if len(text) <= LONGEST:
        return text
    end = max(text.rfind(start, 0, LONGEST) for start in ("\n\n", "\n- "))
    closed = "\n\n</details>" if text.rfind("<details>", 0, end) > text.rfind("</details>", 0, end) else ""
    return f"{text[:end]}{closed}\n\nCut here: the other formats have everything.\n"


def _lines(verdict: Verdict) -> Iterator[str]:
    icon = "✅" if verdict.exit_code == 0 else "❌"
    yield f"## {icon} {escape(facts.headline(verdict))}"
    yield ""
    yield from _table(verdict)
    failing = [finding for level in ("error", "warning") for finding in verdict.findings if finding.level == level]
    for finding in failing:
        yield f"- {_ICONS[finding.level]} **{escape(facts.title(finding))}**: {escape(plain(finding.what))}"
        told = [f"{name}: {text}" for name, text in facts.parts(finding) if name in ("fix", "message")]
        yield from (f"  - {escape(line)}" for line in told)
    yield from _folded(verdict, failing)
    made = [f"Made by: {escape(plain(shlex.join(verdict.command)))}"] if verdict.command else []
    link = report_link()
    yield ""
    yield ". ".join(
        [escape(facts.compared(verdict).rstrip(".")), *made, *([f"[The whole report]({link})"] if link else [])]
    )


def _table(verdict: Verdict) -> Iterator[str]:
    """The figures of all models in one table."""
    rows = [(model, budgeted) for model in verdict.models for budgeted in model.figures]
    if not rows:
        return
    yield "| model | " + " | ".join(facts.HEADINGS) + " |"
    yield "| --- | --- | --- |" + " ---: |" * (len(facts.HEADINGS) - facts.WORDS)
    for model, budgeted in rows:
        cells = [plain(model.name), *facts.row(budgeted)]
        yield "| " + " | ".join(escape(cell) for cell in cells) + " |"
    yield ""


def _folded(verdict: Verdict, failing: Sequence[Finding]) -> Iterator[str]:
    """Who pays for what fails, and the notes; a line each."""
    notes = [finding for finding in verdict.findings if finding.level == "note"]
    paid = [finding for finding in failing if set(_details(finding))]
    if not paid and not notes:
        return
    number = len(notes)
    counted = f"{number:,} note" + ("" if number == 1 else "s")
    yield ""
    yield f"<details><summary>{' and '.join(['Who pays'] * bool(paid) + [counted] * bool(notes))}</summary>"
    yield ""
    for finding in paid:
        yield f"- {escape(facts.title(finding))}"
        yield from (f"  - {escape(line)}" for line in _details(finding))
    for finding in notes:
        told = "; ".join([plain(finding.what), *facts.lines(finding)])
        yield f"- {_ICONS['note']} **{escape(facts.title(finding))}**: {escape(told)}"
    yield ""
    yield "</details>"


def _details(finding: Finding) -> list[str]:
    """What is not said above the fold."""
    return [line for line in facts.lines(finding) if not line.startswith(("fix: ", "message: "))]


def report_link() -> str:
    """Where the job's own page is, with all outputs that it keeps; empty outside of a CI service."""
    said = {name: os.environ.get(name, "") for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")}
    link = "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}".format(**said)
    if not all(said.values()):
        link = os.environ.get("CI_JOB_URL", "")
    return link if _LINK.fullmatch(link) else ""


_LINK = re.compile(r"https?://[\w.:/~%+-]+", re.ASCII)
