"""Records of a sweep or a search -> what their report shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import msgspec

from analyzer.architecture.network import trace
from analyzer.errors import UsageError
from analyzer.limits import Limit, default_limits
from analyzer.reading import family
from analyzer.reading.latency import Profile
from analyzer.reading.peak import training_peak
from analyzer.records import Record
from analyzer.reporting.against import compare_reports
from analyzer.reporting.data import ReportData, TimelineStep, now, timeline_of
from analyzer.reporting.page import read_report
from analyzer.storing.results_file import NAME
from analyzer.sweeping.choosing import pareto_names, subject_of
from analyzer.sweeping.database import Database
from analyzer.sweeping.kept import limits_of_run
from analyzer.sweeping.store import read_jsonl
from analyzer.targets.analysis import analyze_target
from analyzer.targets.files import is_file_name, resolve_costed


@dataclass(frozen=True)
class ReportPlan:
    """What a report is made from: results of sweeps (files or folders), pages and networks' files, merged by name, the
    last counting.

    Two pages alone give a report on what changed between their subjects. A device's `profile` predicts the rows' times.
    """

    results: tuple[Path, ...]
    limits: Sequence[Limit]
    subject: str | None
    command: tuple[str, ...]
    profile: Profile | None = None

    @property
    def of_changes(self) -> bool:
        """Whether it is on what changed from one page to another."""
        return len(self.results) == 2 and all(path.suffix == ".html" for path in self.results)


def execute(plan: ReportPlan, warn: Callable[[str], None] = lambda _: None) -> ReportData:
    """Reads the results, and is told of rows that can't be read. Raises UsageError where there are none."""
    if plan.of_changes:
        before, after = (read_report(path) for path in plan.results)
        files = [
            path.name if path.name != plan.results[1 - i].name else str(path) for i, path in enumerate(plan.results)
        ]
        return compare_reports(before, after, command=plan.command, generated=now(), files=files)
    found = [record for path in plan.results for record in _records_at(path, warn)]
    records = {record.target.name: record for record in found}
    if not records:
        raise UsageError("has no results", where=str(plan.results[0]), fix="run a sweep first")
    rows = [row if plan.profile is None else family.with_latency(row, plan.profile) for row in records.values()]
    limits = plan.limits or _limits_at(plan.results[0])
    of_files = all(is_file_name(str(path)) for path in plan.results)
    subject = plan.subject or (found[-1].target.name if of_files else None)
    return report_data(rows, limits, command=plan.command, subject=subject)


def _limits_at(path: Path) -> tuple[Limit, ...]:
    """The budget that the run had which left these results."""
    if is_file_name(str(path)):
        return ()
    return read_report(path).limits if path.suffix == ".html" else limits_of_run(path)


def _records_at(path: Path, warn: Callable[[str], None]) -> list[Record]:
    if path.suffix == ".html":
        data = read_report(path)
        return [data.baseline, *data.records]
    if is_file_name(str(path)):
        return [analyze_target(resolve_costed(str(path)))]
    if path.is_dir():  # a killed sweep has exported nothing yet
        path = next((path / name for name in ("results.jsonl", NAME) if (path / name).exists()), path / NAME)
    if path.suffix == ".db":
        with closing(Database(path)) as database:
            return [row.record for row in database.rows()]
    records, warnings = read_jsonl(path)
    for warning in warnings:
        warn(warning)
    return records


def report_data(
    records: Sequence[Record],
    limits: Sequence[Limit],
    *,
    command: Sequence[str],
    subject: str | None = None,
    searched: Sequence[str] = (),
    cloud: Sequence[tuple[int, int]] = (),
) -> ReportData:
    """A report on records, the baseline first; `searched` and `cloud` where they are a search's.

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
        limits=default_limits(limits, baseline),
        front=pareto_names(records),
        environment=measured.environment if measured else None,
        generated=now(),
        timeline=_timeline(judged),
        searched=tuple(searched),
        cloud=tuple(cloud),
    )


def _timeline(row: Record | None) -> tuple[TimelineStep, ...] | None:
    """A training step of the subject, where it can train."""
    if row is None or row.target.variant is None or row.peak_training_bytes is None:
        return None
    step = training_peak(trace(row.target.variant), row.batch, timeline=True)
    return timeline_of(step.moments)


def _title(records: Sequence[Record]) -> str:
    configs = dict.fromkeys(
        "-".join(map(str, row.target.variant.block_config)) for row in records[1:] if row.target.variant
    )
    return "Sweep of " + ", ".join(list(configs)[:4]) + (" and more" if len(configs) > 4 else "")


def _with_layers(row: Record) -> Record:
    if row.error or row.layers or row.target.variant is None:
        return row
    return msgspec.structs.replace(row, layers=family.record(row.target.variant, row.batch).layers)
