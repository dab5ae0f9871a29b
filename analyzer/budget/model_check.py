"""One model held to its budgets: what it costs, against its limits and its baseline, and who pays."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from analyzer.budget import globs
from analyzer.budget.alignment import Alignment
from analyzer.budget.blame import spread
from analyzer.budget.figures import LAYERED, OF_PARAMETERS, PEAKS, TRACKED, of_rows
from analyzer.budget.fixes import fix_of
from analyzer.budget.limits import BudgetLimit
from analyzer.budget.lock_file import Locked
from analyzer.budget.source import Place
from analyzer.budget.verdict import Budgeted, Finding, Payer
from analyzer.distribution import torch_version
from analyzer.figures import known
from analyzer.limits import Limit
from analyzer.reading.prediction import unproven
from analyzer.records import LayerRow, standing_of
from analyzer.units import percent

if TYPE_CHECKING:
    from analyzer.budget.counting import Counted

Reference = Callable[[str, str], int]
"""(model, figure) -> that model's figure, for max-ratio. Raises an AnalyzerError."""
SHOWN_MOVES = 5


TERMS = ("convention", "one-path", "untrainable")
"""Kinds of a record's remarks that a check repeats: on what terms a figure was counted."""


@dataclass
class Held:
    """A counted model beside its baseline (None: there is none to compare with, or it is another thing's).

    `relockable` says that the baseline is the lock file at hand. `arguments` gives the numbers in its source that
    differ from the baseline's, as far as they are known. `used` are the waivers that were needed so far.
    """

    name: str
    now: Locked
    counted: Counted
    base: Locked | None
    config_place: Place
    relockable: bool = True
    arguments: Callable[[], list[str]] = list
    used: set[int] = field(default_factory=set)

    @cached_property
    def alignment(self) -> Alignment:
        """Which module was which."""
        assert self.base is not None
        return Alignment(self.base.rows, self.now.rows)

    def group_rows(self, group: str | None) -> tuple[list[LayerRow], list[LayerRow]]:
        """The rows of a group now, and those that they were before with the ones of it that are gone."""
        if group is None:
            return list(self.now.rows), list(self.base.rows) if self.base else []
        rows = globs.matching(self.now.rows, group)
        if self.base is None:
            return rows, []
        were = [was for row in rows if (was := self.alignment.before(row.path)) is not None]
        return rows, were + globs.matching(self.alignment.gone, group)

    def values(self, figure: str, group: str | None) -> tuple[int | None, int | None]:
        """A figure now and in the baseline."""
        if group is None:
            return self.now.figure(figure), self.base.figure(figure) if self.base else None
        rows, were = self.group_rows(group)
        return of_rows(rows, figure), of_rows(were, figure) if self.base else None

    def payers(self, figure: str, group: str | None) -> tuple[Payer, ...]:
        """The modules whose figure changed, the largest growth first; none where it doesn't add up over modules."""
        if self.base is None or figure not in LAYERED:
            return ()
        rows, were = self.group_rows(group)
        return self.alignment.changes(figure, {row.path for row in rows}, {row.path for row in were})

    def largest(self, figure: str, group: str | None) -> str:
        """The module that costs most, where there is nothing to have grown from."""
        if figure not in LAYERED:
            return ""
        of = known(figure).of
        rows = [row for row in self.group_rows(group)[0] if of(row)]
        if not rows:
            return ""
        top = max(rows, key=of)
        return f"{top.path or '(root)'} ({top.type}), {percent(of(top), of_rows(rows, figure))} of it"

    def standing(self, figure: str) -> str:
        """How a figure of it is known."""
        return standing_of(self.counted.record, known(figure))

    def line(self, figure: str, value: int, base: int | None, **more: Any) -> Budgeted:
        """A figure's line."""
        return Budgeted(figure=figure, value=value, base=base, standing=self.standing(figure), **more)

    def found(self, kind: Any, level: Any, what: str, **more: Any) -> Finding:
        """A finding of this model, placed at the class of the module that pays most, else at the configuration."""
        changes = more.get("changes", ())
        place = self.counted.place(changes[0].path if changes else "") or self.config_place
        if more.get("value") is not None:
            more = {"standing": self.standing(more["figure"]), **more}
        return Finding(kind=kind, level=level, model=self.name, what=what, file=place[0], line=place[1], **more)


def hold(held: Held, limits: Sequence[BudgetLimit], reference: Reference) -> tuple[list[Finding], list[Budgeted]]:
    """Every limit held against the model: findings, and one line a figure (budgeted first, then the tracked ones)."""
    findings: list[Finding] = []
    lines: list[Budgeted] = []
    for limit in limits:
        value, base = held.values(limit.figure, limit.group)
        rows = held.group_rows(limit.group)[0]
        if limit.group is not None and not rows:
            findings.append(_unmatched(held, limit, rows))
            continue
        if value is None:
            findings.append(_unknown(held, limit))
            continue
        bounds = list(_bounds(limit, base, reference))
        if limit.group is not None and value == 0 and any(bound.limit.bound for bound in bounds):
            findings.append(_unmatched(held, limit, rows))  # a budget that holds nothing passes nothing
            continue
        exceeded = [bound for bound in bounds if bound.limit.beyond(value) > 0]
        if exceeded:
            findings.append(_exceeded(held, limit, value, base, exceeded))
        least = min((bound.limit.bound for bound in bounds if bound.kind != "below"), default=None)
        lines.append(held.line(limit.figure, value, base, group=limit.group, limit=least))
    shown = {(line.figure, line.group) for line in lines}
    for figure in TRACKED:
        value, base = held.values(figure, None)
        if (figure, None) not in shown and value is not None:
            lines.append(held.line(figure, value, base))
    return findings, lines


class _Bound(NamedTuple):
    """One bound of a budget: its kind, and the limit that it is; `source` says it in words."""

    kind: Literal["excess", "below", "ratio", "growth"]
    limit: Limit


def _bounds(limit: BudgetLimit, base: int | None, reference: Reference) -> Iterator[_Bound]:
    """The bounds that can be told, the hardest first."""
    figure = known(limit.figure)

    def at(bound: int, words: str, side: Literal["most", "least"] = "most") -> Limit:
        return Limit(figure=limit.figure, bound=bound, side=side, source=words)

    if limit.max is not None:
        yield _Bound("excess", at(limit.max, f"above the limit {figure.exact(limit.max)}"))
    if limit.min is not None:
        words = f"below the least allowed, {figure.exact(limit.min)}"
        yield _Bound("below", at(limit.min, words, "least"))
    if limit.max_ratio is not None:
        own = reference(limit.of, limit.figure)
        words = f"above {float(limit.max_ratio):g} x {limit.of}'s {figure.exact(own)}"
        yield _Bound("ratio", at(int(own * limit.max_ratio), words))
    if limit.growth is not None and base is not None:
        least = f", at least {figure.exact(limit.growth_min)}" if limit.growth_min else ""
        allowed = f"{float(limit.growth * 100):g} %{least}"
        words = f"above what the baseline's {figure.exact(base)} may grow to ({allowed})"
        yield _Bound("growth", at(limit.most_grown(base), words))


def _exceeded(held: Held, limit: BudgetLimit, value: int, base: int | None, exceeded: Sequence[_Bound]) -> Finding:
    """One finding a figure, whatever number of its bounds it is outside of."""
    figure = known(limit.figure)
    name = figure.label + (f" of {limit.group}" if limit.group else "")
    first = exceeded[0]
    told = [f"{figure.exact(bound.limit.beyond(value))} {bound.limit.source}" for bound in exceeded]
    changes = held.payers(limit.figure, limit.group)
    told += filter(None, [spread(changes, sum(bool(figure.of(row)) for row in held.group_rows(limit.group)[0]))])
    beyond = {bound.kind for bound in exceeded}
    return held.found(
        "excess" if first.kind == "below" else first.kind,
        limit.level,
        f"{name} {figure.exact(value)}: {'; '.join(told)}",
        figure=limit.figure,
        group=limit.group,
        value=value,
        limit=first.limit.bound if first.kind == "below" else min(bound.limit.bound for bound in exceeded),
        base=base,
        changes=changes,
        message=limit.message,
        fix=fix_of(held, limit, value, beyond, changes),
        where="" if changes else held.largest(limit.figure, limit.group),
    )


def _unmatched(held: Held, limit: BudgetLimit, matched: Sequence[LayerRow]) -> Finding:
    figure = known(limit.figure)
    what = f"the group {limit.group!r} matches no layer"
    if matched:
        first = f"{matched[0].path or 'the root'} ({matched[0].type})"
        what = f"the group {limit.group!r} has no {figure.label}: {first} has none"
    near = globs.nearest(held.now.rows, limit.group or "", figure.of)
    renamed = _renamed(held, limit.group or "")
    if renamed is not None:
        old, new, _ = renamed
        what = f"the group {limit.group!r} matches no layer: {old} was renamed to {new}"
    tops = sorted({row.path.split(".")[0] for row in held.now.rows if row.path})
    begin = f"the model's layers begin with: {', '.join(tops[:12])}" if tops else "it has no layers but itself"
    return Finding(
        kind="unmatched", level="error", model=held.name, what=what, figure=limit.figure, group=limit.group,
        fix=f"change the group to `{renamed[2]}`" if renamed else f"did you mean `{near}`? {begin}" if near else begin,
        file=held.config_place[0], line=held.config_place[1],
    )  # fmt: skip


def _renamed(held: Held, group: str) -> tuple[str, str, str] | None:
    """A container that the group named in the baseline: from, to, and the group as it would name it now."""
    if held.base is None or not globs.matching(held.base.rows, group):
        return None
    for old, new, _ in held.alignment.moved:
        place = re.search(rf"(?:^|\.)({re.escape(old)})(?:\.|$)", group)
        now = group[: place.start(1)] + new + group[place.end(1) :] if place else group
        if now != group and globs.matching(held.now.rows, now):
            return old, new, now
    return None


def _unknown(held: Held, limit: BudgetLimit) -> Finding:
    record = held.counted.record
    why = next(
        (remark.text for remark in record.remarks if remark.figure == limit.figure or limit.figure in remark.text), ""
    )
    needs_input = not record.inputs and limit.figure not in OF_PARAMETERS
    if needs_input:
        why = "the configuration gives no input"
    return Finding(
        kind="configuration" if needs_input else "uncounted", level="error", model=held.name, figure=limit.figure,
        group=limit.group, what=f"{known(limit.figure).label} can't be told{f': {why}' if why else ''}",
        fix="such as input = [1, 3, 224, 224]" if needs_input else "budget another figure, or mend what the note says",
        file=held.config_place[0], line=held.config_place[1],
    )  # fmt: skip


# -- what is worth knowing, and fails nothing ------------------------------------------------------------------


def remarks(
    held: Held, limits: Sequence[BudgetLimit], lines: Sequence[Budgeted], failed: set[Any]
) -> Iterator[Finding]:
    """What shrank and could be tightened, what grew within its budget, what moved, on what terms it was counted."""
    if held.base is not None:
        for line in lines:
            if (line.figure, line.group) not in failed:
                yield from _changed(held, line, limits)
        was, now = held.base.identity.target, held.now.identity.target
        if was != now:
            yield held.found("moved", "note", f"the target moved from {was} to {now}, and its baseline with it")
        if moves := held.alignment.moved:
            listed = ", ".join(
                f"{old} → {new}" + (f" ({n} modules)" if n > 1 else "") for old, new, n in moves[:SHOWN_MOVES]
            )
            more = f", and {len(moves) - SHOWN_MOVES} more" if len(moves) > SHOWN_MOVES else ""
            yield held.found("moved", "note", f"renamed or moved, and counted as the same: {listed}{more}")
    for remark in held.counted.record.remarks:
        if remark.kind in TERMS:
            # Figures of one path of several may be too small: that is worth more than a note.
            yield held.found("terms", "warning" if remark.kind == "one-path" else "note", remark.text)
    if needs_peaks(limits):
        for note in unproven(torch_version()):
            yield held.found("terms", "note", note)


def _changed(held: Held, line: Budgeted, limits: Sequence[BudgetLimit]) -> Iterator[Finding]:
    if line.value is None or line.base is None or line.value == line.base:
        return
    figure = known(line.figure)
    name = figure.label + (f" of {line.group}" if line.group else "")
    moved = f"from {figure.exact(line.base)} to {figure.exact(line.value)}"
    facts: dict[str, Any] = {
        "figure": line.figure, "group": line.group, "value": line.value, "limit": line.limit, "base": line.base,
        "changes": held.payers(line.figure, line.group),
    }  # fmt: skip
    if line.value > line.base:
        within = " within its budget" if line.limit is not None else ""
        yield held.found("changed", "note", f"{name} grew{within}, {moved}", **facts)
        return
    # Who shrank most stands first.
    facts["changes"] = tuple(reversed(held.payers(line.figure, line.group)))
    own = [limit for limit in limits if (limit.figure, limit.group) == (line.figure, line.group)]
    tighten = [f"tighten max to {line.value:,}" for limit in own if limit.max is not None]
    relock = ["`analyze lock` holds growth to what it is now"] if any(limit.growth is not None for limit in own) else []
    yield held.found("improved", "note", f"{name} shrank, {moved}", fix="; ".join([*tighten, *relock]), **facts)


def needs_peaks(limits: Sequence[BudgetLimit]) -> bool:
    """Whether a budget asks for a peak, which a model of one's own has only then."""
    return any(limit.figure in PEAKS for limit in limits)
