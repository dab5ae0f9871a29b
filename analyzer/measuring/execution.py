"""A measurement or calibration from its plan to its rows: what the command and Python both conduct."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from analyzer.architecture.network import densenet121_like
from analyzer.errors import MeasureError
from analyzer.files import require_writable
from analyzer.measurements import Conditions
from analyzer.measuring.calibration import calibrate
from analyzer.measuring.environment import environment, pick_device
from analyzer.measuring.job import Answer, Job, Subject
from analyzer.measuring.measure import (
    SINGLES,
    MemoryMeasurement,
    choose_batch,
    default_batch,
    measure_all,
    measure_memory,
    record_of,
    require_dtypes,
    subject_of,
)
from analyzer.measuring.protocol import Protocol, in_a_process
from analyzer.reading.latency import Profile
from analyzer.reading.profiles import file_of, write_profile
from analyzer.records import Record
from analyzer.shown import silent
from analyzer.targets.resolving import FamilyTarget, Resolved, resolve
from analyzer.units import parse_batch


@dataclass(frozen=True)
class MeasureWatch:
    """Is told how measuring goes on; what is not given is kept quiet.

    `say` gets sentences, `doing` a model's name and how many processes it has whenever another begins, `keep` each
    model's row and `keep_memory` each model's memory as soon as it is made, `failed` why a model's memory can't be
    read.
    """

    say: Callable[[str], None] = silent
    doing: Callable[[str, int], None] = silent
    keep: Callable[[Record], None] = silent
    keep_memory: Callable[[MemoryMeasurement], None] = silent
    failed: Callable[[MeasureError], None] = silent


@dataclass(frozen=True)
class MeasurePlan:
    """What is measured: models against a baseline, at a batch (None: the device's usual), by a protocol, into `out`."""

    subjects: tuple[Subject, ...]
    baseline: Subject
    device: str
    batch: int | None
    conditions: Conditions
    protocol: Protocol
    out: Path | None = None


def plan(
    targets: Sequence[Resolved],
    *,
    against: Resolved | None = None,
    device: str = "auto",
    batch: int | str | None = None,
    conditions: Conditions | None = None,
    protocol: Protocol | None = None,
    say: Callable[[str], None] = lambda _: None,
    out: Path | None = None,
) -> MeasurePlan:
    """A plan for these models; with a `batch` of "auto" every model is tried first, to find the best.

    The baseline is `against`, by default DenseNet121 at the first variant's classes and image. A `batch` of None is
    that of a model's own input, where one has it. In training nothing is timed at batch 1. Raises UsageError where the
    device isn't there or can't do the dtype, or `out` can't be written.
    """
    if out is not None:
        require_writable(out)
    conditions, protocol = conditions or Conditions(), protocol or Protocol(singles=SINGLES)
    subjects = tuple(subject_of(target) for target in targets)
    baseline = _baseline(targets) if against is None else subject_of(against)
    require_dtypes(str(pick_device(device)), conditions)
    if conditions.mode == "training":
        protocol = replace(protocol, singles=0)
    return MeasurePlan(
        subjects, baseline, device, _batch(batch, subjects, device, conditions, say), conditions, protocol, out
    )


def _baseline(targets: Sequence[Resolved]) -> Subject:
    first = next((target for target in targets if isinstance(target, FamilyTarget)), None)
    return subject_of(resolve("densenet121") if first is None else densenet121_like(first.variant))


def _batch(
    asked: int | str | None, subjects: Sequence[Subject], device: str, conditions: Conditions,
    say: Callable[[str], None],
) -> int | None:  # fmt: skip
    if asked == "auto":
        return choose_batch(subjects, device, conditions, say)
    if asked is None:
        return next((s.inputs[0].shape[0] for s in subjects if s.inputs), None)
    return parse_batch(asked, where="--batch")


@dataclass(frozen=True)
class MeasureResult:
    """The rows that were made, in the order in which they were; Ctrl-C keeps those that are finished."""

    records: tuple[Record, ...]
    interrupted: bool


def execute(plan: MeasurePlan, watch: MeasureWatch) -> MeasureResult:
    """Measures, each row kept as soon as it is made."""
    rows: list[Record] = []
    begun: Counter[str] = Counter()

    def worker(job: Job) -> Answer:
        watch.doing(job.model.name, begun[job.model.name])
        begun[job.model.name] += 1
        return in_a_process(job)

    try:
        for name, made in measure_all(
            plan.subjects, plan.baseline, device=plan.device, batch=plan.batch, conditions=plan.conditions,
            protocol=plan.protocol, worker=worker,
        ):  # fmt: skip
            rows.append(record_of(name, made, plan.subjects))
            watch.keep(rows[-1])
            watch.say(f"{name}: {'failed' if rows[-1].error else 'done'} ({len(rows)} of {len(plan.subjects)})")
    except KeyboardInterrupt:
        return MeasureResult(tuple(rows), True)
    return MeasureResult(tuple(rows), False)


def execute_memory(plan: MeasurePlan, watch: MeasureWatch) -> list[MemoryMeasurement]:
    """Reads the allocator in place of times; a model whose memory can't be read is told and left out."""
    batch = plan.batch or default_batch(pick_device(plan.device).type)
    rows = []
    for subject in plan.subjects:
        try:
            rows.append(measure_memory(subject, batch=batch, device=plan.device, conditions=plan.conditions))
        except MeasureError as error:
            watch.failed(error)
        else:
            watch.keep_memory(rows[-1])
    return rows


@dataclass(frozen=True)
class CalibrationPlan:
    """What is calibrated: a device at a batch, with a table of operators where `per_operator`; `out` is the profile's
    file (None: none), `name` what it is called (None: by its device). A `batch` of None is
    the device's usual.

    Raises UsageError where that can't be written.
    """

    device: str = "auto"
    batch: int | None = None
    conditions: Conditions = field(default_factory=Conditions)
    per_operator: bool = False
    out: Path | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        if self.batch is not None:
            parse_batch(self.batch, where="--batch")
        if self.name is not None:
            file_of(self.name, Path())
        if self.out is not None:
            require_writable(self.out)


def execute_calibration(plan: CalibrationPlan, watch: MeasureWatch) -> Profile:
    """Measures the device, fits its profile and keeps it. Raises MeasureError where nothing runs."""
    profile = calibrate(
        plan.device, batch=plan.batch, conditions=plan.conditions, per_operator=plan.per_operator, say=watch.say
    )
    if plan.name is not None:
        profile = msgspec.structs.replace(profile, name=plan.name)
    if plan.out is not None:
        write_profile(profile, plan.out)
    return profile


def word_of(device: str) -> str:
    """A device's name as a word for files. Raises UsageError where it isn't there."""
    return re.sub(r"[^a-z0-9]+", "-", environment(pick_device(device)).device_name.lower()).strip("-")
