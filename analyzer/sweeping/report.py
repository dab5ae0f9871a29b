"""Records of a sweep or a search -> what their report shows."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from analyzer.architecture.network import trace
from analyzer.architecture.variant import Variant
from analyzer.limits import Limit, own_limits
from analyzer.reading import family
from analyzer.reading.peak import training_peak
from analyzer.records import Record
from analyzer.reporting.data import ReportData, TimelineStep, now, timeline_of
from analyzer.sweeping.run import pareto_names, subject_of


def report_data(
    records: Sequence[Record],
    limits: Sequence[Limit],
    *,
    command: Sequence[str],
    subject: str | None = None,
    searched: Sequence[str] = (),
) -> ReportData:
    """A report on records, the baseline first; `searched` where they are a search's finds.

    The verdict is on the record named `subject` (default: the article's network, else the first variant) under the
    limits (default: the baseline's own figures).
    """
    baseline, judged = records[0], subject_of(records, subject)
    detailed = {row.target.name: _with_layers(row) for row in (baseline, judged) if row is not None}
    measured = next((row.measured for row in records if row.measured), None)
    return ReportData(
        title="Search" if searched else _title(records),
        command=tuple(command),
        records=tuple(detailed.get(row.target.name, row) for row in records),
        baseline=detailed[baseline.target.name],
        subject=detailed[judged.target.name] if judged else None,
        limits=tuple(limits) or own_limits(baseline, f"{baseline.target.shown}'s own"),
        front=pareto_names(records),
        environment=measured.environment if measured else None,
        generated=now(),
        timeline=_timeline(judged),
        searched=tuple(searched),
    )


def _timeline(row: Record | None) -> tuple[TimelineStep, ...] | None:
    """A training step of the subject, where it can train."""
    if row is None or row.target.variant is None or row.peak_training_bytes is None:
        return None
    step = training_peak(trace(Variant.from_dict(row.target.variant)), row.batch, timeline=True)
    return timeline_of(step.moments)


def _title(records: Sequence[Record]) -> str:
    configs = dict.fromkeys(
        "-".join(map(str, row.target.variant["block_config"])) for row in records[1:] if row.target.variant
    )
    return "Sweep of " + ", ".join(list(configs)[:4]) + (" and more" if len(configs) > 4 else "")


def _with_layers(row: Record) -> Record:
    if row.error or row.layers or row.target.variant is None:
        return row
    return msgspec.structs.replace(row, layers=family.record(Variant.from_dict(row.target.variant), row.batch).layers)
