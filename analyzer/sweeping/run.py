"""A sweep: count every variant of a grid, measure the ones that matter, keep each row as it is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import msgspec

from analyzer.architecture.network import densenet121_like
from analyzer.architecture.variant import Variant
from analyzer.errors import AnalyzerError, MeasureError, UsageError, did_you_mean
from analyzer.executors.executor import Executor, Processes, result_of
from analyzer.executors.workplace import Workplace
from analyzer.files import require_writable
from analyzer.limits import Limit
from analyzer.measurements import Measurement
from analyzer.measuring.exclusive import device_clock
from analyzer.reading.family import baseline_for, failed, records, target, with_latency
from analyzer.reading.latency import Profile
from analyzer.records import NOT_MEASURED, Record, Remark, devices_of, read_record, variant_of
from analyzer.space.grid import BadVariant, Grid, Listed
from analyzer.sweeping.choosing import pareto_names
from analyzer.sweeping.store import Setting, Store
from analyzer.sweeping.timing import MeasureOne, Timing, measure_timing
from analyzer.sweeping.trained import at_classes, require_kept
from analyzer.units import parse_batch

if TYPE_CHECKING:
    from analyzer.training.asked import TrainingAsked

Measure = Literal["none", "front", "all"]
MAX_VARIANTS = 250_000
STATIC_PER_S = 20_000
"""Variants counted and written a second, for the plan's estimate (measured on two cores; the truth is printed)."""
BLOCK = 2_000


@dataclass(frozen=True)
class SweepFiles:
    """What a sweep leaves in `folder` (None: nothing): results.db, with `resume` beside what it already has, and a
    `report` (None: report.html there) under `limits`, which names the `command` that asked for it.
    """

    folder: Path | None = None
    resume: bool = True
    report: Path | None = None
    limits: Sequence[Limit] = ()
    command: tuple[str, ...] = ()

    def paths(self, folder: Path) -> tuple[Path, Path, Path]:
        """The files in a sweep's folder that are written at its end: JSON lines, CSV, the report."""
        return folder / "results.jsonl", folder / "results.csv", self.report or folder / "report.html"


@dataclass(frozen=True)
class SweepPlan:
    """What a sweep will do. `variants` holds the grid's variants; `bad` the combinations that are none.

    Rows are counted at `batch` and measured at `measured_batch` (None: the device's usual).
    """

    variants: tuple[Variant, ...]
    bad: tuple[BadVariant, ...]
    baseline: Variant
    batch: int
    measure: Measure
    seconds: float
    profile: Profile | None = None
    measured_batch: int | None = None
    where: Workplace = field(default_factory=Workplace)
    files: SweepFiles = field(default_factory=SweepFiles)
    train: TrainingAsked | None = None

    @property
    def rows(self) -> int:
        """Rows of the result, the baseline's included."""
        return len(self.variants) + len(self.bad) + (self.baseline not in self.variants)

    @property
    def estimated_s(self) -> float:
        """About how long it takes: counting, and the time given to measuring."""
        return self.rows / STATIC_PER_S + (0 if self.measure == "none" else self.seconds)


def plan(
    grid: Grid | Listed,
    *,
    batch: int | None = None,
    measure: Measure = "front",
    seconds: float = 40.0,
    profile: Profile | None = None,
    where: Workplace | None = None,
    files: SweepFiles | None = None,
    train: TrainingAsked | None = None,
) -> SweepPlan:
    """Lists a grid's variants; with a device's `profile`, every row gets its predicted latency.

    The baseline is DenseNet121 at the first variant's classes and image. A `batch` of None: rows are counted at 1, and
    measured at the device's usual. With `train` every row is trained on images, and has their classes. Raises
    UsageError where there are no variants or too many, or where the files can't be written.
    """
    if batch is not None:
        parse_batch(batch, where="batch")
    files = files or SweepFiles()
    for path in () if files.folder is None else files.paths(files.folder):
        require_writable(path)
    if train is not None:
        require_kept(files.folder, resume=files.resume)
        grid = at_classes(grid, train.classes())
    if measure not in get_args(Measure):
        raise UsageError(f"can't measure {measure!r}", where="measure", fix=did_you_mean(measure, get_args(Measure)))
    require_few(len(grid))
    listed = list(grid)
    variants = tuple(v for v in listed if isinstance(v, Variant))
    bad = tuple(v for v in listed if isinstance(v, BadVariant))
    if not variants:
        fix = bad[0].error if bad else "give some values"
        raise UsageError("no variant to sweep", where="axes", fix=str(fix))
    where = where or Workplace()
    return SweepPlan(
        variants, bad, densenet121_like(variants[0]), batch or 1, measure, seconds, profile,
        measured_batch=batch, where=where if measure != "none" else replace(where, device=None),
        files=files, train=train,
    )  # fmt: skip


def require_few(variants: int) -> None:
    """UsageError where there are more variants than a sweep takes one by one."""
    if variants > MAX_VARIANTS:
        raise UsageError(
            f"{variants:,} variants are too many to sweep one by one",
            where="axes",
            fix=f"narrow them to {MAX_VARIANTS:,}",
        )


def count(
    plan: SweepPlan, store: Store, there: Mapping[str, Record] | None = None, executor: Executor | None = None
) -> Iterator[Record]:
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
    blocks = [others[start : start + BLOCK] for start in range(0, len(others), BLOCK)]
    missing = [VariantBatch(tuple(_missing(block, there)), plan.batch, plan.profile) for block in blocks]
    for done in (executor or Processes()).compute(count_block, missing):
        made = iter(read_record(line) for line in result_of(done))
        rows = list(_joined(plan, blocks[done.index], there, made))
        store.put(rows, host=done.host)
        yield from rows


@dataclass(frozen=True)
class VariantBatch:
    """Variants to count together."""

    variants: tuple[Variant, ...]
    batch: int
    profile: Profile | None


def count_block(block: VariantBatch) -> list[str]:
    """Their records as JSON, which travels between processes faster than objects."""
    return [record.to_json() for record in records(block.variants, block.batch, block.profile)]


def _missing(block: Sequence[Variant], there: Mapping[str, Record]) -> Sequence[Variant]:
    return [v for v in block if target(v).name not in there] if there else block


def _joined(
    plan: SweepPlan, variants: Sequence[Variant], there: Mapping[str, Record], made: Iterator[Record]
) -> Iterator[Record]:
    """Rows in the variants' order, those that are there from there, the others as they were made."""
    for variant in variants:
        row = there.get(target(variant).name) if there else None
        yield next(made) if row is None else _predicted(row, plan.profile)


def _predicted(row: Record, profile: Profile | None) -> Record:
    """A stored row with this run's prediction of its latency."""
    if row.error is not None or profile is None:
        return msgspec.structs.replace(row, predicted=None)
    return with_latency(row, profile)


def already_counted(plan: SweepPlan, store: Store) -> dict[str, Record]:
    """The plan's rows that an earlier run counted, by name, without its words on what it did not measure."""
    stored = store.counted(plan.batch)
    if not stored:
        return {}
    names = {target(v).name for v in (plan.baseline, *plan.variants)} | {b.name for b in plan.bad}
    return {name: _renewed(row) for name, row in stored.items() if name in names}


def _renewed(row: Record) -> Record:
    remarks = tuple(remark for remark in row.remarks if remark.kind not in ("not-measured", "not-trained"))
    if remarks == row.remarks and row.trained is None:
        return row
    return msgspec.structs.replace(row, remarks=remarks, trained=None)


def to_measure(plan: SweepPlan, rows: Sequence[Record]) -> list[Record]:
    """The rows to measure, in order of what matters: the article's network, the baseline, the front, the rest."""
    if plan.measure == "none":
        return []
    good = {row.target.name: row for row in rows if row.error is None}
    first = [name for name in ("article", rows[0].target.name) if name in good]
    names = dict.fromkeys([*first, *pareto_names(rows), *(good if plan.measure == "all" else ())])
    return [good[name] for name in names]


def measure(
    plan: SweepPlan,
    chosen: Sequence[Record],
    store: Store,
    executor: Executor,
    *,
    measure_one: MeasureOne = measure_timing,
    there: Mapping[str, Measurement] | None = None,
    starting: Callable[[Record], None] = lambda _: None,
    clock: Callable[[], float] = device_clock,
) -> Iterator[Record]:
    """Measures rows, one at a time on a device, and stores each as it is made; the rows left share the time left.

    Rows whose measurement is already `there` (see `already_measured`) come first and take no time. Times are against
    the plan's baseline, or, where that makes no network, against the first of the chosen. A row that can't be measured,
    or whose time is spent, comes back with a note that says so.
    """
    there = there or {}
    for row in chosen:
        if row.target.name in there:
            yield _measured(row, store, there[row.target.name])
    missing = [row for row in chosen if row.target.name not in there]
    against = reference(plan, store.records(), chosen)
    width = min(len(executor.devices()), len(missing)) if missing else 0
    started: list[Record] = []

    def begun(row: Record) -> None:
        starting(row)
        started.append(row)

    for done in executor.measure(measure_one, _timings(plan, missing, against, width, begun, clock)):
        row = missing[done.index]
        if isinstance(done.result, MeasureError):
            yield _noted(row, store, f"{NOT_MEASURED}{done.result}", done.host)
        else:
            yield _measured(row, store, result_of(done), done.host)
    for row in missing[len(started) :]:
        yield _noted(row, store, f"{NOT_MEASURED}the {plan.seconds:g} s for measuring were spent (--time)")


def _timings(
    plan: SweepPlan, rows: Sequence[Record], against: Variant, width: int,
    starting: Callable[[Record], None], clock: Callable[[], float],
) -> Iterator[Timing]:  # fmt: skip
    """What to measure, until the plan's time is spent: each row with its share of the time left, `width` at once."""
    end = clock() + plan.seconds
    for begun, row in enumerate(rows):
        left = end - clock()
        if left <= 0 and begun:
            return
        share = max(left, 0) * min(1, width / (len(rows) - begun))
        starting(row)
        yield Timing(variant_of(row), against, share, plan.measured_batch, max(left, 0.0))


def reference(plan: SweepPlan, rows: Sequence[Record], chosen: Sequence[Record]) -> Variant:
    """What times are compared with."""
    if (rows and rows[0].error is None) or not chosen:
        return plan.baseline
    return variant_of(chosen[0])


def already_measured(
    plan: SweepPlan, chosen: Sequence[Record], store: Store, executor: Executor, batch: int | None
) -> dict[str, Measurement]:
    """Measurements of earlier runs by name that `measure` would make again: same protocol, batch, baseline, and one of
    the executor's devices.
    """
    from analyzer.measuring.measure import SWEEP, default_batch
    from analyzer.measuring.protocol import described

    against = reference(plan, store.records(), chosen).name
    names = {row.target.name for row in chosen}
    made_before: dict[str, Measurement] = {}
    for device in dict.fromkeys(executor.devices()):
        setting = Setting(described(SWEEP), device.name, batch or default_batch(device.type), against)
        made_before |= {name: made for name, made in store.measured(setting).items() if name in names}
    return made_before


def rows_of(plan: SweepPlan, store: Store) -> list[Record]:
    """This run's rows: the baseline, then the plan's order, whichever came first; measured ones of unlike devices by
    device, as their times don't compare.
    """
    order = {name: i for i, name in enumerate([*(b.name for b in plan.bad), *(target(v).name for v in plan.variants)])}
    order[target(plan.baseline).name] = -1
    devices = {name: i for i, name in enumerate(devices_of(store.records()))}

    def key(row: Record) -> tuple[int, int]:
        place = order.get(row.target.name, len(order))
        device = devices[row.measured.environment.device_name] if row.measured and place >= 0 else -1
        return device if len(devices) > 1 else -1, place

    return sorted(store.records(), key=key)


def _measured(row: Record, store: Store, measurement: Measurement, host: str | None = None) -> Record:
    done = msgspec.structs.replace(row, measured=measurement)
    store.put([done], host=host)
    return done


def _noted(row: Record, store: Store, note: str, host: str | None = None) -> Record:
    noted = row.remarked(Remark(kind="not-measured", text=note))
    store.put([noted], host=host)
    return noted
