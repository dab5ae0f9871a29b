"""A variant explained under a budget: shares, what moves its figures, what meets it; as data, as tables, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analyzer import units
from analyzer.answers import Answering, AnswerParts, AnswerTable
from analyzer.architecture.variant import Variant
from analyzer.figures import FIGURES, known
from analyzer.layout import figure_cell, percent_cell
from analyzer.limits import Limit, own_limits
from analyzer.reading import family
from analyzer.reading.latency import Profile
from analyzer.records import Record, variant_of
from analyzer.searching.explain import (
    SHARED,
    AxisChange,
    Elasticity,
    Share,
    cheapest,
    elasticities,
    levers,
    shares,
    shares_of_time,
    text,
)

if TYPE_CHECKING:
    import pandas as pd

LEAST = (9, 7, 6, 1)
"""Columns of changes in the order in which they go where there is no room."""
IMAGE = FIGURES["predicted_image_ns"]
# Fewer parameters, more memory: a budget for one is none for the other.
CONTRAST = Variant(block="residual", block_config=(6, 12, 24, 16), growth=32, bn_size=1)


@dataclass(frozen=True, repr=False)
class Explained(Answering):
    """A variant explained under a budget: shares, what moves its figures, single changes and those that meet it."""

    record: Record
    budget: tuple[Limit, ...]
    stages: tuple[Share, ...]
    roles: tuple[Share, ...]
    elasticities: tuple[Elasticity, ...]
    levers: tuple[AxisChange, ...]
    cheapest: tuple[AxisChange, ...]
    time: tuple[tuple[str, float], ...] = ()

    def frame(self) -> pd.DataFrame:
        """One row a single change: its figures, and whether it is among the mildest that meet the budget."""
        import pandas as pd

        cheapest = {change.record.target.name for change in self.cheapest}
        rows = [
            {
                "change": change.said,
                "kind": change.kind,
                **{name: getattr(change.record, name) for name in SHARED},
                "meets_budget": change.record.target.name in cheapest,
                "name": change.record.target.name,
            }
            for change in {c.record.target.name: c for c in (*self.cheapest, *self.levers)}.values()
        ]
        return pd.DataFrame(rows).set_index("change") if rows else pd.DataFrame()

    def answer(self) -> AnswerParts:
        """Cards of its figures under the budget, the tables, and what they show in words."""
        return AnswerParts(
            title=f"{self.record.target.shown} explained",
            tables=tuple(table for table in self.tables() if table.rows),
            words=tuple(self.findings()),
            record=self.record,
            limits=self.budget,
        )

    def tables(self) -> Iterator[AnswerTable]:
        """Where the figures sit, what moves them, single changes, the mildest that meet the budget."""
        name = self.record.target.shown
        yield _shares(f"Where the figures of {name} sit, by stage", self.stages, self.record)
        yield _shares(f"Where the figures of {name} sit, by role", self.roles, self.record)
        if self.record.predicted is not None:
            whole = self.record.predicted.latency_s
            rows = [(kind, units.seconds(time), units.percent(time, whole)) for kind, time in self.time]
            batch = f"a batch of {self.record.predicted.batch:,}"
            title = f"Where the predicted time of {batch} goes, by kind of operator"
            yield AnswerTable(title, ("kind", "time", "share"), rows)
        yield _elasticities(self.elasticities)
        yield _changes("One change at a time: what is left of each figure", self.levers, self.record)
        limits = ", ".join(map(_said, self.budget))
        yield _changes(f"The mildest single changes that meet the budget ({limits})", self.cheapest, self.record)

    def findings(self) -> Iterator[str]:
        """What the figures say in words; each sentence is made from figures of this variant."""
        record, variant = self.record, variant_of(self.record)
        grown = [change for change in self.levers if change.axis == "growth"]
        if variant.growth == "double" and grown:
            least = grown[-1]
            yield (
                f"Doubling growth is the cause: with {least.said} and nothing else changed "
                f"{units.percent(least.record.params, record.params)} of the parameters are left."
            )
        kinds = (("layer", "inside the layer"), ("topology", "of the topology"), ("size", "of stem width and depth"))
        for kind, name in kinds:
            left = [100 * (c.record.params or 0) / (record.params or 1) for c in self.levers if c.kind == kind]
            if left:
                yield f"Changes {name} keep {min(left):.2g} to {max(left):.2g} % of the parameters."
        yield from _contrast(variant, record)

    def __repr__(self) -> str:
        first = f"; first: {self.cheapest[0].said}" if self.cheapest else ""
        return f"Explained({self.record.target.shown}: {len(self.cheapest)} single changes meet the budget{first})"


def explained(
    variant: Variant, batch: int, limits: Sequence[Limit], profile: Profile | None = None, label: str | None = None
) -> Explained:
    """All that is to be said of a variant. Without limits the budget is DenseNet121's own params, where it has any."""
    baseline = family.baseline_or_none(variant, batch)
    own = own_limits(baseline, f"{baseline.target.shown}'s own") if baseline and not limits else ()
    budget = tuple(limits) or tuple(limit for limit in own if limit.figure == "params")
    stages, roles = shares(variant, batch)
    return Explained(
        record=family.record(variant, batch, layers=False, label=label, profile=profile),
        budget=budget,
        stages=tuple(stages),
        roles=tuple(roles),
        elasticities=tuple(elasticities(variant, batch)),
        levers=tuple(levers(variant, batch, profile)),
        cheapest=tuple(cheapest(variant, budget, batch, profile)) if budget else (),
        time=tuple(shares_of_time(variant, profile)) if profile is not None else (),
    )


# -- tables and words ------------------------------------------------------------------------------------------


def _said(limit: Limit) -> str:
    figure = known(limit.figure)
    return f"{figure.label} at {limit.side} {figure.text(limit.bound)}"


def _shares(title: str, shares: Sequence[Share], record: Record) -> AnswerTable:
    headings = ["part"]
    for figure in SHARED:
        headings += [FIGURES[figure].label, "share"]
    rows = []
    for share in shares:
        cells = [share.name]
        for figure in SHARED:
            value = share.figures[figure]
            cells += [figure_cell(FIGURES[figure], value, unit=True), percent_cell(value, getattr(record, figure))]
        rows.append(cells)
    return AnswerTable(title, headings, rows, drop=(8, 6, 5, 4))


def _elasticities(found: Sequence[Elasticity]) -> AnswerTable:
    headings = ("axis", "from", "to", *(f"{FIGURES[f].label} per 1 %" for f in SHARED))
    rows = [(e.axis, text(e.value), text(e.stepped), *(f"{e.elasticities[f]:+.2f} %" for f in SHARED)) for e in found]
    return AnswerTable("What 1 % more of an axis does (exact differences over a small step)", headings, rows)


def _changes(title: str, changes: Sequence[AxisChange], record: Record) -> AnswerTable:
    headings = ["change", "kind"]
    for figure in SHARED:
        headings += [FIGURES[figure].label, "left"]
    if record.predicted is not None:
        headings += [IMAGE.label, "left"]
    rows = []
    for change in changes:
        cells = [change.said, change.kind]
        for figure in SHARED:
            value = getattr(change.record, figure)
            cells += [figure_cell(FIGURES[figure], value, unit=True), percent_cell(value, getattr(record, figure))]
        if record.predicted is not None:
            time = IMAGE.of(change.record)
            cells += [IMAGE.text(time), units.percent(time, IMAGE.of(record))]
        rows.append(cells)
    return AnswerTable(title, headings, rows, left=2, drop=LEAST)


def _contrast(variant: Variant, record: Record) -> Iterator[str]:
    """One that has fewer params and saves more memory, where it does."""
    contrast = family.record(CONTRAST, record.batch, layers=False)
    baseline = family.baseline_or_none(variant, record.batch)
    beside = f" (DenseNet121 {units.mib(baseline.saved_bytes)})" if baseline is not None else ""
    more = (contrast.saved_bytes or 0) > (record.saved_bytes or 0)
    if more and (contrast.params or 0) < (record.params or 0):
        yield (
            f"A parameter budget is not a memory budget: {contrast.target.name} has {units.short(contrast.params)} "
            f"params and {units.short(contrast.macs)} MACs, and saves {units.mib(contrast.saved_bytes)} against "
            f"{units.mib(record.saved_bytes)} here{beside} at batch {record.batch}."
        )
