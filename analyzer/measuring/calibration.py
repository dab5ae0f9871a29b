"""Calibrates a device: times small variants of every kind there, and fits the coefficients that predict the others."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import msgspec
import numpy as np

from analyzer.architecture.facts import Op
from analyzer.architecture.network import trace
from analyzer.architecture.variant import Variant
from analyzer.errors import MeasureError
from analyzer.measurements import Conditions, Environment
from analyzer.measuring.environment import environment, pick_device
from analyzer.measuring.exclusive import device_clock
from analyzer.measuring.job import Operator, OperatorSurvey, Survey, Times
from analyzer.measuring.measure import require_dtypes, subject_of
from analyzer.measuring.protocol import ask
from analyzer.reading.exact import total
from analyzer.reading.latency import (
    Coefficients,
    Profile,
    Sample,
    features,
    fit,
    left_out,
    mean_error,
    spearman,
    tabled,
)
from analyzer.reading.work import operators

BATCH = 8
PROCESSES, ROUNDS = 5, 4
SECONDS = {False: 55, True: 35}
"""No third process or later one begins that would end after these, without and with a table of operators to follow: so
all is done in 90 s."""
VARIANTS, MOST_MACS, SEED = 36, 400_000_000, 0
"""How many variants, none of more MACs an image."""

Ask = Callable[[Survey | OperatorSurvey], tuple[int, str]]
"""Has a survey done in a process of its own: its exit code and answer."""


def calibration_variants() -> list[Variant]:
    """Both families, narrow and wide, shallow and deep, at 96 to 128 px, drawn once for all: what is fitted to."""
    draw = random.Random(SEED)
    drawn: list[Variant] = []
    while len(drawn) < VARIANTS:
        block = ("dense", "residual")[len(drawn) % 2]
        doubles = block == "residual" and draw.random() < 0.4
        variant = Variant(
            block=block,
            block_config=tuple(draw.randint(1, 8 if block == "dense" else 3) for _ in range(draw.randint(1, 4))),
            growth="double" if doubles else draw.choice([12, 16, 24, 32, 40, 48, 64]),
            init=draw.choice([16, 24, 32, 48, 64, 96]),
            compression=draw.choice([0.25, 0.5, 1.0]),
            classes=100,
            image=draw.choice([96, 112, 128]),
        )
        if variant not in drawn and total(trace(variant)).macs <= MOST_MACS:
            drawn.append(variant)
    return drawn


def calibrate(
    device: str = "auto",
    *,
    batch: int = BATCH,
    conditions: Conditions | None = None,
    processes: int = PROCESSES,
    per_operator: bool = False,
    say: Callable[[str], None] = lambda _: None,
    worker: Ask = ask,
    clock: Callable[[], float] = device_clock,
) -> Profile:
    """Measures and fits; `per_operator` measures a table of operators too.

    Raises MeasureError where the variants don't run, UsageError where the device isn't there.
    """
    conditions = conditions or Conditions()
    where = pick_device(device)
    require_dtypes(str(where), conditions)
    variants = calibration_variants()
    survey = Survey(
        subjects=tuple(subject_of(variant) for variant in variants), device=str(where), batch=batch,
        conditions=conditions, rounds=ROUNDS,
    )  # fmt: skip
    answers: list[Times] = []
    begin = clock()
    for i in range(processes):
        if i >= 2 and (clock() - begin) * (i + 1) / i > SECONDS[per_operator]:
            break  # on a busy machine fewer
        say(f"process {i + 1} of at most {processes}: {len(variants)} variants, {ROUNDS} times each")
        answers.append(_times(survey, worker))
    # What disturbs a time only adds to it: on a busy machine medians differ by tens of per cent, the least by one.
    seconds = [min(second for times in answers for second in times.seconds[i]) for i in range(len(variants))]
    place = msgspec.structs.replace(environment(where), threads=answers[0].threads, dtype=conditions.dtype)
    table = operator_table(variants, survey, say, worker) if per_operator else None
    return _fitted(variants, seconds, survey, place, table)


def _fitted(
    variants: list[Variant], seconds: list[float], survey: Survey, place: Environment,
    table: dict[str, Coefficients] | None,
) -> Profile:  # fmt: skip
    """The profile of variants' least times, by the `table` of operators where there is one."""
    if table is None:
        rows = [features(variant, survey.batch) for variant in variants]
        coefficients, scales, per_call = _six(fit(rows, seconds)), (1.0, 1.0), 0.0
    else:
        rows = [[float(part) for part in tabled(trace(variant), survey.batch, table)] for variant in variants]
        *scaled, per_call = fit(rows, seconds).tolist()
        scales = tuple(scaled)
        coefficients = _six([0.0] * 6)
    alone = left_out(rows, seconds)
    return Profile(
        environment=place, batch=survey.batch, dtype=survey.conditions.dtype,
        coefficients=coefficients, operators=table, scales=scales, per_call=per_call,
        mean_error=mean_error(alone, seconds), spearman=spearman(alone, np.array(seconds)),
        samples=tuple(
            Sample(variant=v, measured_s=s, left_out_s=float(p))
            for v, s, p in zip(variants, seconds, alone, strict=True)
        ),
        time=datetime.now(UTC).isoformat(timespec="seconds"),
    )  # fmt: skip


def operator_table(
    variants: list[Variant], survey: Survey, say: Callable[[str], None], worker: Ask
) -> dict[str, Coefficients]:
    """Kind of operator -> its coefficients (see Profile), fitted to the operators of the variants."""
    works: dict[Operator, tuple[str, list[float]]] = {}
    for variant in variants:
        for op, each in operators(trace(variant), survey.batch):
            works.setdefault(operator_of(op), (op.kind, [float(part) for part in each]))
    say(f"{len(works)} operators, one by one")
    one_by_one = OperatorSurvey(
        operators=tuple(works), device=survey.device, batch=survey.batch, conditions=survey.conditions
    )
    times = _times(one_by_one, worker)
    seconds = [min(each) for each in times.seconds]
    table: dict[str, Coefficients] = {}
    for name in dict.fromkeys(kind_ for kind_, _ in works.values()):
        rows = [(row, s) for (kind_, row), s in zip(works.values(), seconds, strict=True) if kind_ == name]
        table[name] = _six(fit([row for row, _ in rows], [s for _, s in rows]))
    table.setdefault("elementwise", table["relu"])
    table.setdefault("grouped convolution", table["larger convolution"])
    return table


def _six(values: Iterable[float]) -> Coefficients:
    macs, uneven, moved, made, compared, calls = map(float, values)
    return macs, uneven, moved, made, compared, calls


def operator_of(op: Op) -> Operator:
    """An op of a variant's trace as what a worker can run by itself."""
    call = op.module if op.name else op.function
    assert call is not None
    return Operator(
        is_module=bool(op.name), name=call.name, arguments=call.arguments, options=tuple(call.options.items()),
        inputs=tuple(x.shape(1)[1:] for x in op.inputs),
    )  # fmt: skip


def _times(survey: Survey | OperatorSurvey, worker: Ask) -> Times:
    _, answer = worker(survey)
    try:
        times = msgspec.json.decode(answer, type=Times)
    except msgspec.MsgspecError:
        raise MeasureError(answer, where="calibrate", fix="see that torch runs here") from None
    if times.error is not None:
        raise MeasureError(
            times.error, where="calibrate", fix="see that torch runs on this device, or a smaller --batch"
        )
    return times
