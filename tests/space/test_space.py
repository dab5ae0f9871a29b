"""A space is its grid: every axis counts, each variant stands in it once, and its columns are its variants."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from axes_of_the_table import candidates, several_axes, small
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.architecture.axes import AXES, FIELDS, Axis
from analyzer.architecture.variant import Variant
from analyzer.errors import UsageError
from analyzer.reading.vector import at, count_columns, shape
from analyzer.space.grid import Grid
from analyzer.space.space import Space

FIGURES = ("params", "macs", "conv_activations", "depth", "saved_bytes", "buffer_bytes")


def of_grid(axes: dict[str, Any]) -> set[Variant]:
    return {variant for variant in Grid(**axes) if isinstance(variant, Variant)}


@given(several_axes())
@settings(max_examples=80, deadline=None)
def test_a_space_is_its_grid(axes: dict[str, list[Any]]) -> None:
    expected = of_grid(axes)
    if not expected:
        with pytest.raises(UsageError, match="empty"):
            Space(**axes)
        return
    space = Space(**axes)
    found = list(space)
    assert set(found) == expected
    assert len(found) == len(expected) == len(space) == space.size


@pytest.mark.parametrize("axis", AXES, ids=lambda axis: axis.field)
def test_every_axis_makes_variants_of_a_space(axis: Axis) -> None:
    axes = {**{name: [value] for name, value in small(axis).items()}, axis.field: candidates(axis)}
    space = Space(**axes)
    assert set(space) == of_grid(axes)
    assert len({getattr(variant, axis.field) for variant in space}) == space.size > 1


@given(several_axes())
@settings(max_examples=40, deadline=None)
def test_the_columns_of_a_part_are_its_variants(axes: dict[str, list[Any]]) -> None:
    if not of_grid(axes):
        return
    for part in Space(**axes).parts:
        columns = part.columns(np.arange(part.size))
        for index in range(part.size):
            one, variant = at(columns, index), part.variant(index)
            assert [getattr(one, name) for name in FIELDS] == [getattr(variant, name) for name in FIELDS]
            assert part.index(part.digits(index)) == index


@given(several_axes(), st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_combinations_are_the_columns_one_by_one(axes: dict[str, list[Any]], most: int) -> None:
    """Boxes follow each other over a part, whole, whatever the most that one may hold; and are counted as columns."""
    if not of_grid(axes):
        return
    for part in Space(**axes).parts:
        start = 0
        while start < part.size:
            columns, count = part.box(start, most)
            assert 1 <= count <= most
            assert np.prod(shape(columns)) == count
            flat = part.columns(np.arange(start, start + count))
            for i in range(count):
                assert at(columns, i) == at(flat, i)
            together, alone = count_columns(columns, 2, FIGURES), count_columns(flat, 2, FIGURES)
            assert np.array_equal(together.invalid, alone.invalid)
            valid = ~alone.invalid & ~alone.untrainable
            assert all(np.array_equal(together.figures[f][valid], alone.figures[f][valid]) for f in FIGURES)
            start += count
        assert part.even(most) <= most


def test_combinations_are_as_many_as_fit() -> None:
    part = Space(growth=range(8, 18), init=range(16, 23), image=[64, 96, 128]).parts[0]
    assert [part.box(0, most)[1] for most in (1, 2, 3, 20, 21, 22, 42, 209, 210, 10**6)] == [
        1, 2, 3, 18, 21, 21, 42, 189, 210, 210
    ]  # fmt: skip
    assert [part.box(start, 10**6)[1] for start in (1, 2, 3, 18, 21, 200)] == [2, 1, 18, 3, 189, 1]


def test_groups_are_in_the_space() -> None:
    assert Space(growth=[16, 32], groups=[1, 2, 4]).size == 6


def test_what_the_block_cannot_have_is_left_out_and_said() -> None:
    space = Space(block=["dense", "basic", "bottleneck"], ratio=[0.25], compression=[0.5, 1.0], drop=[0.0, 0.1])
    assert {(v.block, v.compression, v.drop) for v in space} == {
        ("dense", 0.5, 0.0), ("dense", 0.5, 0.1), ("dense", 1.0, 0.0), ("dense", 1.0, 0.1), ("bottleneck", 1.0, 0.0),
    }  # fmt: skip
    assert space.unused == ["block basic"]


def test_names_too_long_together_are_left_out() -> None:
    digits = [tuple(0.1 + i / 7 for i in range(8)), 0.5]
    axes = {"block": ["dense"], "block_config": [(1,) * 8], "ratio": digits, "compression": [digits[0][:7], 0.5]}
    assert set(Space(**axes)) == of_grid(axes)
    assert len(set(Space(**axes))) == 3


def test_an_axis_said_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="twice"):
        Space(blocks=[(1, 1)], block_config=[(2, 2)])
