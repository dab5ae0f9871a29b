"""`analyze report`: an HTML report from results of earlier runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from analyzer.cli import text
from analyzer.cli.base import Verb, warn
from analyzer.cli.options import limit_options, limits_of
from analyzer.errors import UsageError
from analyzer.records import Record
from analyzer.sweep.report import sweep_report
from analyzer.sweep.store import read_jsonl


@click.command("report", cls=Verb)
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where it goes.  [default: report.html beside]",
)
@click.option(
    "--subject", metavar="NAME", help="The row that the verdict is about.  [default: the article, else the first]"
)
@limit_options
def command(results: tuple[Path, ...], out: Path | None, subject: str | None, **options: Any) -> None:
    """One report from one or more results.jsonl of sweeps; the first row of the first is the baseline."""
    records: dict[str, Record] = {}
    for path in results:
        found, warnings = read_jsonl(path / "results.jsonl" if path.is_dir() else path)
        for warning in warnings:
            warn(warning)
        records.update((record.target.name, record) for record in found)
    if not records:
        raise UsageError("has no results", where=str(results[0]), fix="run a sweep first")
    target = out or (results[0] if results[0].is_dir() else results[0].parent) / "report.html"
    sweep_report(
        list(records.values()), limits_of(options), command=["analyze", *sys.argv[1:]], path=target, subject=subject
    )
    text.show(str(target))
