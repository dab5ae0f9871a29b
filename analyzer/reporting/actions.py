"""What to change first: single changes of the subject, ranked, each with what it saves, what it keeps, a command."""

from __future__ import annotations

import shlex
from collections import defaultdict
from dataclasses import dataclass

from analyzer.figures import FIGURES, Figure
from analyzer.limits import Limit, hold_all, state_of
from analyzer.records import Record
from analyzer.reporting.data import ReportData
from analyzer.reporting.judge import ratio
from analyzer.reporting.variants import change, differences, plain
from analyzer.units import percent

ALSO = 5
"""Further values of a field that are named beside the mildest."""


@dataclass(frozen=True)
class Action:
    """One thing to do: `outcome` is what it comes to, whether it `meets` the budget too; `command` shows the two side
    by side.
    """

    title: str
    outcome: str
    saves: str
    keeps: str
    command: str
    also: str = ""
    meets: bool = False


def actions(data: ReportData) -> list[Action]:
    """What brings the subject within its budget, or nearest to it; those that keep the most MACs first.

    Of each field the mildest value. Empty where nothing is over a budget. Where the report has no variants to choose
    from, where to ask for them.
    """
    subject = data.subject
    if subject is None or subject.error is not None or data.compared or _state(subject, data) != "over":
        return []
    by_field: dict[str, list[Record]] = defaultdict(list)
    for row in data.records:
        fields = None if row.error else differences(subject, row)
        if fields is not None and len(fields) == 1 and row is not data.baseline:
            by_field[fields[0]].append(row)
    found = []
    for field, rows in by_field.items():
        fitting = sorted((row for row in rows if _state(row, data) == "within"), key=_capacity, reverse=True)
        if fitting:
            found.append((_capacity(fitting[0]), _action(field, fitting, data, subject)))
    if found:
        return [action for _, action in sorted(found, key=lambda pair: pair[0], reverse=True)]
    return [_nearest(by_field, data, subject)] if by_field else _asked(data, subject)


def _state(row: Record, data: ReportData) -> str:
    return state_of(hold_all(row, data.limits))


def _capacity(row: Record) -> tuple[int, int]:
    """What stands for how much a variant can learn: its MACs, then its params."""
    return row.macs or 0, row.params or 0


def _action(field: str, rows: list[Record], data: ReportData, subject: Record, outcome: str = "") -> Action:
    row = rows[0]
    others = ", ".join(change(other, field) for other in rows[1 : 1 + ALSO])
    batch = ["--batch", str(subject.batch)] if subject.batch > 1 else []
    return Action(
        f"{change(row, field)} instead of {plain(subject, field)}",
        outcome or f"within budget: {against(row, data)}",
        _saved(row, data, subject),
        _kept(row, subject),
        shlex.join(["analyze", "compare", subject.target.name, row.target.name, *batch]),
        f"So would {others}." if others else "",
        meets=not outcome,
    )


def _nearest(by_field: dict[str, list[Record]], data: ReportData, subject: Record) -> Action:
    """The change that helps most, where none is enough."""

    def excess(row: Record) -> float:
        return max(judged.used for judged in hold_all(row, data.limits))

    field, best = min(((f, row) for f, rows in by_field.items() for row in rows), key=lambda pair: excess(pair[1]))
    if excess(best) >= excess(subject):
        return Action(
            "No single change in this report brings it nearer to the budget", "", "", "", _explained(subject, data)
        )
    return _action(
        field, [best], data, subject, f"still over, and nearer than any other single change: {against(best, data)}"
    )


def _asked(data: ReportData, subject: Record) -> list[Action]:
    """Which verb lists changes, for a variant that stands alone."""
    if subject.target.variant is None:
        return []
    return [Action("Ask for the mildest changes that meet the budget", "", "", "", _explained(subject, data))]


def _explained(subject: Record, data: ReportData) -> str:
    words = [f"--max-{FIGURES[limit.figure].word}={limit.bound}" for limit in data.limits if _told(limit)]
    batch = ["--batch", str(subject.batch)] if subject.batch > 1 else []
    return shlex.join(["analyze", "explain", subject.target.name, *batch, *words])


def _told(limit: Limit) -> bool:
    figure = FIGURES.get(limit.figure)
    return figure is not None and figure.searched and limit.side == "most" and figure.unit in ("count", "bytes")


def _saved(row: Record, data: ReportData, subject: Record) -> str:
    """`saves 145,260,352 params (96.9 %), …` over what is limited; what grows is said too."""
    names = list(dict.fromkeys(limit.figure for limit in data.limits))
    parts = [_less(FIGURES[name], row, subject) for name in names if name in FIGURES]
    return ", ".join(filter(None, parts))


def _less(figure: Figure, row: Record, subject: Record) -> str:
    before, after = figure.of(subject), figure.of(row)
    if not before or after is None or before == after:
        return ""
    words = figure.text(abs(before - after)) if figure.unit != "count" else f"{abs(before - after):,}"
    return f"{'' if after < before else '+'}{words} {figure.label} ({percent(abs(before - after), before)})"


def _kept(row: Record, subject: Record) -> str:
    """What is left of what capacity follows, and the time where a device's profile predicts it."""
    parts = [
        f"{percent(after, before)} of the {figure.label}"
        for figure in (FIGURES["macs"], FIGURES["params"], FIGURES["conv_activations"])
        for before, after in [(figure.of(subject), figure.of(row))]
        if before and after is not None
    ]
    if row.depth is not None and subject.depth is not None:
        parts.append(f"depth {row.depth}" + ("" if row.depth == subject.depth else f" of {subject.depth}"))
    latency = FIGURES["predicted_latency_s"]
    if latency.of(row) is not None and latency.of(subject) is not None:
        parts.append(
            f"a predicted latency of {latency.text(latency.of(row))} (now {latency.text(latency.of(subject))})"
        )
    return ", ".join(parts)


def against(row: Record, data: ReportData) -> str:
    """`params 1,234,567 (0.18× the limit), …`."""
    return ", ".join(
        f"{judged.figure.label} {judged.figure.text(judged.value)} ({ratio(judged)} the limit)"
        for judged in hold_all(row, data.limits)
    )
