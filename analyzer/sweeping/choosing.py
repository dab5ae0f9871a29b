"""Which rows of a sweep matter: the front, and the one that a verdict is about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from analyzer.errors import UsageError, did_you_mean
from analyzer.records import Record
from analyzer.space.pareto import front

if TYPE_CHECKING:
    import numpy as np
else:
    from analyzer.later import np


def pareto_names(rows: Sequence[Record]) -> tuple[str, ...]:
    """Names of the rows on the front of params and MACs, both minimised, ties included, fewest params first; where rows
    are trained, of those on the front of params, MACs and the highest test accuracy.
    """
    good = [row for row in rows if row.params is not None and row.macs is not None]
    trained = [row for row in good if row.trained is not None]
    good = trained or good
    if not good:
        return ()
    points = [(row.params, row.macs, *([-row.trained.test_accuracy] if row.trained else [])) for row in good]
    keep = front(np.array(points, np.float64 if trained else np.int64))
    best = [row for row, on_front in zip(good, keep, strict=True) if on_front]
    return tuple(row.target.name for row in sorted(best, key=lambda row: (row.params, row.macs, row.target.name)))


def subject_of(rows: Sequence[Record], name: str | None = None) -> Record | None:
    """What a verdict is about: the row of that name; by default the article's network, else the first variant.

    The first row is the baseline. Raises UsageError where no row has the name.
    """
    by_name = {row.target.name: row for row in rows}
    if name is not None:
        if name not in by_name:
            raise UsageError(f"no row is named {name!r}", where="subject", fix=did_you_mean(name, by_name))
        return by_name[name]
    return by_name.get("article") or next((row for row in rows[1:] if row.target.variant and not row.error), None)
