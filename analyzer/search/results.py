"""A search's finds as records: the front, then the best of each objective that are not on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyzer import family
from analyzer.latency import Profile
from analyzer.records import Record
from analyzer.search.engine import Result
from analyzer.search.query import FIGURES


@dataclass(frozen=True)
class Find:
    """A variant that was found: its record, whether it is on the front, and the objectives it is best for."""

    record: Record
    front: bool
    best_for: tuple[str, ...]

    def to_dict(self) -> dict[str, object]:
        """One flat JSON object: name, figures by their names, the marks, the variant's fields."""
        record = self.record
        names = ("params", "macs", "flops", *FIGURES[2:], "param_bytes", "buffer_bytes")
        return {
            "name": record.target.name,
            "front": self.front,
            "best_for": list(self.best_for),
            "batch": record.batch,
            **{name: getattr(record, name) for name in names},
            "predicted_latency_s": record.predicted.latency_s if record.predicted else None,
            **{name: getattr(record.measured, name, None) for name in ("measured_latency_s", "measured_images_per_s")},
            "measured_ratio": record.measured.ratio if record.measured else None,
            "variant": record.target.variant,
        }


def finds(result: Result, profile: Profile | None = None) -> list[Find]:
    """The front, in order of the first objective, then the k best of each objective, each variant once."""
    query, found = result.query, result.finds
    sign = -1 if query.objectives[0].maximize else 1
    first = sign * found.points[:, FIGURES.index(query.objectives[0].figure)]
    order = np.lexsort((found.where[:, 1], found.where[:, 0], first))
    best: dict[tuple[int, int], list[str]] = {}
    for i, (_, spots) in found.best.items():
        for part, index in spots.tolist():
            best.setdefault((part, index), []).append(query.objectives[i].figure)
    on_front = [(int(part), int(index)) for part, index in found.where[order]]
    places = list(dict.fromkeys([*on_front, *best]))
    variants = [result.space.parts[part].variant(index) for part, index in places]
    standing = set(on_front)
    return [
        Find(record, place in standing, tuple(best.get(place, ())))
        for place, record in zip(places, family.records(variants, query.batch, profile), strict=True)
    ]
