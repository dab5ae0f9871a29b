"""What the figures show: observations, each computed from the records and nothing else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analyzer.figures import FIGURES, SHARED
from analyzer.limits import hold_all, state_of
from analyzer.reading.layers import LayerNode
from analyzer.records import Record
from analyzer.reporting.actions import against
from analyzer.reporting.changes import groups, stages
from analyzer.reporting.data import ReportData
from analyzer.reporting.text import times
from analyzer.units import percent

_UNSURE = 0.2  # a time ratio whose rounds spread over more than this share of it is called uncertain


@dataclass(frozen=True)
class Observation:
    """One thing to know: `kind` is `budget`, `cost` or `trust`; `path` names the module that it is about, if any."""

    kind: str
    title: str
    detail: str = ""
    path: str = ""


def findings(data: ReportData) -> list[Observation]:
    """How it stands to its budget, then what costs most, then what to doubt; what to change is in `actions`."""
    if data.subject is None or data.subject.error is not None:
        return list(_doubts(data))
    return [*_budget(data, data.subject), *_costs(data.subject), *_doubts(data)]


# -- the budget -------------------------------------------------------------------------------------------------


def _budget(data: ReportData, subject: Record) -> Iterator[Observation]:
    if data.compared:
        return
    held = hold_all(subject, data.limits)
    verdict = state_of(held)
    if verdict == "within":
        tight = max(held, key=lambda judged: judged.used)
        left = percent(-tight.limit.beyond(tight.value), tight.limit.bound)
        yield Observation(
            "budget", f"The tightest limit is {tight.figure.label}: {left} of it is left", against(subject, data)
        )
    judged = [row for row in data.records if not row.error and row is not data.baseline]
    fitting = [row for row in judged if _fits(row, data)]
    if len(judged) > 1 and data.limits:
        best = max(fitting, key=lambda row: (row.macs or 0, row.params or 0), default=None)
        detail = f"With the most MACs among them: {best.target.shown} ({against(best, data)})." if best else ""
        yield Observation("budget", f"{len(fitting):,} of {len(judged):,} variants are within budget", detail)


def _fits(row: Record, data: ReportData) -> bool:
    return state_of(hold_all(row, data.limits)) == "within"


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


_COSTLIEST = "The costliest stage is "


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
        yield Observation("cost", f"{_COSTLIEST}{top.label}: {_and(shares)}", "", top.path)


def costliest(data: ReportData) -> str:
    """What costs most, in a few words: a stage or, where there are none, a module; empty where nothing is known."""
    found = list(_costs(data.subject)) if data.subject is not None else []
    return found[-1].title.removeprefix(_COSTLIEST) if found else ""


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
