"""Calibrates a device: times small variants of every kind there, and fits the coefficients that predict the others."""

from __future__ import annotations

import random
import re
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from analyzer.architecture.facts import Op
from analyzer.architecture.net import Net
from analyzer.architecture.network import trace
from analyzer.architecture.variant import Variant
from analyzer.errors import MeasureError
from analyzer.measurements import Conditions, Environment
from analyzer.measuring.environment import environment, pick_device
from analyzer.measuring.exclusive import device_clock
from analyzer.measuring.fitting import band, fit, left_out, mean_error, median_error, spearman
from analyzer.measuring.job import Operator, OperatorSurvey, Survey, Times
from analyzer.measuring.measure import require_dtypes, subject_of
from analyzer.measuring.protocol import ask
from analyzer.reading.exact import total
from analyzer.reading.latency import Coefficients, Profile, Sample, Settings
from analyzer.reading.work import (
    CONVOLUTIONS,
    KINDS,
    OperatorWork,
    kinds_of,
    operators,
    parts,
    seconds_of,
    times_of,
    work,
)

if TYPE_CHECKING:
    import numpy as np
else:
    from analyzer.later import np

BATCH, CUDA_BATCH = 8, 256
"""On a GPU so many that it isn't the starts of kernels that are timed: at 8 they were 95 % of an H100's times."""
PROCESSES, ROUNDS = 5, 4
SECONDS = {False: 55, True: 35}
"""No third process or later one begins that would end after these, without and with a table of operators to follow: so
all is done in 90 s."""
VARIANTS, MOST_MACS, SEED = 36, 400_000_000, 0
"""How many variants, none of more MACs an image."""

POOLED = ("macs", "uneven", "moved", "made", "compared", "calls")
"""The parts of work that a calibration tells apart, of all kinds together (weights are moved): it has few samples."""
Six = tuple[float, ...]
"""Seconds a unit of each of these."""

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
    batch: int | None = None,
    conditions: Conditions | None = None,
    processes: int = PROCESSES,
    per_operator: bool = False,
    say: Callable[[str], None] = lambda _: None,
    worker: Ask = ask,
    clock: Callable[[], float] = device_clock,
) -> Profile:
    """Measures and fits; `per_operator` measures a table of operators too. `batch` is BATCH, on a GPU CUDA_BATCH.

    Raises MeasureError where the variants don't run, UsageError where the device isn't there.
    """
    conditions = conditions or Conditions()
    where = pick_device(device)
    require_dtypes(str(where), conditions)
    variants = calibration_variants()
    if batch is None:
        batch = CUDA_BATCH if where.type == "cuda" else BATCH
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


def features(variant: Variant, batch: int) -> list[float]:
    """The work of a forward, pooled."""
    return pooled(work(trace(variant)).items(), batch)


def pooled(done: Iterable[tuple[str, float]], batch: int) -> list[float]:
    """Work by kind and part as that of all kinds together, in POOLED's order."""
    sums = dict.fromkeys(POOLED, 0.0)
    for name, amount in done:
        part = name.rpartition(" ")[2].replace("weights", "moved")
        if part in sums:
            sums[part] += float(amount) * times_of(name, batch)
    return list(sums.values())


def spread(six: Sequence[float], kind: str) -> Coefficients:
    """Pooled coefficients as those of one kind."""
    each = dict(zip(POOLED, six, strict=True))
    each["weights"] = each["moved"]
    if kind not in CONVOLUTIONS:
        del each["uneven"]
    return {f"{kind} {part}": float(value) for part, value in each.items() if value}


def _fitted(
    variants: list[Variant], seconds: list[float], survey: Survey, place: Environment, table: dict[str, Six] | None
) -> Profile:  # fmt: skip
    """The profile of variants' least times, by the `table` of operators where there is one."""
    batch, y = survey.batch, np.array(seconds)
    if table is None:
        rows = [features(variant, batch) for variant in variants]
        found = fit(rows, seconds).tolist()
        six = dict.fromkeys(KINDS, found)
    else:
        rows = [tabled(trace(variant), batch, table) for variant in variants]
        convolutions, others, per_call = fit(rows, seconds).tolist()
        six = {kind: _scaled(table, kind, convolutions, others, per_call) for kind in KINDS}
    alone = left_out(rows, seconds)
    times = sorted(second / batch for second in seconds)
    coefficients = {name: value for kind in KINDS for name, value in spread(six[kind], kind).items()}
    return Profile(
        name=re.sub(r"[^a-z0-9]+", "-", place.device_name.lower()).strip("-"), device_name=place.device_name,
        settings=_settings(survey, place), environment=place, batch=batch, batches=(batch, batch),
        coefficients=coefficients, starts=_starts(variants, seconds, batch, coefficients),
        bands={"plain": band(alone, y)}, mean_error=mean_error(alone, y), median_error=median_error(alone, y),
        spearman=spearman(alone, y), rows=len(variants), families=len({v.block for v in variants}),
        image_s=(times[0], times[-1]), kinds=tuple(dict.fromkeys(_kinds(variants))),
        samples=tuple(
            Sample(variant=v, measured_s=s, left_out_s=float(p))
            for v, s, p in zip(variants, seconds, alone, strict=True)
        ),
        time=datetime.now(UTC).isoformat(timespec="seconds"),
    )  # fmt: skip


def _starts(variants: list[Variant], seconds: list[float], batch: int, coefficients: Coefficients) -> float:
    """Which part of the variants' time the starts of kernels are, in the median."""
    calls = {name: value for name, value in coefficients.items() if name.endswith(" calls")}
    each = zip(variants, seconds, strict=True)
    return min(1.0, statistics.median(seconds_of(work(trace(v)), batch, calls) / second for v, second in each))


def _settings(survey: Survey, place: Environment) -> Settings:
    conditions = survey.conditions
    return Settings(
        precision=conditions.dtype, channels_last=conditions.channels_last, compiled=conditions.compile,
        torch=place.torch, cuda=place.cuda,
    )  # fmt: skip


def _kinds(variants: Iterable[Variant]) -> Iterator[str]:
    for variant in variants:
        yield from (name.rpartition(" ")[0] for name in work(trace(variant)))


def _scaled(table: dict[str, Six], kind: str, convolutions: float, others: float, per_call: float) -> list[float]:
    scale = convolutions if kind in CONVOLUTIONS else others
    usual = "larger convolution" if kind in CONVOLUTIONS else "elementwise"
    *parts_, calls = (value * scale for value in table.get(kind) or table[usual])
    return [*parts_, calls + per_call]


def tabled(net: Net, batch: int, table: dict[str, Six]) -> list[float]:
    """The operators' own times by a table (kind -> its coefficients): of convolutions, of all others; their number."""
    sums, calls = [0.0, 0.0], 0
    for op, operator in operators(net):
        ((kind, _),) = kinds_of(op)
        side = 0 if kind in CONVOLUTIONS else 1
        six = table.get(kind) or table["elementwise"]
        sums[side] += sum(c * part for c, part in zip(six, pooled_operator(operator, batch), strict=True))
        calls += 1
    return [*sums, calls]


def pooled_operator(operator: OperatorWork, batch: int) -> list[float]:
    """The work of one operator."""
    return pooled(((f"one {part}", amount.each * amount.area) for part, amount in parts(operator)), batch)


def operator_table(variants: list[Variant], survey: Survey, say: Callable[[str], None], worker: Ask) -> dict[str, Six]:
    """Kind of operator -> its coefficients, fitted to the operators of the variants, timed one by one."""
    works: dict[Operator, tuple[str, list[float]]] = {}
    for variant in variants:
        for op, operator in operators(trace(variant)):
            ((kind, _),) = kinds_of(op)
            works.setdefault(runnable(op), (kind, pooled_operator(operator, survey.batch)))
    say(f"{len(works)} operators, one by one")
    one_by_one = OperatorSurvey(
        operators=tuple(works), device=survey.device, batch=survey.batch, conditions=survey.conditions
    )
    times = _times(one_by_one, worker)
    seconds = [min(each) for each in times.seconds]
    table: dict[str, Six] = {}
    for name in dict.fromkeys(kind_ for kind_, _ in works.values()):
        rows = [(row, s) for (kind_, row), s in zip(works.values(), seconds, strict=True) if kind_ == name]
        table[name] = tuple(fit([row for row, _ in rows], [s for _, s in rows]).tolist())
    table.setdefault("elementwise", table["activation"])
    return table


def runnable(op: Op) -> Operator:
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
