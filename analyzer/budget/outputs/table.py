"""The verdict for a terminal: what was found, then each model's figures."""

from __future__ import annotations

import io
import sys

from rich.console import Console
from rich.text import Text

from analyzer.budget.outputs import facts
from analyzer.budget.verdict import Finding, ModelVerdict, Verdict
from analyzer.layout import layout
from analyzer.shown import WIDE, columns, inert, plain, use_color

_STYLES = {"error": "bold red", "warning": "yellow", "note": "cyan"}
_DROPPED = (3, 6, 4)
"""Columns in the order in which they go where there is no room: baseline, what is left, growth."""


def render(verdict: Verdict, *, color: bool = False, width: int = WIDE) -> str:
    """Plain text; control characters of names are written out, so that none moves the cursor."""
    file = io.StringIO()
    console = Console(
        file=file, width=width, force_terminal=color, color_system="standard" if color else None,
        legacy_windows=False, highlight=False, emoji=False, markup=False,
    )  # fmt: skip
    for level in _STYLES:
        for finding in verdict.findings:
            if finding.level == level:
                _finding(console, finding)
    dropped = dict.fromkeys(heading for model in verdict.models for heading in _model(console, model))
    if dropped:
        console.print(
            f"No room for {', '.join(dropped)}: a wider terminal has them, and --output json.\n", soft_wrap=True
        )
    style = "bold green" if verdict.exit_code == 0 else "bold red"
    console.print(Text(f"{facts.headline(verdict)}. {facts.compared(verdict)}", style), soft_wrap=True)
    return inert(file.getvalue())


def for_terminal(verdict: Verdict) -> str:
    """The text as stdout can show it: in colour where that is a terminal or asked for, to its width."""
    asked = use_color()
    return render(verdict, color=sys.stdout.isatty() if asked is None else asked, width=columns())


def _finding(console: Console, finding: Finding) -> None:
    head = Text(f"{finding.level} ", _STYLES[finding.level])
    console.print(head.append(facts.title(finding), "bold"), soft_wrap=True)
    console.print(Text(f"  {plain(finding.what)}"), soft_wrap=True)
    for line in facts.lines(finding):
        console.print(Text(f"  {line}"), soft_wrap=True)
    console.print()


def _model(console: Console, model: ModelVerdict) -> list[str]:
    """The model's figures; the headings of the columns that there was no room for."""
    console.print(Text(facts.name_of(model), "bold"), soft_wrap=True)
    dropped = []
    if model.figures:
        rows = [facts.row(budgeted) for budgeted in model.figures]
        made = layout(facts.HEADINGS, rows, console.width, left=facts.WORDS, drop=_DROPPED, exact=True)
        for row in (facts.HEADINGS, *rows):
            style = "red" if row[-1].startswith("−") else ""  # nothing is left: over
            for line in made.lines(row):
                console.print(Text("".join(text for text, _ in line).rstrip(), style), soft_wrap=True)
        dropped = made.dropped
    console.print()
    return dropped
