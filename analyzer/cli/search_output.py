"""What a search found, as data and in files."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from analyzer.cli import text
from analyzer.cli.base import say
from analyzer.limits import Limit
from analyzer.records import variant_of
from analyzer.searching.export import export, to_csv
from analyzer.searching.results import Find


def print_data(finds: Sequence[Find], format_: str) -> bool:
    """Prints JSON, JSON lines or CSV; false where another format is asked for."""
    if format_ == "jsonl":
        for find in finds:
            text.show_json(json.dumps(find.to_dict()))
    elif format_ == "json":
        text.show_json("[" + ",\n".join(json.dumps(find.to_dict()) for find in finds) + "]")
    elif format_ == "csv":
        text.show(to_csv(finds).rstrip("\n"))
    else:
        return False
    return True


def write_files(
    finds: Sequence[Find],
    constraints: Sequence[Limit],
    searched: Sequence[str],
    exported: Path | None,
    report: Path | None,
    cloud: Callable[[], tuple[Sequence[tuple[int, int]], str]] = lambda: ((), ""),
) -> None:
    """Writes the files that were asked for, and says where; `searched` is what a report says of the search, `cloud`
    gives the points behind its front, and what they are.
    """
    if exported is not None:
        export(finds, exported)
        say(str(exported))
    if report is not None and finds:
        points, told = cloud()
        _write_report(finds, constraints, [*searched, *([told] if told else [])], points, report)
        say(str(report))


def _write_report(
    finds: Sequence[Find], constraints: Sequence[Limit], searched: Sequence[str], points: Sequence[tuple[int, int]],
    path: Path,
) -> None:  # fmt: skip
    """The finds against DenseNet121 at their classes and image, or against the first where that is no network; the
    verdict is on the first of the front.
    """
    from analyzer.reading.family import baseline_for, baseline_or_none
    from analyzer.reporting.page import write_report
    from analyzer.sweeping.report import report_data

    records = [find.record for find in finds]
    first = variant_of(records[0])
    baseline = records[0] if baseline_or_none(first) is None else baseline_for(first, records[0].batch)
    rows = [baseline, *(record for record in records if record.target.name != baseline.target.name)]
    data = report_data(
        rows,
        constraints,
        command=["analyze", *sys.argv[1:]],
        subject=rows[min(1, len(rows) - 1)].target.name,
        searched=searched,
        cloud=points,
    )
    write_report(data, path)
