"""Pareto fronts: which points no other point beats in every objective. Exact, ties included."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.generic]
Mask = npt.NDArray[np.bool_]
STRONG = 24
BLOCK = 512


def front(points: Points) -> Mask:
    """Marks the rows of an (n, k) array that no row dominates, every column minimised.

    A row dominates another when it is nowhere larger and somewhere smaller; so equal rows stand or fall together.
    O(n log n) up to three columns (Kung et al. 1975); for more, O(n x front) in vectorised blocks.
    """
    if points.ndim != 2:
        raise ValueError(f"points must be (n, k), got shape {points.shape}")
    keep = _not_beaten_by_the_strong(points)
    rest = points[keep]
    if len(rest) == 0:
        return keep
    unique, back = np.unique(rest, axis=0, return_inverse=True)  # sorted: no row is dominated by a later one
    columns = unique.shape[1]
    best = _two(unique) if columns <= 2 else _three(unique) if columns == 3 else _many(unique)
    keep[keep] = best[back.reshape(-1)]
    return keep


def _not_beaten_by_the_strong(points: Points) -> Mask:
    """A cheap first pass: drops what a few good rows dominate, before anything is sorted."""
    keep = np.ones(len(points), bool)
    if len(points) < 4 * STRONG:
        return keep
    ranks = points.astype(np.float64)
    span = ranks.max(axis=0) - ranks.min(axis=0)
    score = ((ranks - ranks.min(axis=0)) / np.where(span > 0, span, 1)).sum(axis=1)
    for index in np.argpartition(score, STRONG)[:STRONG]:
        strong = points[index]
        keep &= (points < strong).any(axis=1) | (points == strong).all(axis=1)
    return keep


def _two(rows: Points) -> Mask:
    last = rows[:, -1]
    if rows.shape[1] == 1:
        return np.asarray(last == last[0])
    keep = np.ones(len(rows), bool)
    keep[1:] = last[1:] < np.minimum.accumulate(last)[:-1]
    return keep


def _three(rows: Points) -> Mask:
    """Rows come by their first column; the others' front so far is a staircase, y rising and z falling."""
    keep = np.zeros(len(rows), bool)
    ys: list[float] = []
    zs: list[float] = []
    for i, (_, y, z) in enumerate(rows.tolist()):
        at = bisect_right(ys, y)
        if at and zs[at - 1] <= z:
            continue
        keep[i] = True
        first = last = bisect_left(ys, y)
        while last < len(ys) and zs[last] >= z:
            last += 1
        ys[first:last], zs[first:last] = [y], [z]
    return keep


def _many(rows: Points) -> Mask:
    keep = np.zeros(len(rows), bool)
    best = rows[:0]
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        alive = np.ones(len(block), bool)
        for i, row in enumerate(block):
            alive[i] = alive[i] and not (len(best) and bool((best <= row).all(axis=1).any()))
            if alive[i]:
                alive[i + 1 :] &= (block[i + 1 :] < row).any(axis=1)
        keep[start : start + BLOCK] = alive
        best = np.concatenate([best, block[alive]])
    return keep
