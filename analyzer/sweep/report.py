"""A sweep's records -> its HTML report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from analyzer import family
from analyzer.architecture.variant import Variant
from analyzer.records import Record
from analyzer.report.data import Limit, ReportData, now
from analyzer.report.page import write_report
from analyzer.sweep.run import pareto_names, subject_of

JUDGED = ("params", "macs", "saved_bytes")
"""What DenseNet121 is the budget for, unless limits are given."""


def sweep_report(
    records: Sequence[Record],
    limits: Mapping[str, int],
    *,
    command: Sequence[str],
    path: Path,
    subject: str | None = None,
) -> None:
    """Writes the report of a sweep's records, the baseline first.

    The verdict is on the record named `subject` (default: the article's network, else the first variant) under the
    limits by figure (default: the baseline's own figures). Raises UsageError where the file can't be written.
    """
    baseline, judged = records[0], subject_of(records, subject)
    detailed = {row.target.name: _with_layers(row) for row in (baseline, judged) if row is not None}
    measured = next((row.measured for row in records if row.measured), None)
    data = ReportData(
        title=_title(records),
        command=tuple(command),
        records=tuple(detailed.get(row.target.name, row) for row in records),
        baseline=detailed[baseline.target.name],
        subject=detailed[judged.target.name] if judged else None,
        limits=_limits(limits, baseline),
        front=pareto_names(records),
        environment=measured.environment if measured else None,
        generated=now(),
    )
    write_report(data, path)


def _title(records: Sequence[Record]) -> str:
    configs = dict.fromkeys(
        "-".join(map(str, row.target.variant["block_config"])) for row in records[1:] if row.target.variant
    )
    return "Sweep of " + ", ".join(list(configs)[:4]) + (" and more" if len(configs) > 4 else "")


def _with_layers(row: Record) -> Record:
    if row.error or row.layers or row.target.variant is None:
        return row
    return msgspec.structs.replace(row, layers=family.record(Variant.from_dict(row.target.variant), row.batch).layers)


def _limits(limits: Mapping[str, int], baseline: Record) -> tuple[Limit, ...]:
    if limits:
        return tuple(
            Limit(figure=figure, maximum=limit, source=f"--max-{figure.removesuffix('_bytes').replace('_', '-')}")
            for figure, limit in limits.items()
        )
    own = {figure: getattr(baseline, figure) for figure in JUDGED}
    return tuple(
        Limit(figure=figure, maximum=value, source=f"{baseline.target.shown}'s own")
        for figure, value in own.items()
        if value is not None
    )
