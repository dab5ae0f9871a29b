"""What the figures say to do: ranked findings, each computed from the records and nothing else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analyzer.figures import FIGURES, SHARED
from analyzer.limits import hold_all, state_of
from analyzer.reading.layers import LayerNode
from analyzer.records import Record
from analyzer.reporting.changes import groups, stages
from analyzer.reporting.data import ReportData
from analyzer.reporting.judge import ratio
from analyzer.reporting.text import times
from analyzer.reporting.variants import change, differences, plain
from analyzer.units import percent

_UNSURE = 0.2  # a time ratio whose rounds spread over more than this share of it is called uncertain


@dataclass(frozen=True)
class Observation:
    """One thing to know: `kind` is `do`, `cost` or `trust`; `path` names the module that it is about, if any."""

    kind: str
    title: str
    detail: str = ""
    path: str = ""


def findings(data: ReportData) -> list[Observation]:
    """What to do first, then what costs most, then what to doubt."""
    if data.subject is None or data.subject.error is not None:
        return list(_doubts(data))
    return [*_budget(data, data.subject), *_costs(data.subject), *_doubts(data)]


# -- what to do ------------------------------------------------------------------------------------------------


def _budget(data: ReportData, subject: Record) -> Iterator[Observation]:
    if data.compared:
        return
    held = hold_all(subject, data.limits)
    verdict = state_of(held)
    if verdict == "over":
        yield from _single_changes(data, subject)
    elif verdict == "within":
        tight = max(held, key=lambda judged: judged.used)
        left = percent(-tight.limit.beyond(tight.value), tight.limit.bound)
        yield Observation(
            "do", f"The tightest limit is {tight.figure.label}: {left} of it is left", _against(subject, data)
        )
    judged = [row for row in data.records if not row.error and row is not data.baseline]
    fitting = [row for row in judged if _fits(row, data)]
    if len(judged) > 1 and data.limits:
        best = max(fitting, key=lambda row: (row.macs or 0, row.params or 0), default=None)
        detail = f"With the most MACs among them: {best.target.shown} ({_against(best, data)})." if best else ""
        yield Observation("do", f"{len(fitting):,} of {len(judged):,} variants are within budget", detail)


def _fits(row: Record, data: ReportData) -> bool:
    return state_of(hold_all(row, data.limits)) == "within"


def _single_changes(data: ReportData, subject: Record) -> Iterator[Observation]:
    """Variants that differ from the subject in one field: those that fit, by field; else the one that helps most."""
    by_field: dict[str, list[Record]] = defaultdict(list)
    for row in data.records:
        fields = None if row.error else differences(subject, row)
        if fields is not None and len(fields) == 1:
            by_field[fields[0]].append(row)
    fits = 0
    for field, rows in by_field.items():
        fitting = sorted((r for r in rows if _fits(r, data)), key=lambda r: -(r.macs or 0))
        if fitting:
            fits += 1
            others = ", ".join(change(row, field) for row in fitting[1:6])
            also = f" So would {others}." if others else ""
            yield Observation(
                "do",
                f"{change(fitting[0], field)} alone (instead of {plain(subject, field)}) brings it within budget",
                f"{_against(fitting[0], data)}.{also}",
            )
    if by_field and not fits:
        yield _most_help(data, subject, by_field)


def _most_help(data: ReportData, subject: Record, by_field: dict[str, list[Record]]) -> Observation:
    def excess(row: Record) -> float:
        return max(judged.used for judged in hold_all(row, data.limits))

    field, best = min(((f, row) for f, rows in by_field.items() for row in rows), key=lambda pair: excess(pair[1]))
    if excess(best) >= excess(subject):
        return Observation("do", "No single change in this sweep brings it nearer to the budget")
    return Observation(
        "do",
        f"No single change in this sweep brings it within budget; {change(best, field)} helps most",
        f"{_against(best, data)}.",
    )


def _against(row: Record, data: ReportData) -> str:
    """`params 1,234,567 (0.18× the limit), …`."""
    return ", ".join(
        f"{judged.figure.label} {judged.figure.text(judged.value)} ({ratio(judged)} the limit)"
        for judged in hold_all(row, data.limits)
    )


# -- what costs most -------------------------------------------------------------------------------------------


def _costs(subject: Record) -> Iterator[Observation]:
    modules = [node for node in groups(subject) if node.path]
    by_path: dict[str, list[str]] = defaultdict(list)
    nodes = {node.path: node for node in modules}
    for figure in SHARED:
        total = getattr(subject, figure.name)
        known = [node for node in modules if node.totals[figure.name]]
        if known and total:
            top = max(known, key=lambda node: node.totals[figure.name] or 0)
            share = percent(top.totals[figure.name], total)
            by_path[top.path].append(f"{share} of the {figure.label}")
    for path, shares in by_path.items():
        yield Observation("cost", f"{path} holds {_and(shares)}", _inside(nodes[path]), path)
    yield from _top_stage(subject)


def _inside(node: LayerNode) -> str:
    """Which layer of a group has most of its params."""
    whole = node.totals["params"]
    top = max(node.children.values(), key=lambda child: child.totals["params"] or 0, default=None)
    if top is None or not whole or not 0 < (top.totals["params"] or 0) < 0.995 * whole:
        return ""
    return f"Within it {top.name} has {percent(top.totals['params'], whole)} of its {whole:,} params."


def _top_stage(subject: Record) -> Iterator[Observation]:
    parts = [part for part in stages(subject) if part.totals["params"]]
    if len(parts) > 2 and subject.params:
        top = max(parts, key=lambda part: part.totals["params"] or 0)
        shares = [
            f"{percent(top.totals[f.name], getattr(subject, f.name))} of {f.label}"
            for f in SHARED
            if top.totals[f.name] is not None and getattr(subject, f.name)
        ]
        yield Observation("cost", f"The costliest stage is {top.label}: {_and(shares)}", "", top.path)


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


# -- what to doubt ---------------------------------------------------------------------------------------------


def _doubts(data: ReportData) -> Iterator[Observation]:
    subject = data.subject
    if subject is not None and subject.uncounted:
        calls = sum(item.calls for item in subject.uncounted)
        names = ", ".join(sorted({item.operator for item in subject.uncounted})[:5])
        yield Observation("trust", f"{calls:,} operator calls have no formula: the MACs are a lower bound", names)
    yield from (Observation("trust", note[:1].upper() + note[1:]) for note in (subject.notes if subject else ()))
    failed = [row for row in data.records if row.error]
    if failed:
        count = "1 row has" if len(failed) == 1 else f"{len(failed):,} rows have"
        yield Observation("trust", f"{count} no figures", "The reasons stand below the table.")
    measured = subject.measured if subject is not None else None
    if measured is not None and measured.ratio and measured.baseline != (subject and subject.target.name):
        spread = (measured.ratio_high - measured.ratio_low) / measured.ratio
        if spread > _UNSURE:
            yield Observation(
                "trust",
                f"The time ratio is uncertain: it lies between {measured.ratio_low:.2f}× and "
                f"{measured.ratio_high:.2f}×",
                "Measure for longer, with nothing else running.",
            )
    for figure in (figure for figure in FIGURES.values() if figure.batched):
        pair = [figure.of(row) for row in (subject, data.baseline) if row is not None]
        if subject is not None and None not in pair and subject.batch != data.baseline.batch:
            yield Observation(
                "trust",
                f"{figure.label} is at batch {subject.batch} here and {data.baseline.batch} in the baseline",
                f"Its ratio, {times(*pair)}, compares different batches.",
            )
