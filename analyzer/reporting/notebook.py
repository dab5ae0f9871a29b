"""What a notebook shows of results: the page's own cards, plots and tables in one cell, under the page's style."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from analyzer.limits import Limit
from analyzer.records import Record, standing_of
from analyzer.reporting import tables
from analyzer.reporting.data import ReportData
from analyzer.reporting.judge import judge
from analyzer.reporting.page import PLOTTED, environment, template_text
from analyzer.reporting.plots import shared_patterns
from analyzer.reporting.points import both_paretos
from analyzer.reporting.variants import describe, label


def record_html(record: Record) -> str:
    """One record: a card a figure."""
    return data_html(_data((record,), record, record))


def records_html(
    records: Sequence[Record],
    *,
    subject: Record | None = None,
    front: Sequence[str] = (),
    limits: Sequence[Limit] = (),
    compared: bool = False,
) -> str:
    """Records side by side, the first the one that others are compared with; the verdict on `subject`."""
    if not records:
        return framed("<p>Nothing was found.</p>")
    return data_html(_data(tuple(records), records[0], subject, tuple(front), tuple(limits), compared))


def _data(
    records: tuple[Record, ...],
    baseline: Record,
    subject: Record | None,
    front: tuple[str, ...] = (),
    limits: tuple[Limit, ...] = (),
    compared: bool = False,
) -> ReportData:
    return ReportData(
        title="",
        command=(),
        records=records,
        baseline=baseline,
        subject=subject,
        limits=limits,
        front=front,
        environment=None,
        generated="",
        compared=compared,
    )


def body_of(record: Record, limits: Sequence[Limit]) -> str:
    """One record's verdict under limits and its cards, to be framed with what stands below."""
    return _body(_data((record,), record, record, limits=tuple(limits)))


def data_html(data: ReportData) -> str:
    """A report's verdict, cards, plot and table, without its other sections."""
    return framed(_body(data))


def _body(data: ReportData) -> str:
    several = len(data.records) > 1
    fields, figures = tables.fields(data), tables.table_figures(data)
    context = {
        "data": data,
        "patterns": shared_patterns(),
        "verdict": judge(data.subject, data.limits, compared=data.compared),
        "described": describe(data.subject) if data.subject is not None else "",
        "cards": tables.cards(data) if data.subject is None or data.subject.error is None else [],
        "pareto": both_paretos(data) if len(data.records) >= PLOTTED else None,
        "every": tables.every_figure(data),
        "standing_of": standing_of,
        "notes": [note for note, _ in tables.notes(data)],
        "fields": fields,
        "table_figures": figures,
        "field_label": label,
        "variants": tables.variant_lines(data, fields, figures) if several else [],
    }
    return environment().get_template("notebook.html.j2").render(context)


def framed(body: str) -> str:
    """HTML in a frame that has the page's style, which there reaches nothing else."""
    return f'<div class="analyzer-cell"><style>{_nested()}</style>{body}</div>'


@cache
def _nested() -> str:
    """The page's style with the frame in place of the page."""
    own = re.sub(r"(?m)^(\s*)(:root|html|body)(?= \{)", r"\1&", template_text("style.css"))
    return f".analyzer-cell {{ {own} }}"
