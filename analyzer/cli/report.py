"""`analyze report`: a report from results of earlier runs, or on what changed between two reports."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from analyzer.cli import text
from analyzer.cli.base import Verb, warn
from analyzer.cli.options import NewFile, limit_options, limits_of, on_option, require_device
from analyzer.files import require_writable
from analyzer.limits import Limit
from analyzer.reading.latency import Profile
from analyzer.reading.profiles import profile_at


@click.command("report", cls=Verb)
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=NewFile(),
    metavar="FILE",
    help="Where the page goes.  [default: report.html beside]",
)
@click.option(
    "--subject",
    metavar="NAME",
    help="The row that the verdict is about (default: the article, else the first; of files the last); of runs, the "
    "one in all pairs.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["html", "md"]),
    default="html",
    show_default=True,
    help="A page, or Markdown on stdout.",
)
@on_option
@limit_options
def command(results: tuple[Path, ...], out: Path | None, subject: str | None, format_: str, **options: Any) -> None:
    """One report from RESULTS: results.db or results.jsonl of sweeps (or their folders), report.html files, or files of
    networks (.safetensors, .onnx).

    The first row of the first is the baseline. Two report.html files give a report on what changed from the first's
    subject to the second's. A folder of `analyze train` (or its results.db) gives one on its runs: curves, gaps,
    differences of every pair, accuracy against costs.
    """
    from analyzer.reporting.runs_data import runs_among

    limits, on = limits_of(options), options.pop("on")
    require_device(limits, on)
    made = _of_runs if runs_among(results) else _of_records
    name, as_markdown, write = made(results, limits, subject, profile_at(on))
    if format_ == "md":
        text.show(as_markdown())
        return
    first = results[0]
    target = out or (first if first.is_dir() else first.parent) / name
    require_writable(target)
    write(target)
    text.show(str(target))


Made = tuple[str, Callable[[], str], Callable[[Path], None]]
"""The usual name of a report's file; how it is made as Markdown, and as a page at a path."""


def _command() -> tuple[str, ...]:
    return ("analyze", *sys.argv[1:])


def _of_records(
    results: tuple[Path, ...], limits: Sequence[Limit], subject: str | None, profile: Profile | None
) -> Made:
    from analyzer.reporting.markdown import render_markdown
    from analyzer.reporting.page import write_report
    from analyzer.sweeping.report import ReportPlan, execute

    plan = ReportPlan(results, limits, subject, _command(), profile)
    name = "changes.html" if plan.of_changes else "report.html"
    return name, lambda: render_markdown(execute(plan, warn)), lambda path: write_report(execute(plan, warn), path)


def _of_runs(results: tuple[Path, ...], limits: Sequence[Limit], subject: str | None, profile: Profile | None) -> Made:
    from analyzer.reporting.runs_data import RunsPlan, runs_report
    from analyzer.reporting.runs_markdown import render_runs_markdown
    from analyzer.reporting.runs_page import write_runs

    plan = RunsPlan(path=results[0], command=_command(), subject=subject, limits=tuple(limits), profile=profile)
    return (
        "report.html",
        lambda: render_runs_markdown(runs_report(plan)),
        lambda path: write_runs(runs_report(plan), path),
    )
