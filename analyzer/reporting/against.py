"""One report against another: the later subject judged beside the earlier one."""

from __future__ import annotations

from collections.abc import Sequence

from analyzer.errors import UsageError
from analyzer.limits import Limit, default_limits
from analyzer.records import Record
from analyzer.reporting.data import ReportData


def against(
    baseline: Record,
    subject: Record,
    *,
    command: Sequence[str],
    generated: str,
    limits: Sequence[Limit] = (),
) -> ReportData:
    """A report on two records alone, as `compare` and `check` need it; limits default to the baseline's own figures."""
    own = default_limits(limits, baseline)
    measured = subject.measured or baseline.measured
    return ReportData(
        title=f"{subject.target.shown} against {baseline.target.shown}",
        command=tuple(command),
        records=(baseline, subject) if baseline.target != subject.target else (subject,),
        baseline=baseline,
        subject=subject,
        limits=own,
        front=(),
        environment=measured.environment if measured else None,
        compared=not limits,
        generated=generated,
    )


def compare_reports(before: ReportData, after: ReportData, *, command: Sequence[str], generated: str) -> ReportData:
    """What changed from one report's subject to another's, under the later report's limits.

    Raises UsageError where either report has no subject.
    """
    if before.subject is None or after.subject is None:
        raise UsageError("a report without a subject can't be compared", where="report", fix="name its --subject")
    return against(before.subject, after.subject, command=command, generated=generated, limits=after.limits)
