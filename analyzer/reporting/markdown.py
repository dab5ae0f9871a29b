"""The report as Markdown, for a pull request's comment: the same verdict, findings and figures."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from analyzer.reporting import tables
from analyzer.reporting.data import ReportData
from analyzer.reporting.figures import BY_NAME, LAYERED, times
from analyzer.reporting.findings import findings
from analyzer.reporting.judge import OVER, WITHIN, checks, judge
from analyzer.reporting.markdown_text import escape
from analyzer.reporting.variants import label

MOST_ROWS = 50
_ICONS = {OVER: "❌", WITHIN: "✅"}


def render_markdown(data: ReportData) -> str:
    """The verdict, figures, findings and (the first) variants as GitHub-flavoured Markdown."""
    return "\n".join([*_verdict(data), *_figures(data), *_findings(data), *_variants(data), *_end(data)]) + "\n"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> Iterator[str]:
    yield "| " + " | ".join(escape(cell) for cell in headings) + " |"
    yield "|" + "|".join(" --- " if i < left else " ---: " for i in range(len(headings))) + "|"
    for row in rows:
        yield "| " + " | ".join(escape(cell) for cell in row) + " |"
    yield ""


def _verdict(data: ReportData) -> Iterator[str]:
    verdict = judge(data.subject, data.limits)
    yield f"## {_ICONS.get(verdict.state, '❔')} {escape(verdict.word)}"
    yield ""
    yield escape(verdict.sentence)
    yield ""


def _figures(data: ReportData) -> Iterator[str]:
    subject = data.subject
    if subject is None or subject.error is not None:
        return
    held = {check.figure.name: check for check in checks(subject, data.limits)}
    rows = []
    for name in dict.fromkeys([*tables.CARDS, *held]):
        figure = BY_NAME.get(name)
        if figure is None or figure.of(subject) is None:
            continue
        value, base, check = figure.of(subject), figure.of(data.baseline), held.get(name)
        limit = figure.text(check.limit.maximum) if check else "–"
        state = tables.WORDS[check.state] if check else "–"
        rows.append([figure.label, figure.text(value), figure.text(base), times(value, base), limit, state])
    headings = ["figure", subject.target.shown, data.baseline.target.shown, "ratio", "limit", "budget"]
    yield from _table(headings, rows)


def _findings(data: ReportData) -> Iterator[str]:
    found = findings(data)
    if found:
        yield "### What to do"
        yield ""
        for finding in found:
            yield f"- **{escape(finding.title)}**" + (f": {escape(finding.detail)}" if finding.detail else "")
        yield ""


def _variants(data: ReportData) -> Iterator[str]:
    if len(data.records) < 2:
        return
    fields, figures = tables.fields(data), [f for f in LAYERED if f in tables.table_figures(data)]
    lines = tables.variant_lines(data, fields, figures)
    headings = ["variant", "is", *map(label, fields)]
    for figure in figures:
        headings += [figure.label, "× baseline"]
    yield "### Variants"
    yield ""
    rows = [[row.title, row.mark, *row.fields, *row.cells, row.state] for row in lines[:MOST_ROWS]]
    yield from _table([*headings, "budget"], rows, left=2)
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
