"""A search's finds as records: the front, then the best of each objective that are not on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analyzer.architecture.axes import BY_FIELD
from analyzer.figures import FIGURES
from analyzer.reading import family
from analyzer.reading.latency import Profile
from analyzer.records import Record, fields_of
from analyzer.searching.query import COLUMN

if TYPE_CHECKING:
    import numpy as np

    from analyzer.searching.engine import Result
else:
    from analyzer.later import np

SPELLED = 12
"""Values of an axis that are written out."""


@dataclass(frozen=True)
class Find:
    """A variant that was found: its record, whether it is on the front, and the objectives it is best for."""

    record: Record
    front: bool
    best_for: tuple[str, ...]

    def to_dict(self) -> dict[str, object]:
        """One JSON object: name, the marks, every figure by its name, the variant."""
        record = self.record
        return {
            "name": record.target.name,
            "front": self.front,
            "best_for": list(self.best_for),
            "batch": record.batch,
            **{figure.name: figure.of(record) for figure in FIGURES.values()},
            "variant": fields_of(record),
        }


def finds(result: Result, profile: Profile | None = None) -> list[Find]:
    """The front, in order of the first objective, then the k best of each objective, each variant once."""
    query, totals = result.query, result.finds
    sign = -1 if query.objectives[0].maximize else 1
    first = sign * totals.points[:, COLUMN[query.objectives[0].figure]]
    order = np.lexsort((totals.where[:, 1], totals.where[:, 0], first))
    best: dict[tuple[int, int], list[str]] = {}
    for i, (_, spots) in totals.best.items():
        for part, index in spots.tolist():
            best.setdefault((part, index), []).append(query.objectives[i].figure)
    on_front = [(int(part), int(index)) for part, index in totals.where[order]]
    places = list(dict.fromkeys([*on_front, *best]))
    variants = [result.space.parts[part].variant(index) for part, index in places]
    standing = set(on_front)
    return [
        Find(record, place in standing, tuple(best.get(place, ())))
        for place, record in zip(places, family.records(variants, query.batch, profile), strict=True)
    ]


def described(result: Result) -> list[str]:
    """What was searched, what was seen of it, what was asked: a sentence each."""
    space, query, totals = result.space, result.query, result.finds
    if result.exhaustive:
        structures = f"{len(space.parts):,} structure{'s' * (len(space.parts) > 1)}"
        seen = f"All {space.size:,} variants of {structures} were seen, so the front is exact."
    else:
        seen = (
            f"{totals.seen:,} of {space.size:,} variants were seen ({100 * result.share:.3g} %): the same share of "
            f"every structure, by a walk that visits none twice (seed {result.seed}). The front is that of the sample."
        )
    axes = "; ".join(f"{BY_FIELD[name].option} {_span(values)}" for name, values in space.axes.items())
    goals = ", ".join(f"{'most' if o.maximize else 'least'} {o.figure}" for o in query.objectives)
    limits = ", ".join(map(str, query.constraints)) or "no constraint"
    return [
        seen,
        f"The axes: {axes or 'none, all at their defaults'}.",
        f"{totals.fitting:,} of {totals.valid:,} that make a network meet {limits}; memory at batch {query.batch}.",
        f"{len(totals.points):,} stand on the front of {goals}"
        + (f"; the {query.best} best of each are added." if query.best else "."),
    ]


def _span(values: tuple[Any, ...]) -> str:
    """Few values in full; of many what is no number, the least and the largest number, and how many they are."""
    numbers = [value for value in values if isinstance(value, (int, float))]
    if len(values) <= SPELLED or not numbers:
        return ", ".join(map(_said, values[:SPELLED])) + (
            f" and {len(values) - SPELLED:,} more" * (len(values) > SPELLED)
        )
    words = [_said(value) for value in values if not isinstance(value, (int, float))]
    return ", ".join([*words, f"{min(numbers)} to {max(numbers)} ({len(numbers):,} values)"])


def _said(value: Any) -> str:
    return "-".join(map(str, value)) if isinstance(value, tuple) else str(value)
