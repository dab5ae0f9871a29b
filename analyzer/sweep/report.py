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
from analyzer.sweep.run import Plan, pareto_names, subject_of

JUDGED = ("params", "macs", "saved_bytes")
"""What DenseNet121 is the budget for, unless limits are given."""


def sweep_report(
    plan: Plan, records: Sequence[Record], limits: Mapping[str, int], *, command: Sequence[str], path: Path
) -> None:
    """Writes the report: the verdict on the article's network (or the first variant) under the limits."""
    baseline, subject = records[0], subject_of(plan, records)
    detailed = {row.target.name: _with_layers(row) for row in (baseline, subject) if row is not None and not row.error}
    measured = next((row.measured for row in records if row.measured), None)
    data = ReportData(
        title="Sweep of " + ", ".join(dict.fromkeys("-".join(map(str, v.block_config)) for v in plan.variants[:1000])),
        command=tuple(command),
        records=tuple(detailed.get(row.target.name, row) for row in records),
        baseline=detailed.get(baseline.target.name, baseline),
        subject=detailed.get(subject.target.name, subject) if subject else None,
        limits=_limits(limits, baseline),
        front=pareto_names(records),
        environment=measured.environment if measured else None,
        generated=now(),
    )
    write_report(data, path)


def _with_layers(row: Record) -> Record:
    full = family.record(Variant.from_dict(row.target.variant or {}), row.batch)
    return msgspec.structs.replace(row, layers=full.layers)


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
