"""A sweep: count every variant of a grid, measure the ones that matter, keep each row as it is made."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np

from analyzer.architecture.network import densenet121_like
from analyzer.architecture.variant import Variant
from analyzer.errors import AnalyzerError, MeasureError, UsageError, did_you_mean
from analyzer.family import baseline_for, failed, records, target
from analyzer.latency import Profile
from analyzer.records import Measurement, Record
from analyzer.space.grid import BadVariant, Grid
from analyzer.space.pareto import front
from analyzer.sweep.store import Setting, Store

Measure = Literal["none", "front", "all"]
MAX_VARIANTS = 250_000
STATIC_PER_S = 20_000
"""Variants counted and written a second, for the plan's estimate (measured on two cores; the truth is printed)."""
BLOCK = 2_000
NOT_MEASURED = "not measured: "
"""How the note begins that says why a chosen row has no times."""

MeasureOne = Callable[[Variant, Variant, float], Measurement]
"""(variant, baseline, seconds) -> its measurement against the baseline."""


@dataclass(frozen=True)
class Plan:
    """What a sweep will do. `variants` holds the grid's variants; `bad` the combinations that are none."""

    variants: tuple[Variant, ...]
    bad: tuple[BadVariant, ...]
    baseline: Variant
    batch: int
    measure: Measure
    seconds: float
    profile: Profile | None = None

    @property
    def rows(self) -> int:
        """Rows of the result, the baseline's included."""
        return len(self.variants) + len(self.bad) + (self.baseline not in self.variants)

    @property
    def estimated_s(self) -> float:
        """About how long it takes: counting, and the time given to measuring."""
        return self.rows / STATIC_PER_S + (0 if self.measure == "none" else self.seconds)

    """A row as it stands: `final` when nothing more will be added to it. `done` of `total` rows are final."""


def plan(
    grid: Grid,
    *,
    batch: int = 1,
    measure: Measure = "front",
    seconds: float = 40.0,
    profile: Profile | None = None,
) -> Plan:
    """Lists a grid's variants; with a device's `profile`, every row gets its predicted latency. The baseline is DenseNet121 at the first variant's classes and image.

    Raises UsageError where there are none or too many.
    """
    if len(grid) > MAX_VARIANTS:
        raise UsageError(
            f"{len(grid):,} variants are too many to sweep one by one",
            where="axes",
            fix=f"narrow them to {MAX_VARIANTS:,}",
        )
    found = list(grid)
    variants = tuple(v for v in found if isinstance(v, Variant))
    bad = tuple(v for v in found if isinstance(v, BadVariant))
    if not variants:
        fix = bad[0].error if bad else "give some values"
        raise UsageError("no variant to sweep", where="axes", fix=str(fix))
    return Plan(variants, bad, densenet121_like(variants[0]), batch, measure, seconds, profile)


def count(plan: Plan, store: Store, there: Mapping[str, Record] | None = None) -> Iterator[Record]:
    """Counts and stores every row, the baseline first; each block of rows is durable before it is handed on.

    Rows that are already `there` (see `already_counted`) are not counted again.
    """
    there = there or {}
    try:
        base = baseline_for(plan.baseline, plan.batch, layers=False, profile=plan.profile)
    except AnalyzerError as error:
        base = failed(plan.baseline.name, error, plan.baseline, plan.batch)
    store.put([base])
    yield base
    bad = [failed(b.name, b.error, batch=plan.batch) for b in plan.bad]
    store.put(bad)
    yield from bad
    others = [v for v in plan.variants if v != plan.baseline]
    for start in range(0, len(others), BLOCK):
        block = list(_counted(plan, others[start : start + BLOCK], there))
        store.put(block)
        yield from block


def _counted(plan: Plan, variants: Sequence[Variant], there: Mapping[str, Record]) -> Iterator[Record]:
    """Rows in the variants' order, those that are there from there."""
    if not there:
        yield from records(variants, plan.batch, plan.profile)
        return
    found = [there.get(target(variant).name) for variant in variants]
    missing = [v for v, row in zip(variants, found, strict=True) if row is None]
    made = records(missing, plan.batch, plan.profile)
    for variant, row in zip(variants, found, strict=True):
        yield next(made) if row is None else _predicted(row, variant, plan.profile)


def _predicted(row: Record, variant: Variant, profile: Profile | None) -> Record:
    """A stored row with this run's prediction of its latency."""
    if row.error is not None or profile is None:
        return msgspec.structs.replace(row, predicted=None)
    return msgspec.structs.replace(row, predicted=profile.predicted(profile.latency_s(variant)))


def already_counted(plan: Plan, store: Store) -> dict[str, Record]:
    """The plan's rows that an earlier run counted, by name, without its words on what it did not measure."""
    stored = store.counted(plan.batch)
    if not stored:
        return {}
    names = {target(v).name for v in (plan.baseline, *plan.variants)} | {b.name for b in plan.bad}
    return {name: _renewed(row) for name, row in stored.items() if name in names}


def _renewed(row: Record) -> Record:
    notes = tuple(note for note in row.notes if not note.startswith(NOT_MEASURED))
    return row if notes == row.notes else msgspec.structs.replace(row, notes=notes)


def pareto_names(rows: Sequence[Record]) -> tuple[str, ...]:
    """Names of the rows on the front of params and MACs, both minimised, ties included, fewest params first."""
    good = [row for row in rows if row.params is not None and row.macs is not None]
    if not good:
        return ()
    keep = front(np.array([(row.params, row.macs) for row in good], np.int64))
    best = [row for row, on_front in zip(good, keep, strict=True) if on_front]
    return tuple(row.target.name for row in sorted(best, key=lambda row: (row.params, row.macs, row.target.name)))


def to_measure(plan: Plan, rows: Sequence[Record]) -> list[Record]:
    """The rows to measure, in order of what matters: the article's network, the baseline, the front, the rest."""
    if plan.measure == "none":
        return []
    good = {row.target.name: row for row in rows if row.error is None}
    first = [name for name in ("article", rows[0].target.name) if name in good]
    names = dict.fromkeys([*first, *pareto_names(rows), *(good if plan.measure == "all" else ())])
    return [good[name] for name in names]


def measure(
    plan: Plan,
    chosen: Sequence[Record],
    store: Store,
    measure_one: MeasureOne,
    clock: Callable[[], float] = time.monotonic,
    there: Mapping[str, Measurement] | None = None,
) -> Iterator[Record]:
    """Measures rows one after the other and stores each as it is made; the time left is shared among those left.

    Rows whose measurement is already `there` (see `already_measured`) get that and take no time. Times are against the
    plan's baseline, or, where that makes no network, against the first of the chosen. A row that can't be measured, or
    whose time is spent, comes back with a note that says so.
    """
    there = there or {}
    end = clock() + plan.seconds
    against = reference(plan, store.records(), chosen)
    missing = waiting = sum(row.target.name not in there for row in chosen)
    for row in chosen:
        if row.target.name in there:
            yield _measured(row, store, there[row.target.name])
            continue
        left = end - clock()
        if left <= 0 and waiting < missing:
            yield _noted(row, store, f"{NOT_MEASURED}the {plan.seconds:g} s for measuring were spent (--time)")
            continue
        try:
            result = measure_one(Variant.from_dict(row.target.variant or {}), against, max(left, 0) / waiting)
        except MeasureError as error:
            yield _noted(row, store, f"{NOT_MEASURED}{error}")
        else:
            yield _measured(row, store, result)
        waiting -= 1


def reference(plan: Plan, rows: Sequence[Record], chosen: Sequence[Record]) -> Variant:
    """What times are compared with."""
    if (rows and rows[0].error is None) or not chosen:
        return plan.baseline
    return Variant.from_dict(chosen[0].target.variant or {})


def already_measured(
    plan: Plan, chosen: Sequence[Record], store: Store, device_text: str, batch: int | None
) -> dict[str, Measurement]:
    """Measurements of earlier runs by name that `measure` would make again: same protocol, device, batch, baseline."""
    from analyzer.measure.environment import environment, pick_device
    from analyzer.measure.measure import SWEEP, default_batch
    from analyzer.measure.protocol import described

    device = pick_device(device_text)
    against = reference(plan, store.records(), chosen).name
    name = environment(device).device_name
    return store.measured(Setting(described(SWEEP), name, batch or default_batch(device.type), against))


def _measured(row: Record, store: Store, measurement: Measurement) -> Record:
    done = msgspec.structs.replace(row, measured=measurement)
    store.put([done])
    return done


def _noted(row: Record, store: Store, note: str) -> Record:
    noted = msgspec.structs.replace(row, notes=(*row.notes, note))
    store.put([noted])
    return noted


def measurer(device_text: str, batch: int | None) -> MeasureOne:
    """Measuring on a device, at `batch` (None: the device's usual one). Raises UsageError where it isn't there."""
    from analyzer.measure.environment import pick_device
    from analyzer.measure.measure import measure_variant

    pick_device(device_text)

    def one(variant: Variant, baseline: Variant, seconds: float) -> Measurement:
        return measure_variant(variant, baseline, device=device_text, batch=batch, seconds=seconds)

    return one


def subject_of(rows: Sequence[Record], name: str | None = None) -> Record | None:
    """What a verdict is about: the row of that name; by default the article's network, else the first variant.

    The first row is the baseline. Raises UsageError where no row has the name.
    """
    by_name = {row.target.name: row for row in rows}
    if name is not None:
        if name not in by_name:
            raise UsageError(f"no row is named {name!r}", where="subject", fix=did_you_mean(name, by_name))
        return by_name[name]
    return by_name.get("article") or next((row for row in rows[1:] if row.target.variant and not row.error), None)
