"""Fits of profiles: non-negative coefficients of least relative error, and what they say of what was left out."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from analyzer.reading.latency import SHARE, Band

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
else:
    from analyzer.later import np

Floats: TypeAlias = "npt.NDArray[np.float64]"
ROUNDS, LEAST = 6, 0.02
"""Rounds of reweighting, and the relative error below which all weigh alike: towards the least absolute error, so that
a few models that no factor explains don't bend the rest."""
GROUPS = 10
PULL = 0.1
"""How strongly alike factors are drawn together (of those tried, the one with the least left-out error)."""


def fit(rows: Sequence[Sequence[float]], seconds: Sequence[float]) -> Floats:
    """Non-negative coefficients with the least relative squared error: the best of all subsets of factors.

    For few factors. That of a factor which is 0 in every row is 0.
    """
    y = np.asarray(seconds, np.float64)
    a = np.asarray(rows, np.float64) / y[:, None]
    scale = np.abs(a).max(axis=0)
    there = np.flatnonzero(scale).tolist()
    best, least = np.zeros(a.shape[1]), np.inf
    for size in range(1, len(there) + 1):
        for chosen in itertools.combinations(there, size):
            part, *_ = np.linalg.lstsq(a[:, chosen] / scale[list(chosen)], np.ones(len(y)), rcond=None)
            error = float(((a[:, chosen] / scale[list(chosen)] @ part - 1) ** 2).sum())
            if (part >= 0).all() and error < least:
                least = error
                best = np.zeros(a.shape[1])
                best[list(chosen)] = part / scale[list(chosen)]
    return best


def fit_robust(
    rows: Floats, seconds: Floats, weights: Floats | None = None, alike: Sequence[tuple[int, int]] = ()
) -> Floats:
    """Non-negative coefficients with about the least relative error, for many factors; `weights` of 0 to 1 a row.

    `alike` are pairs of factors that are drawn to one coefficient: those that nearly always come together, so that the
    rows alone can't tell whose a time is.
    """
    from scipy.optimize import nnls

    a = rows / seconds[:, None]
    scale = a.max(axis=0)
    scale[scale == 0] = 1
    usual = np.sqrt((a**2).mean(axis=0))
    pulls = np.zeros((len(alike), a.shape[1]))
    for pull, (one, other) in zip(pulls, alike, strict=True):
        strength = np.sqrt(usual[one] * usual[other])
        pull[one], pull[other] = strength / scale[one], -strength / scale[other]
    a = a / scale
    given = np.ones(len(seconds)) if weights is None else weights
    each = given
    for _ in range(ROUNDS):
        whole = np.vstack([a * np.sqrt(each)[:, None], PULL * np.sqrt(each.sum()) * pulls])
        found, _ = nnls(whole, np.append(np.sqrt(each), np.zeros(len(alike))), maxiter=100 * a.shape[1])
        each = given / np.maximum(np.abs(a @ found - 1), LEAST)
    return np.asarray(found / scale, np.float64)


def left_out(rows: Sequence[Sequence[float]], seconds: Sequence[float]) -> Floats:
    """Each sample as the others predict it, by `fit`."""
    found = []
    for i in range(len(rows)):
        others = [j for j in range(len(rows)) if j != i]
        coefficients = fit([rows[j] for j in others], [seconds[j] for j in others])
        found.append(float(np.asarray(rows[i]) @ coefficients))
    return np.array(found)


def by_family(families: Sequence[str], predict: Callable[[npt.NDArray[np.bool_]], Floats], seed: int = 0) -> Floats:
    """What each sample is predicted without its family, and a tenth of the other families beside it.

    `predict` fits to the samples of a mask, and gives its prediction of all.
    """
    names = sorted(set(families))
    random.Random(seed).shuffle(names)
    group = {name: i % GROUPS for i, name in enumerate(names)}
    of = np.array([group[family] for family in families])
    predicted = np.zeros(len(of))
    for i in range(GROUPS):
        predicted = np.where(of == i, predict(of != i), predicted)
    return predicted


def band(predicted: Floats, measured: Floats) -> Band:
    """The band that holds SHARE of the measured, by the quantiles that hold as often for the next one (conformal)."""
    ratios = np.sort(measured / np.maximum(predicted, 1e-12))
    count = len(ratios)
    beside = (count + 1) * (1 - SHARE) / 2
    low, high = max(int(np.floor(beside)) - 1, 0), min(int(np.ceil(count + 1 - beside)) - 1, count - 1)
    return Band(
        low=float(ratios[low]), high=float(ratios[high]), mean_error=mean_error(predicted, measured), rows=count
    )


def mean_error(predicted: Floats, measured: Sequence[float] | Floats) -> float:
    """Mean of the relative errors."""
    return float(np.abs(predicted / np.asarray(measured) - 1).mean())


def median_error(predicted: Floats, measured: Sequence[float] | Floats) -> float:
    """Median of the relative errors."""
    return float(np.median(np.abs(predicted / np.asarray(measured) - 1)))


def spearman(a: Sequence[float] | Floats, b: Sequence[float] | Floats) -> float:
    """Correlation of ranks; ties share their mean rank."""

    def ranks(values: Sequence[float] | Floats) -> Floats:
        data = np.asarray(values, np.float64)
        ordered = np.sort(data)
        return (np.searchsorted(ordered, data, "left") + np.searchsorted(ordered, data, "right") - 1) / 2

    return float(np.clip(np.corrcoef(ranks(a), ranks(b))[0, 1], -1, 1))  # rounding goes beyond 1
