"""What a search found, as data and in files."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from analyzer.cli import text
from analyzer.cli.base import say
from analyzer.limits import Limit
from analyzer.searching.export import export, to_csv
from analyzer.searching.results import Find


def print_data(found: Sequence[Find], format_: str) -> bool:
    """Prints JSON, JSON lines or CSV; false where another format is asked for."""
    if format_ == "jsonl":
        for find in found:
            text.show(json.dumps(find.to_dict()))
    elif format_ == "json":
        text.show("[" + ",\n".join(json.dumps(find.to_dict()) for find in found) + "]")
    elif format_ == "csv":
        text.show(to_csv(found).rstrip("\n"))
    else:
        return False
    return True


def write_files(
    found: Sequence[Find],
    constraints: Sequence[Limit],
    searched: Sequence[str],
    exported: Path | None,
    report: Path | None,
) -> None:
    """Writes the files that were asked for, and says where; `searched` is what a report says of the search."""
    if exported is not None:
        export(found, exported)
        say(str(exported))
    if report is not None and found:
        _write_report(found, constraints, searched, report)
        say(str(report))


def _write_report(found: Sequence[Find], constraints: Sequence[Limit], searched: Sequence[str], path: Path) -> None:
    """The finds against DenseNet121 at their classes and image; the verdict is on the first of the front."""
    from analyzer.architecture.variant import Variant
    from analyzer.reading.family import baseline_for
    from analyzer.reporting.page import write_report
    from analyzer.sweeping.report import report_data

    records = [find.record for find in found]
    baseline = baseline_for(Variant.from_dict(records[0].target.variant or {}), records[0].batch)
    rows = [baseline, *(record for record in records if record.target.name != baseline.target.name)]
    data = report_data(
        rows,
        constraints,
        command=["analyze", *sys.argv[1:]],
        subject=rows[min(1, len(rows) - 1)].target.name,
        searched=searched,
    )
    write_report(data, path)
