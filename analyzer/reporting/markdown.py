"""The report as Markdown, for a pull request's comment: the same verdict, findings and figures."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from analyzer.figures import SHARED
from analyzer.limits import hold_all
from analyzer.records import standing_of
from analyzer.reporting import tables
from analyzer.reporting.actions import actions
from analyzer.reporting.data import ReportData
from analyzer.reporting.findings import findings
from analyzer.reporting.judge import judge
from analyzer.reporting.markdown_text import escape, table
from analyzer.reporting.variants import label

MOST_ROWS = 50
_ICONS = {"over": "❌", "within": "✅"}


def render_markdown(data: ReportData) -> str:
    """The verdict, figures, findings and (the first) variants as GitHub-flavoured Markdown."""
    return "\n".join([*_verdict(data), *_figures(data), *_findings(data), *_variants(data), *_end(data)]) + "\n"


def _verdict(data: ReportData) -> Iterator[str]:
    verdict = judge(data.subject, data.limits, compared=data.compared)
    yield f"## {_ICONS.get(verdict.state, '❔')} {escape(verdict.word)}"
    yield ""
    yield escape(verdict.sentence)
    yield ""


def _figures(data: ReportData) -> Iterator[str]:
    subject = data.subject
    if subject is None or subject.error is not None:
        return
    held = tables.by_figure(hold_all(subject, data.limits))
    rows = []
    for figure in tables.carded(held):
        value, base, judged = figure.of(subject), figure.of(data.baseline), held.get(figure.name)
        if value is None:
            continue
        limit = figure.text(judged.limit.bound) if judged else "–"
        state = tables.words_of(data)[judged.state] if judged else "–"
        rows.append(
            [
                figure.label,
                standing_of(subject, figure),
                figure.text(value),
                figure.text(base),
                tables.against(figure, value, base),
                limit,
                state,
            ]
        )
    last = ["the most", "beside it"] if data.compared else ["limit", "budget"]
    headings = ["figure", "known", subject.target.shown, data.baseline.target.shown, "ratio", *last]
    yield from table(headings, rows, left=2)
    for good, statement in tables.trust(data):
        yield f"- {'✓' if good else '⚠'} {escape(statement)}"
    yield ""


def _findings(data: ReportData) -> Iterator[str]:
    first, observations = actions(data), findings(data)
    if first:
        yield "### What to change first"
        yield ""
        for i, action in enumerate(first, start=1):
            told = [action.outcome, f"saves {action.saves}" if action.saves else "", escape(action.command)]
            yield f"{i}. **{escape(action.title)}**: " + "; ".join(filter(None, [*map(escape, told[:2]), told[2]]))
        yield ""
    if observations:
        yield "### Observations"
        yield ""
        for finding in observations:
            yield f"- **{escape(finding.title)}**" + (f": {escape(finding.detail)}" if finding.detail else "")
        yield ""


def _variants(data: ReportData) -> Iterator[str]:
    if len(data.records) < 2:
        return
    fields, figures = tables.fields(data), [f for f in SHARED if f in tables.table_figures(data)]
    lines = tables.variant_lines(data, fields, figures)
    headings = ["variant", "is", *map(label, fields)]
    for figure in figures:
        headings += [figure.label, "× baseline"]
    yield "### Variants"
    yield ""
    rows = [[row.title, row.mark, *row.fields, *row.cells, row.state] for row in lines[:MOST_ROWS]]
    yield from table([*headings, "beside it" if data.compared else "budget"], rows, left=2)
    good = sum(not record.error for record in data.records)
    if len(rows) < good:
        yield f"{len(rows):,} of {good:,} variants."
        yield ""
    for record in [record for record in data.records if record.error][:MOST_ROWS]:
        reason = record.error.what if record.error else ""
        yield f"- no figures for {escape(record.target.shown)}: {escape(reason)}"


def _end(data: ReportData) -> Iterator[str]:
    yield ""
    yield f"Made {escape(data.generated)} by: {escape(shlex.join(data.command))}"
