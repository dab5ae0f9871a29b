"""The verdict for a terminal: what was found, then each model's figures."""

from __future__ import annotations

import io
import os
import shutil
import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text

from analyzer.budget.outputs import facts
from analyzer.budget.verdict import Finding, ModelVerdict, Verdict
from analyzer.shown import inert, plain

_STYLES = {"error": "bold red", "warning": "yellow", "note": "cyan"}
_PLAIN_WIDTH = 160


def render(verdict: Verdict, *, color: bool = False, width: int = _PLAIN_WIDTH) -> str:
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
    for model in verdict.models:
        _model(console, model)
    style = "bold green" if verdict.exit_code == 0 else "bold red"
    console.print(Text(f"{facts.headline(verdict)}. {facts.compared(verdict)}", style), soft_wrap=True)
    return inert(file.getvalue())


def for_terminal(verdict: Verdict) -> str:
    """The text as stdout can show it: in colour and to its width where that is a terminal."""
    if not sys.stdout.isatty():
        return render(verdict)
    return render(verdict, color="NO_COLOR" not in os.environ, width=shutil.get_terminal_size().columns)


def _finding(console: Console, finding: Finding) -> None:
    head = Text(f"{finding.level} ", _STYLES[finding.level])
    console.print(head.append(facts.title(finding), "bold"), soft_wrap=True)
    console.print(Text(f"  {plain(finding.what)}"), soft_wrap=True)
    for line in facts.lines(finding):
        console.print(Text(f"  {line}"), soft_wrap=True)
    console.print()


def _model(console: Console, model: ModelVerdict) -> None:
    console.print(Text(facts.name_of(model), "bold"), soft_wrap=True)
    if model.figures:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for heading in facts.HEADINGS:
            table.add_column(heading, justify="left" if heading == "figure" else "right", overflow="fold")
        for budgeted in model.figures:
            table.add_row(*map(Text, facts.row(budgeted)))
        console.print(table)
    console.print()
