"""Calibrates a device: times small variants of every kind there, and fits the coefficients that predict the others."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
import numpy as np

from analyzer.architecture.variant import Variant
from analyzer.errors import MeasureError
from analyzer.latency import Profile, Sample, features, fit, left_out, mean_error, spearman
from analyzer.measure.environment import environment, pick_device
from analyzer.measure.job import Survey, Times
from analyzer.measure.measure import require_dtype, subject_of
from analyzer.measure.protocol import ask
from analyzer.records import Conditions

BATCH = 8
PROCESSES, ROUNDS = 3, 4


def calibration_variants() -> list[Variant]:
    """Both families, narrow and wide, shallow and deep, at 96 and 128 px: what the coefficients are fitted to."""
    made = []
    for image in (96, 128):
        for config, growth, init in (
            ((2, 4, 3), 16, 32), ((3, 6), 32, 64), ((4, 8, 6, 4), 12, 24), ((6, 12, 8), 16, 32), ((2, 2, 2, 2), 48, 96),
        ):  # fmt: skip
            made.append(Variant(block="dense", block_config=config, growth=growth, init=init, classes=100, image=image))
        for config, growth, init in (
            ((2, 2), "double", 24), ((1, 2, 2), "double", 16), ((4, 4), 64, 32), ((2, 4, 3, 2), 48, 64),
        ):  # fmt: skip
            made.append(Variant(block_config=config, growth=growth, init=init, classes=100, image=image))  # type: ignore[arg-type]
    return made


def calibrate(
    device: str = "auto",
    *,
    batch: int = BATCH,
    conditions: Conditions | None = None,
    processes: int = PROCESSES,
    say: Callable[[str], None] = lambda _: None,
) -> Profile:
    """Measures and fits. Raises MeasureError where the variants don't run, UsageError where the device isn't there."""
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
    rows = [features(variant, batch) for variant in variants]
    per_mac, per_byte, per_operator = fit(rows, seconds).tolist()
    alone = left_out(rows, seconds)
    return Profile(
        environment=place,
        batch=batch,
        dtype=conditions.dtype,
        s_per_mac=per_mac,
        s_per_byte=per_byte,
        s_per_operator=per_operator,
        mean_error=mean_error(alone, seconds),
        spearman=spearman(alone, np.array(seconds)),
        samples=tuple(
            Sample(variant=v.to_dict(), measured_s=s, left_out_s=float(p))
            for v, s, p in zip(variants, seconds, alone, strict=True)
        ),
        time=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _times(survey: Survey) -> Times:
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
