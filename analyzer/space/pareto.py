"""Pareto fronts: which points no other point beats in every objective. Exact, ties included."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
else:
    from analyzer.later import np


Points: TypeAlias = "npt.NDArray[np.generic]"
Mask: TypeAlias = "npt.NDArray[np.bool_]"
Rows: TypeAlias = "npt.NDArray[np.int64]"
STRONG = 24
BLOCK = 512


def front(points: Points) -> Mask:
    """Marks the rows of an (n, k) array that no row dominates, every column minimised.

    A row dominates another when it is nowhere larger and somewhere smaller; so equal rows stand or fall together.
    O(n log n) up to three columns (Kung et al. 1975); for more, O(n x front) in vectorised blocks.
    """
    if points.ndim != 2:
        raise ValueError(f"points must be (n, k), got shape {points.shape}")
    keep = np.zeros(len(points), bool)
    rows = standing(points.T, _strongest(points))
    if len(rows) == 0:
        return keep
    rows = rows[np.lexsort(points[rows].T[::-1])]  # sorted: no row is dominated by a later one
    sorted_ = points[rows]
    new = np.ones(len(rows), bool)
    new[1:] = (sorted_[1:] != sorted_[:-1]).any(axis=1)
    unique = sorted_[new]
    columns = unique.shape[1]
    best = _two(unique) if columns <= 2 else _three(unique) if columns == 3 else _many(unique)
    keep[rows] = best[np.cumsum(new) - 1]
    return keep


def standing(columns: Sequence[Points] | Points, strong: Points) -> Rows:
    """The rows, given by columns, but for those that some of a few strong rows are seen to dominate.

    A cheap first pass before `front`: none that it drops is on a front that the strong rows are seen beside.
    """
    rows = np.arange(len(columns[0]))
    for few in (strong[:: max(1, len(strong) // 4)], strong):
        keep = np.ones(len(rows), bool)
        for row in few:
            beaten = columns[0] > row[0]
            for column, value in zip(columns[1:], row[1:], strict=True):
                beaten &= column >= value
            np.greater(keep, beaten, out=keep)
        chosen = np.flatnonzero(keep)
        rows, columns = rows[chosen], [column[chosen] for column in columns]
    return rows


def _strongest(points: Points) -> Points:
    """A few rows that are small in all columns together."""
    if len(points) < 4 * STRONG:
        return points[:0]
    score = np.zeros(len(points))
    for column in points.T.astype(np.float64):
        low, high = column.min(), column.max()
        score += (column - low) / (high - low if high > low else 1)
    strong: Points = points[np.argpartition(score, STRONG)[:STRONG]]
    return strong


def spread(points: Points) -> Points:
    """A few of a front's rows, spread over it, for `standing`."""
    if len(points) <= STRONG:
        return points
    order = np.argsort(points[:, 0])
    few: Points = points[order[np.linspace(0, len(order) - 1, STRONG).astype(int)]]
    return few


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
