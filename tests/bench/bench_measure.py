"""Whether the measuring protocol is honest: a model against itself, 20 times, and 1,000 synthetic series.

One JSON line a figure. Real processes: some minutes. Run it on an idle machine.
"""

from __future__ import annotations

import json

import numpy as np

from analyzer.architecture.variant import Variant
from analyzer.errors import MeasureError
from analyzer.measuring.measure import measure_all, subject_of
from analyzer.measuring.protocol import Protocol
from analyzer.measuring.statistics import Stopper, bootstrap_interval

RUNS, SERIES = 20, 1000
MODEL = Variant(block="dense", block_config=(2, 4), growth=16, init=32, image=96, classes=10)


def a_against_a() -> dict[str, object]:
    """In how many runs the interval of a model against itself contains 1; `intervals` says how many were of 95 %.

    The others had no time for 8 processes, and give their range.
    """
    subject = subject_of(MODEL)
    inside, intervals, ratios = 0, 0, []
    for _ in range(RUNS):
        ((_, made),) = measure_all([subject], subject, device="cpu", batch=4, protocol=Protocol(seconds=60))
        if isinstance(made, MeasureError):
            raise SystemExit(str(made))
        inside += made.ratio_low <= 1 <= made.ratio_high
        intervals += made.interval == "bootstrap95"
        ratios.append(made.ratio)
    return {"bench": "measure.a_against_a_contains_1", "value": inside, "unit": f"of {RUNS} runs",
            "intervals": intervals, "spread": [min(ratios), max(ratios)]}  # fmt: skip


def coverage() -> dict[str, object]:
    """In what share of synthetic series, stopped as the protocol stops, the interval covers the truth."""
    random = np.random.default_rng(11)
    covered = 0
    for i in range(SERIES):
        series = np.exp(random.normal(0, 0.05, 24) if i % 2 else 0.04 * random.standard_t(3, 24))
        stopper = Stopper()
        n = next(n for n in range(1, 25) if stopper.enough(list(series[:n])))
        low, high = bootstrap_interval(list(series[:n]), seed=i)
        covered += bool(low <= 1 <= high)
    return {"bench": "measure.interval_covers_the_truth", "value": 100 * covered / SERIES, "unit": "%", "spread": []}


if __name__ == "__main__":
    for figure in (coverage, a_against_a):
        print(json.dumps(figure()), flush=True)
