"""One report against another: the later subject judged beside the earlier one."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

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


def compare_reports(
    before: ReportData, after: ReportData, *, command: Sequence[str], generated: str, files: Sequence[str] = ()
) -> ReportData:
    """What changed from one report's subject to another's, under the later report's limits.

    Each is named by its report's file and day, where the two `files` are given. Raises UsageError where either report
    has no subject.
    """
    if before.subject is None or after.subject is None:
        raise UsageError("a report without a subject can't be compared", where="report", fix="name its --subject")
    pair = [before.subject, after.subject]
    for i, (file, data) in enumerate(zip(files, (before, after), strict=False)):
        label = f"{pair[i].target.shown} ({file}, {data.generated[:10]})"
        pair[i] = msgspec.structs.replace(pair[i], target=msgspec.structs.replace(pair[i].target, label=label))
    return against(*pair, command=command, generated=generated, limits=after.limits)
