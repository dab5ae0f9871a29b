"""The report on trained runs as Markdown: the networks, what their pairs show, why to be careful."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from analyzer.reporting.markdown_text import escape, table
from analyzer.reporting.runs_data import RunsReport
from analyzer.reporting.runs_tables import BELOW_HEADINGS, below_rows, headings, network_rows, verdicts
from analyzer.reporting.text import difference


def render_runs_markdown(report: RunsReport) -> str:
    """The report as GitHub-flavoured Markdown."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: RunsReport) -> Iterator[str]:
    yield from (f"## {escape(report.title)}", "")
    yield from table(headings(report), network_rows(report))
    yield from (f"- ⚠ {escape(doubt)}" for doubt in report.doubts)
    for one in report.comparisons:
        a, b = report.shown(one.a), report.shown(one.b)
        yield from ("", f"### {escape(a)} against {escape(b)}", "")
        yield from (f"- **{escape(about)}**: {escape(verdict)}" for about, verdict in verdicts(one, a))
        yield ""
        rows = [(each.about, part.over, difference(part)) for each in one.judged for part in each.estimates]
        yield from table(("difference in points", "over", "95 % interval"), rows, left=2)
        yield from (f"- ⚠ {escape(doubt)}" for doubt in one.doubts)
    yield from (f"- not compared: {escape(line)}" for line in report.unpaired)
    yield ""
    yield from table(BELOW_HEADINGS, below_rows(report))
    yield f"Made {escape(report.generated)} by: {escape(shlex.join(report.command))}"
