"""One variant's time against another's, as runs ask an executor for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from analyzer.architecture.variant import Variant
from analyzer.measurements import Measurement


@dataclass(frozen=True)
class Timing:
    """A row to measure: a variant against a baseline, within about `seconds`; a batch of None is the device's usual.

    `limit_s` is all the time that there is (None: `seconds`): after it the row is without times.
    """

    variant: Variant
    baseline: Variant
    seconds: float
    batch: int | None = None
    limit_s: float | None = None


MeasureOne = Callable[[Timing, str], Measurement]
"""Measures on a device; importable, as it may run on another machine."""


def measure_timing(timing: Timing, device: str) -> Measurement:
    """Measures here. Raises MeasureError where it can't be."""
    from analyzer.measuring.measure import measure_variant

    return measure_variant(
        timing.variant, timing.baseline, device=device, batch=timing.batch, seconds=timing.seconds,
        limit_s=timing.limit_s,
    )  # fmt: skip
