"""Pareto fronts: which points no other point beats in every objective. Exact, ties included."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def front(points: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    """Marks the rows of an (n, k) array that no row dominates, every column minimised.

    A row dominates another when it is nowhere larger and somewhere smaller; so equal rows stand or fall together.
    O(n log n) for one or two columns; for more, O(n x front).
    """
    if points.ndim != 2:
        raise ValueError(f"points must be (n, k), got shape {points.shape}")
    if len(points) == 0:
        return np.zeros(0, bool)
    unique, back = np.unique(points, axis=0, return_inverse=True)  # sorted: no row is dominated by a later one
    keep = _two(unique) if unique.shape[1] <= 2 else _many(unique)
    return np.asarray(keep[back.reshape(-1)])


def _two(rows: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    last = rows[:, -1]
    if rows.shape[1] == 1:
        return np.asarray(last == last[0])
    keep = np.ones(len(rows), bool)
    keep[1:] = last[1:] < np.minimum.accumulate(last)[:-1]
    return keep


def _many(rows: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    keep = np.ones(len(rows), bool)
    for i in range(len(rows)):
        if keep[i]:
            keep[i + 1 :] &= (rows[i + 1 :] < rows[i]).any(axis=1)
    return keep
