"""Waivers: what passes until a date, and what is to be said of those that are over or not needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from analyzer.budget.limits import waived_up_to
from analyzer.budget.schema import BASELINE, Waiver
from analyzer.budget.verdict import Finding

if TYPE_CHECKING:
    from analyzer.budget.model_check import Held


def waive(held: Held, findings: Sequence[Finding], waivers: Sequence[Waiver], today: date) -> Iterator[Finding]:
    """The findings, those that a waiver covers as `waived`; then what is to be said of the waivers themselves."""
    for finding in findings:
        yield _waived(held, finding, waivers, today)
    for i, waiver in enumerate(waivers):
        name = waiver.figure + (f" of {waiver.group}" if waiver.group else "")
        place: dict[str, Any] = {"file": held.config_place[0], "line": held.config_place[1]}
        if waiver.expires < today:
            yield Finding(
                kind="waiver-expired", level="error", model=held.name, figure=_figure(waiver), group=waiver.group,
                what=f"the waiver of {name} by {waiver.by} expired on {waiver.expires.isoformat()}: {waiver.reason}",
                fix="do what it was for, then remove it; or agree on another date", **place,
            )  # fmt: skip
        elif i not in held.used:
            yield Finding(
                kind="waiver-unused", level="warning", model=held.name, figure=_figure(waiver), group=waiver.group,
                what=f"the waiver of {name} by {waiver.by} is not needed", fix="remove it", **place,
            )  # fmt: skip


def _figure(waiver: Waiver) -> str | None:
    return None if waiver.figure == BASELINE else waiver.figure


def _waived(held: Held, finding: Finding, waivers: Sequence[Waiver], today: date) -> Finding:
    about_baseline = finding.kind in ("no-baseline", "stale")
    if not about_baseline and finding.kind not in ("excess", "growth", "ratio"):
        return finding
    for i, waiver in enumerate(waivers):
        wanted = BASELINE if about_baseline else finding.figure
        most = waived_up_to(waiver, "waivers")
        covers = most is None or finding.value is None or finding.value <= most
        if waiver.figure == wanted and waiver.group == finding.group and covers and waiver.expires >= today:
            held.used.add(i)
            until = f"waived until {waiver.expires.isoformat()} by {waiver.by}: {waiver.reason}"
            return Finding(
                kind="waived", level="note", model=finding.model, what=f"{finding.what}; {until}",
                figure=finding.figure, group=finding.group, value=finding.value, limit=finding.limit,
                base=finding.base, changes=finding.changes, file=finding.file, line=finding.line,
            )  # fmt: skip
    return finding
