"""Calibrates a device: times small variants of every kind there, and fits the coefficients that predict the others."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np

from analyzer.architecture import ops
from analyzer.architecture.network import trace
from analyzer.architecture.variant import Variant
from analyzer.count.work import kind, operators
from analyzer.errors import MeasureError
from analyzer.latency import Profile, Sample, features, fit, left_out, mean_error, spearman, tabled
from analyzer.measure.environment import environment, pick_device
from analyzer.measure.job import Operator, OperatorSurvey, Survey, Times
from analyzer.measure.measure import require_dtype, subject_of
from analyzer.measure.protocol import ask
from analyzer.records import Conditions

BATCH = 8
PROCESSES, ROUNDS = 4, 5


def calibration_variants() -> list[Variant]:
    """Both families, narrow and wide, shallow and deep, at 96 and 128 px: what the coefficients are fitted to."""
    dense: list[tuple[tuple[int, ...], int, int]] = [
        ((2, 4, 3), 16, 32), ((3, 6), 32, 64), ((4, 8, 6, 4), 12, 24), ((6, 12, 8), 16, 32), ((2, 2, 2, 2), 48, 96),
    ]  # fmt: skip
    residual: list[tuple[tuple[int, ...], Any, int]] = [
        ((2, 2), "double", 24), ((1, 2, 2), "double", 16), ((4, 4), 64, 32), ((2, 4, 3, 2), 48, 64),
    ]  # fmt: skip
    return [
        Variant(block=block, block_config=config, growth=growth, init=init, classes=100, image=image)
        for image in (96, 128)
        for block, shapes in (("dense", dense), ("residual", residual))
        for config, growth, init in shapes
    ]


def calibrate(
    device: str = "auto",
    *,
    batch: int = BATCH,
    conditions: Conditions | None = None,
    processes: int = PROCESSES,
    per_operator: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Profile:
    """Measures and fits; `per_operator` measures a table of operators too. Raises MeasureError where the variants don't run, UsageError where the device isn't there."""
    conditions = conditions or Conditions()
    where = pick_device(device)
    require_dtype(str(where), conditions.dtype)
    variants = calibration_variants()
    survey = Survey(
        subjects=tuple(subject_of(variant) for variant in variants), device=str(where), batch=batch,
        conditions=conditions, rounds=ROUNDS,
    )  # fmt: skip
    found = []
    for i in range(processes):
        say(f"process {i + 1} of {processes}: {len(variants)} variants, {ROUNDS} times each")
        found.append(_times(survey))
    seconds = [statistics.median([statistics.median(t.seconds[i]) for t in found]) for i in range(len(variants))]
    place = msgspec.structs.replace(environment(where), threads=found[0].threads, dtype=conditions.dtype)
    table = operator_table(variants, str(where), batch, conditions, say) if per_operator else None
    if table is None:
        rows = [features(variant, batch) for variant in variants]
        coefficients, scales, per_call = tuple(fit(rows, seconds).tolist()), (1.0, 1.0), 0.0
    else:
        rows = [[float(part) for part in tabled(trace(variant), batch, table)] for variant in variants]
        *scaled, per_call = fit(rows, seconds).tolist()
        scales = tuple(scaled)
        coefficients = (0.0, 0.0, 0.0, 0.0)
    alone = left_out(rows, seconds)
    return Profile(
        environment=place,
        batch=batch,
        dtype=conditions.dtype,
        coefficients=coefficients,
        operators=table,
        scales=scales,
        per_call=per_call,
        mean_error=mean_error(alone, seconds),
        spearman=spearman(alone, np.array(seconds)),
        samples=tuple(
            Sample(variant=v.to_dict(), measured_s=s, left_out_s=float(p))
            for v, s, p in zip(variants, seconds, alone, strict=True)
        ),
        time=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def operator_table(
    variants: list[Variant], device: str, batch: int, conditions: Conditions, say: Callable[[str], None]
) -> dict[str, tuple[float, float, float, float]]:
    """Kind of operator -> its coefficients (see Profile), fitted to the operators of the variants."""
    found: dict[Operator, tuple[str, list[float]]] = {}
    for variant in variants:
        for op, each in operators(trace(variant), batch):
            if (asked := operator_of(op)) is not None:
                found.setdefault(asked, (kind(op), [float(part) for part in each]))
    say(f"{len(found)} operators, one by one")
    times = _times(OperatorSurvey(operators=tuple(found), device=device, batch=batch, conditions=conditions))
    seconds = [statistics.median(t) for t in times.seconds]
    table: dict[str, Any] = {}
    for name in dict.fromkeys(kind_ for kind_, _ in found.values()):
        rows = [(row, s) for (kind_, row), s in zip(found.values(), seconds, strict=True) if kind_ == name]
        table[name] = tuple(fit([row for row, _ in rows], [s for _, s in rows]).tolist())
    table.setdefault("elementwise", table["relu"])
    table.setdefault("grouped convolution", table["larger convolution"])
    return table


def operator_of(op: ops.Op) -> Operator | None:
    """An op of a trace as what a worker can run by itself; None of those that no calibration variant has."""
    extra = {name: getattr(op, name) for name in ("kernel", "stride", "padding", "groups") if hasattr(op, name)}
    if type(op).__name__ not in ("Conv", "Norm", "ReLU", "MaxPool", "AvgPool", "GlobalPool", "Linear", "Concat", "Add"):
        return None
    return Operator(
        op=type(op).__name__, inputs=tuple(x.channels for x in op.inputs), channels=op.output.channels,
        size=op.x.size, **extra,
    )  # fmt: skip


def _times(survey: Survey | OperatorSurvey) -> Times:
    _, answer = ask(survey)
    try:
        times = msgspec.json.decode(answer, type=Times)
    except msgspec.MsgspecError:
        raise MeasureError(answer, where="calibrate", fix="see that torch runs here") from None
    if times.error is not None:
        raise MeasureError(
            times.error, where="calibrate", fix="see that torch runs on this device, or a smaller --batch"
        )
    return times
