"""What raw times say, and how far to trust it: medians over processes with their interval, and caveats."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from analyzer.measurements import Caveat

if TYPE_CHECKING:
    import numpy as np
else:
    from analyzer.later import np

MIN_PROCESSES = 8
"""Processes under which no 95 % interval is claimed."""
RESAMPLES = 2000
WIDENING = 4
"""Resamples are drawn from deviations widened by sqrt((n + 4) / (n - 1)): so the interval covers the truth in 93 to
97 % of series of 8 to 24 processes, stopped early or not (simulated; the plain bootstrap of a median in 89 to 94 %)."""


def process_ratios(times: Sequence[float], base: Sequence[float], pairs: int) -> list[float]:
    """Each process's ratio: the median of its pairs' own."""
    ratios = [a / b for a, b in zip(times, base, strict=True)]
    return [statistics.median(ratios[i : i + pairs]) for i in range(0, len(ratios), pairs)]


def bootstrap_interval(values: Sequence[float], *, seed: int = 0, resamples: int = RESAMPLES) -> tuple[float, float]:
    """The 95 % bootstrap interval of the median of independent values."""
    data = np.asarray(values, np.float64)
    n, middle = len(data), float(np.median(data))
    if n < 2:
        return middle, middle
    widened = middle + (data - middle) * np.sqrt((n + WIDENING) / (n - 1))
    drawn = np.random.default_rng(seed).integers(0, n, (resamples, n))
    low, high = np.quantile(np.median(widened[drawn], axis=1), [0.025, 0.975])
    return float(low), float(high)


def interval_of(ratios: Sequence[float]) -> tuple[str, float, float]:
    """Its kind, and its ends: a 95 % interval of enough processes, else the range."""
    if len(ratios) < MIN_PROCESSES:
        return "range", min(ratios), max(ratios)
    return ("bootstrap95", *bootstrap_interval(ratios))


class Stopper:
    """Says when enough processes have run: the half-width under `target` twice in a row, or `most`."""

    def __init__(self, target: float = 0.03, least: int = MIN_PROCESSES, most: int = 24) -> None:
        self.target, self.least, self.most = target, least, most
        self._streak = 0

    def enough(self, ratios: Sequence[float]) -> bool:
        """To be asked once a process, with all ratios so far."""
        if len(ratios) >= self.most:
            return True
        if len(ratios) < self.least:
            return False
        low, high = bootstrap_interval(ratios)
        narrow = (high - low) / 2 < self.target * statistics.median(ratios)
        self._streak = self._streak + 1 if narrow else 0
        return self._streak >= 2


def autocorrelation(values: Sequence[float]) -> float:
    """Of neighbours, at lag 1; 0 for a constant series."""
    data = np.asarray(values, np.float64)
    data = data - data.mean()
    spread = float(data @ data)
    return float(data[:-1] @ data[1:]) / spread if len(data) > 2 and spread else 0.0


def caveats_of(
    ratios: Sequence[float],
    *,
    first: Sequence[float] = (),
    later: Sequence[float] = (),
    load_percent: float | None = None,
    target: float = 0.03,
) -> list[Caveat]:
    """What the series themselves show. `first` are the first times of processes, `later` the steady ones."""
    return [
        *_about_interval(ratios, target),
        *_about_processes(ratios),
        *_about_first(first, later),
        *_about_load(load_percent),
    ]


def _about_interval(ratios: Sequence[float], target: float) -> Iterator[Caveat]:
    kind, low, high = interval_of(ratios)
    middle = statistics.median(ratios)
    if kind == "range":
        yield Caveat(
            kind="few-processes",
            what=f"{len(ratios)} processes: their range is given, no 95 % interval",
            fix=f"give more time, enough for {MIN_PROCESSES} processes",
        )
    elif (high - low) / 2 > target * middle:
        yield Caveat(
            kind="wide",
            what=f"the interval is {100 * (high - low) / middle:.1f} % of the ratio wide",
            fix="give more time, or an idle machine; rank nothing closer than that",
        )


def _about_processes(ratios: Sequence[float]) -> Iterator[Caveat]:
    variation = statistics.stdev(ratios) / statistics.median(ratios) if len(ratios) > 1 else 0.0
    if variation > 0.1:
        yield Caveat(
            kind="noisy",
            what=f"processes differ by {100 * variation:.0f} % (standard deviation)",
            fix="close other programs, pin the threads (--threads), measure again",
        )
    if len(ratios) >= MIN_PROCESSES and (r := autocorrelation(ratios)) > 0.5:
        yield Caveat(
            kind="autocorrelation",
            what=f"one process's ratio resembles the one before it ({r:.2f}): the machine drifts",
            fix="measure longer; the interval is too narrow",
        )


def _about_first(first: Sequence[float], later: Sequence[float]) -> Iterator[Caveat]:
    if first and later and (slow := statistics.median(first) / statistics.median(later)) > 1.5:
        yield Caveat(
            kind="first-run",
            what=f"first forwards took {slow:.1f} times as long as later ones (left out)",
            fix="count the first one too where your program runs a model once",
        )


def _about_load(load_percent: float | None) -> Iterator[Caveat]:
    if load_percent is not None and load_percent > 30:
        yield Caveat(
            kind="load",
            what=f"other programs used {load_percent:.0f} % of the CPU",
            fix="measure on an idle machine",
        )


def percentiles(times: Sequence[float]) -> tuple[float, float, float]:
    """p50, p90, p99 of raw times."""
    p50, p90, p99 = np.quantile(np.asarray(times, np.float64), [0.5, 0.9, 0.99])
    return float(p50), float(p90), float(p99)
