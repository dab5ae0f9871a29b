"""`analyze report`: a report from results of earlier runs, or on what changed between two reports."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from analyzer.cli import text
from analyzer.cli.base import Verb, warn
from analyzer.cli.options import NewFile, limit_options, limits_of, on_option, require_device
from analyzer.files import require_writable
from analyzer.reading.profiles import profile_at
from analyzer.reporting.page import write_report
from analyzer.sweeping.report import ReportPlan, execute


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
    help="The row that the verdict is about.  [default: article, else the first; of files the last]",
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
    subject to the second's.
    """
    limits, on = limits_of(options), options.pop("on")
    require_device(limits, on)
    plan = ReportPlan(results, limits, subject, ("analyze", *sys.argv[1:]), profile_at(on))
    if format_ == "md":
        from analyzer.reporting.markdown import render_markdown

        text.show(render_markdown(execute(plan, warn)))
        return
    first = results[0]
    target = out or (first if first.is_dir() else first.parent) / ("changes.html" if plan.of_changes else "report.html")
    require_writable(target)
    write_report(execute(plan, warn), target)
    text.show(str(target))
