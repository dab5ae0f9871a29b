"""`analyze report`: a report from results of earlier runs, or on what changed between two reports."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from analyzer.cli import text
from analyzer.cli.base import Verb, warn
from analyzer.cli.options import limit_options, limits_of
from analyzer.errors import UsageError
from analyzer.limits import Limit
from analyzer.records import Record
from analyzer.reporting.against import compare_reports
from analyzer.reporting.data import ReportData, now
from analyzer.reporting.page import read_report, write_report
from analyzer.sweeping.database import NAME, Database
from analyzer.sweeping.report import report_data
from analyzer.sweeping.store import read_jsonl


@click.command("report", cls=Verb)
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where the page goes.  [default: report.html beside]",
)
@click.option(
    "--subject", metavar="NAME", help="The row that the verdict is about.  [default: the article, else the first]"
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["html", "md"]),
    default="html",
    show_default=True,
    help="A page, or Markdown on stdout.",
)
@limit_options
def command(results: tuple[Path, ...], out: Path | None, subject: str | None, format_: str, **options: Any) -> None:
    """One report from RESULTS: results.db or results.jsonl of sweeps (or their folders), or report.html files.

    The first row of the first is the baseline. Two report.html files give a report on what changed from the first's
    subject to the second's.
    """
    line = ["analyze", *sys.argv[1:]]
    pages = [path for path in results if path.suffix == ".html"]
    if pages and len(pages) == len(results) == 2:
        before, after = (read_report(path) for path in pages)
        data = compare_reports(before, after, command=line, generated=now())
    else:
        data = _merged(results, limits_of(options), line, subject)
    if format_ == "md":
        from analyzer.reporting.markdown import render_markdown

        text.show(render_markdown(data))
        return
    first = results[0]
    target = out or (first if first.is_dir() else first.parent) / ("changes.html" if pages else "report.html")
    write_report(data, target)
    text.show(str(target))


def _merged(results: tuple[Path, ...], limits: Sequence[Limit], line: list[str], subject: str | None) -> ReportData:
    records: dict[str, Record] = {}
    for path in results:
        records.update((record.target.name, record) for record in _records(path))
    if not records:
        raise UsageError("has no results", where=str(results[0]), fix="run a sweep first")
    return report_data(list(records.values()), limits, command=line, subject=subject)


def _records(path: Path) -> list[Record]:
    if path.suffix == ".html":
        data = read_report(path)
        return [data.baseline, *data.records]
    if path.is_dir():  # a killed sweep has exported nothing yet
        path = next((path / name for name in ("results.jsonl", NAME) if (path / name).exists()), path / NAME)
    if path.suffix == ".db":
        with closing(Database(path)) as database:
            return [row.record for row in database.rows()]
    found, warnings = read_jsonl(path)
    for warning in warnings:
        warn(warning)
    return found
