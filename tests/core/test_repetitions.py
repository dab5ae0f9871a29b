"""A stage as a repetition: counted by its first layer and one for all others, or layer by layer, it costs the same."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_arrays import random_like
from variants import variants

from analyzer.architecture.network import Columns
from analyzer.architecture.variant import Variant
from analyzer.figures import FIGURES
from analyzer.reading import vector
from analyzer.reading.family import _groups, columns_of
from analyzer.reading.vector import ColumnCounts, count_columns

COUNTED = [figure.name for figure in FIGURES.values() if figure.arrays and figure.standing == "exact"]


def long_way(columns: Columns, batch: int) -> ColumnCounts:
    size = vector.shape(columns)
    with np.errstate(all="ignore"):
        return vector._count(columns, size, batch, COUNTED)[0]


def assert_same(short: ColumnCounts, long: ColumnCounts) -> None:
    assert np.array_equal(short.invalid, long.invalid)
    valid = ~long.invalid
    assert np.array_equal(short.untrainable[valid], long.untrainable[valid])
    trains = valid & ~long.untrainable
    for name in COUNTED:
        rows = trains if FIGURES[name].training else valid
        assert np.array_equal(short.figures[name][rows], long.figures[name][rows]), name


def deeper(first: Variant, chance: random.Random) -> Variant:
    """The variant with stages deep enough to be repetitions."""
    depths = tuple(chance.choice([1, 2, 3, 4, 5, 7, 20]) for _ in first.block_config)
    return Variant(**first.to_dict() | {"block_config": depths} | _tuples(first))


def _tuples(first: Variant) -> dict[str, Any]:
    return {name: value for name, value in vars(first).items() if isinstance(value, tuple) and name != "block_config"}


@settings(max_examples=150, deadline=None)
@example(Variant(block="dense", block_config=(40, 40), growth=1_000_000, bn_size=10_000, image=65_536), 0, 1)
@given(variants(), st.integers(0, 2**32), st.integers(1, 5))
def test_the_short_way_is_the_long_way(first: Variant, seed: int, batch: int) -> None:
    chance = random.Random(seed)
    first = deeper(first, chance)
    for _, group in _groups([first, *random_like(first, chance, 50)]):
        columns = columns_of(group)
        assert_same(count_columns(columns, batch, COUNTED), long_way(columns, batch))
