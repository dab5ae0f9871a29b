"""Differences of two networks with what they are worth: intervals over seeds, over images, over both; power.

Differences are in points (hundredths), one a pair: two networks trained from the same seed on the same division.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import msgspec

from analyzer.structs import Frozen, Whole

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Right = NDArray[np.bool_]
    """Which images a network got right."""
else:
    from analyzer.later import np

LEVEL, POWER = 0.95, 0.8
DRAWS, DRAWS_AT_ONCE = 10_000, 200
MOST_PAIRS = 10_000


class Estimate(Frozen, frozen=True, kw_only=True):
    """A difference in points with its interval (None: one pair alone has none) and over what it is."""

    value: float
    low: float | None
    high: float | None
    over: Literal["seeds", "images", "seeds and images"]
    pairs: Whole
    level: float = LEVEL


def over_seeds(differences: Sequence[float], level: float = LEVEL) -> Estimate:
    """The mean with the paired t interval: what another seed would give, on these images."""
    from scipy import stats

    found = np.round(np.asarray(differences, np.float64), 9)  # what floats add to equal ones is no difference
    mean = float(found.mean())
    if len(found) < 2:
        return Estimate(value=mean, low=None, high=None, over="seeds", pairs=len(found), level=level)
    error = float(found.std(ddof=1)) / math.sqrt(len(found))
    half = float(stats.t.ppf(0.5 + level / 2, len(found) - 1)) * error
    return Estimate(value=mean, low=mean - half, high=mean + half, over="seeds", pairs=len(found), level=level)


def of_accuracies(shares: Sequence[float]) -> Estimate:
    """The mean of accuracies in points with its t interval, as far as there are such accuracies: from 0 to 100."""
    found = over_seeds([100 * share for share in shares])
    if found.low is None or found.high is None:
        return found
    return msgspec.structs.replace(found, low=max(found.low, 0.0), high=min(found.high, 100.0))


@dataclass(frozen=True)
class Drawn:
    """The mean difference of pairs, and each pair's on images drawn anew, (draws, pairs); points."""

    value: float
    differences: NDArray[np.float64]


def drawn_images(pairs: Sequence[tuple[Right, Right]], groups: Sequence[int]) -> Drawn:
    """Draws images anew, for `over_images`.

    Each pair is what two networks got right of the same images; pairs of one group have the same images, which are
    drawn together.
    """
    random = np.random.default_rng(0)
    drawn = np.empty((DRAWS, len(pairs)))
    for group in sorted(set(groups)):
        members = [i for i, each in enumerate(groups) if each == group]
        stacked = np.stack([pairs[i][0].astype(np.float64) - pairs[i][1] for i in members], axis=1)
        images = len(stacked)
        for start in range(0, DRAWS, DRAWS_AT_ONCE):
            chosen = random.integers(0, images, (DRAWS_AT_ONCE, images)) + images * np.arange(DRAWS_AT_ONCE)[:, None]
            weights = np.bincount(chosen.reshape(-1), minlength=DRAWS_AT_ONCE * images).reshape(-1, images)
            drawn[start : start + DRAWS_AT_ONCE, members] = 100 * (weights @ stacked) / images
    return Drawn(100 * float(np.mean([a.mean() - b.mean() for a, b in pairs])), drawn)


def over_images(drawn: Drawn, *, seeds: bool = False, level: float = LEVEL) -> Estimate:
    """The mean difference with a percentile bootstrap of images: what other images would give.

    With `seeds` pairs are drawn, too: what other images and other seeds would give (for that, the draws of pairs have
    n - 1 of n, as few seeds look alike too often; Efron and Tibshirani 1993, ch. 6).
    """
    over: Literal["images", "seeds and images"] = "seeds and images" if seeds else "images"
    found, (draws, pairs) = drawn.differences, drawn.differences.shape
    if seeds and pairs < 2:
        return Estimate(value=drawn.value, low=None, high=None, over=over, pairs=pairs, level=level)
    if seeds:
        chosen = np.random.default_rng(1).integers(0, pairs, (draws, pairs - 1))
        found = np.take_along_axis(found, chosen, axis=1)
    low, high = map(float, np.quantile(found.mean(axis=1), [0.5 - level / 2, 0.5 + level / 2]))
    return Estimate(value=drawn.value, low=low, high=high, over=over, pairs=pairs, level=level)


def power(pairs: int, sd: float, difference: float, level: float = LEVEL) -> float:
    """How often a two-sided paired t test of so many pairs sees a true difference, at a standard deviation of pairs."""
    from scipy import stats

    if pairs < 2:
        return 0.0
    if sd == 0:
        return 1.0
    critical = float(stats.t.ppf(0.5 + level / 2, pairs - 1))
    shift = abs(difference) / sd * math.sqrt(pairs)
    seen = float(stats.nct.sf(critical, pairs - 1, shift) + stats.nct.cdf(-critical, pairs - 1, shift))
    return seen if math.isfinite(seen) else 1.0


def pairs_needed(sd: float, difference: float) -> int:
    """The fewest pairs that see a difference in 80 of 100 cases (two-sided, 5 %)."""
    low, high = 1, 2
    while power(high, sd, difference) < POWER and high < MOST_PAIRS:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if power(middle, sd, difference) < POWER else (low, middle)
    return high


def detectable(pairs: int, sd: float) -> float | None:
    """The least difference that so many pairs see in 80 of 100 cases; None for fewer than two."""
    from scipy import optimize

    if pairs < 2:
        return None
    return float(optimize.brentq(lambda points: power(pairs, sd, points) - POWER, 0.0, 1000 * sd))
