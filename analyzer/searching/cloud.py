"""The cloud of what fits: some of a space's variants that meet every constraint, for a plot behind the front."""

from __future__ import annotations

from dataclasses import replace

from analyzer.later import np
from analyzer.searching.engine import Result
from analyzer.searching.query import Objective, fits_of

SHOWN, LOOKED_AT, PARTS = 1_000, 60_000, 60
"""Points at most; variants that are drawn for them, of so many structures at most."""

Point = tuple[int, int]
"""Params and MACs."""


def cloud(result: Result) -> tuple[tuple[Point, ...], str]:
    """Params and MACs of fitting variants, drawn evenly from the space (the same each time), and how in a sentence."""
    space, draw = result.space, np.random.default_rng(0)
    # Params and MACs are counted beside what the constraints need: an objective is counted.
    query = replace(result.query, objectives=(Objective("params"), Objective("macs")))
    sizes = np.array([part.size for part in space.parts], float)
    chosen = draw.choice(len(sizes), min(len(sizes), PARTS), replace=False, p=sizes / sizes.sum())
    points: list[Point] = []
    looked = 0
    for part in (space.parts[i] for i in sorted(chosen)):
        wanted = -(-LOOKED_AT * part.size // sum(space.parts[i].size for i in chosen))
        indices = np.arange(part.size) if part.size <= wanted else draw.integers(0, part.size, wanted)
        counts = query.count(part.columns(indices))
        fits = fits_of(query, counts)
        looked += len(indices)
        points += zip(*(counts.figures[name][fits].tolist() for name in ("params", "macs")), strict=True)
    shown = points if len(points) <= SHOWN else [points[i] for i in draw.choice(len(points), SHOWN, replace=False)]
    share = 100 * len(points) / max(looked, 1)
    told = f"Light points are {len(shown):,} of the variants that fit: {share:.3g} % of {looked:,} that were drawn."
    return tuple(sorted(shown)), told
