"""A space's variants as a study proposes them: in its parameters, by what the static search found, at random."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from analyzer.architecture.variant import Variant
from analyzer.limits import Limit, hold
from analyzer.records import Record
from analyzer.searching.query import Finds, Query, fits_of
from analyzer.space.space import Space

if TYPE_CHECKING:
    import numpy as np
    import optuna
else:
    from analyzer.later import np

DRAWN = 2048
"""Variants that are looked at together for those that fit."""


class Coding:
    """A space's variants as Optuna's parameters: the structure by name, each axis by its value's place."""

    def __init__(self, space: Space) -> None:
        self.space = space
        kinds: dict[str, list[tuple[Any, ...]]] = {}
        for part in space.parts:
            for name, values in part.axes:
                if values not in kinds.setdefault(name, []):
                    kinds[name].append(values)
        self.names = {
            (name, values): name if len(many) == 1 else f"{name} {number}"
            for name, many in kinds.items()
            for number, values in enumerate(many, start=1)
        }
        self.structures = [str(number) for number in range(len(space.parts))]

    def params(self, part: int, index: int) -> dict[str, Any]:
        """The parameters of a variant."""
        axes = zip(self.space.parts[part].axes, self.space.parts[part].digits(index), strict=True)
        return {"structure": str(part)} | {self.names[axis]: digit for axis, digit in axes}

    def ask(self, trial: optuna.trial.Trial) -> Variant:
        """The variant that Optuna proposes."""
        part = self.space.parts[int(trial.suggest_categorical("structure", self.structures))]
        digits = [trial.suggest_int(self.names[axis], 0, len(axis[1]) - 1) for axis in part.axes]
        return part.variant(part.index(digits))

    def variant(self, params: dict[str, Any]) -> Variant:
        """The variant of a trial's parameters."""
        part = self.space.parts[int(params["structure"])]
        return part.variant(part.index([params[self.names[axis]] for axis in part.axes]))


def excess_of(limit: Limit, row: Record) -> float:
    """How far a row is beyond a limit, relative to it; 0 or less where it is met, 1 where the figure isn't known."""
    value = hold(row, limit).value
    return 1.0 if value is None else float(limit.excess(value))


def fitting(space: Space, query: Query, chance: random.Random) -> list[tuple[int, int]]:
    """Variants that meet the constraints, of a random chunk of one part, in random order: (part, index)."""
    number = chance.choices(range(len(space.parts)), [part.size for part in space.parts])[0]
    part = space.parts[number]
    few = part.size <= DRAWN
    indices = np.arange(part.size) if few else np.unique([chance.randrange(part.size) for _ in range(DRAWN)])
    counts = query.count(part.columns(indices))
    chosen = [int(index) for index in indices[fits_of(query, counts)]]
    chance.shuffle(chosen)
    return [(number, index) for index in chosen]


def places(finds: Finds) -> list[tuple[int, int]]:
    """Where the front and the best of each objective are."""
    spots = np.concatenate([finds.where, *(where for _, where in finds.best.values())])
    return [(part, index) for part, index in spots.tolist()]


def evenly(count: int, most: int) -> list[int]:
    """At most so many of `count` places, both ends in them."""
    if count <= most:
        return list(range(count))
    return sorted({round(i * (count - 1) / max(most - 1, 1)) for i in range(most)})
