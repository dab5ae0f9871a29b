"""Array form equals scalar form: counts, saved bytes, peaks, which variants are invalid; no overflow goes unseen."""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from variants import variants

from analyzer.architecture.blocks import BLOCKS
from analyzer.architecture.variant import Variant
from analyzer.errors import ArchitectureError
from analyzer.figures import FIGURES
from analyzer.reading.family import record, records


def random_like(first: Variant, chance: random.Random, count: int) -> list[Variant]:
    """Variants of one structure with a first one: every number drawn anew."""
    stages = len(first.block_config)

    def growth() -> object:
        if isinstance(first.growth, str):
            return first.growth
        pick = lambda: chance.choice([1, 3, 4, 8, 12, 32, 333])  # noqa: E731
        return tuple(pick() for _ in range(stages)) if isinstance(first.growth, tuple) else pick()

    found = []
    for _ in range(count):
        fields = first.to_dict() | {
            "block_config": first.block_config,
            "growth": growth(),
            "init": chance.choice([1, 2, 4, 6, 13, 64, 1000]),
            "groups": chance.choice([1, 1, 1, 2, 3]),
            "kernel": chance.choice([1, 3, 5]),
            "classes": chance.choice([2, 10, 1000]),
            "image": chance.choice([1, 7, 16, 32, 64, 97, 224]),
        }
        if first.ratio is not None:
            fields["ratio"] = chance.choice([0.01, 0.125, 0.25, 0.3, 1.5])
        if first.bn_size is not None:
            fields["bn_size"] = chance.choice([1, 2, 4])
        if isinstance(first.ratio, tuple):
            fields["ratio"] = tuple(chance.choice([0.01, 0.125, 0.25, 0.3, 1.5]) for _ in range(stages))
        if isinstance(first.compression, tuple):
            fields["compression"] = tuple(chance.choice([0.01, 0.25, 0.5, 0.7, 1.0]) for _ in range(stages - 1))
        elif BLOCKS[first.block].family.has_transitions:
            fields["compression"] = chance.choice([0.01, 0.25, 0.5, 0.7, 1.0])
        found.append(Variant(**fields))
    return found


ONE_VALUE = Variant(
    block="add", block_config=(1, 1), growth=(1, 2), bn_size=1, compression=1.0, init=1, classes=1, image=1, kernel=1
)
"""Among images of all sizes, where batch normalisation gets one value a channel in some variants and in some layers."""


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@example(ONE_VALUE, 39, 1)
@given(variants(), st.integers(0, 2**32), st.integers(1, 5))
def test_every_record_equals_the_scalar_one(first: Variant, seed: int, batch: int) -> None:
    group = [first, *random_like(first, random.Random(seed), 50)]
    for variant, counted in zip(group, records(group, batch), strict=True):
        try:
            expected = record(variant, batch, layers=False)
        except ArchitectureError as error:
            assert counted.error is not None
            assert (counted.error.what, counted.error.where) == (error.what, error.where)
            continue
        assert counted.error is None, counted.error
        assert counted.target == expected.target
        for name in (figure.name for figure in FIGURES.values() if figure.static):
            assert getattr(counted, name) == getattr(expected, name)


@pytest.mark.parametrize("depth", [10, 11, 12, 13, 14, 15, 16])
def test_overflow_is_an_error_exactly_where_it_begins(depth: int) -> None:
    """Doubling crosses 2^63 between neighbours; the array form draws the line where Python's integers do."""
    group = [Variant(block_config=(depth, 4, 3), growth="double", init=i, image=64) for i in range(50, 110)]
    group += [Variant(block_config=(depth, 4, 3), growth="double", init=i, image=96) for i in range(50, 110)]
    for variant, counted in zip(group, records(group), strict=True):
        try:
            expected = record(variant, layers=False)
        except ArchitectureError as error:
            assert "2^63" in error.what
            assert counted.error is not None
            continue
        assert counted.macs == expected.macs
        assert max(expected.params, expected.macs, expected.saved_bytes) < 2**63


@pytest.mark.slow
def test_widths_beyond_float_are_an_error_too() -> None:
    group = [Variant(block_config=(1000, 1000), growth="double", init=i) for i in (64, 128)]
    assert all(counted.error for counted in records(group))


@pytest.mark.slow
def test_dimensions_shared_by_all_variants_overflow_as_an_error_too() -> None:
    shared = {"block": "dense", "block_config": (900, 900), "growth": 1_000_000, "bn_size": 10_000, "image": 65_536}
    group = [Variant(**shared, compression=c) for c in (0.5, 0.6)]
    assert all(counted.error and "2^63" in counted.error.what for counted in records(group))
