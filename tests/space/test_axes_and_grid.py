"""Axes read as the command says; a grid holds each variant once."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from analyzer.architecture.axes import AXES, BY_FIELD, axis
from analyzer.architecture.variant import Variant
from analyzer.errors import UsageError
from analyzer.space.grid import BadVariant, Grid
from analyzer.space.lists import many
from analyzer.space.pareto import front


def test_a_range_has_both_ends_in_it() -> None:
    assert many(axis("growth"), ["8:64:8"]) == (8, 16, 24, 32, 40, 48, 56, 64)
    assert many(axis("compression"), ["0.1:0.5:0.1"]) == (0.1, 0.2, 0.3, 0.4, 0.5)
    assert many(axis("classes"), ["2:4"]) == (2, 3, 4)


def test_lists_repeats_and_stages() -> None:
    assert many(axis("growth"), ["double,12", "12", "16/32/64/128"]) == ("double", 12, (16, 32, 64, 128))
    assert many(axis("blocks"), ["2,4,3,2", "6,12"]) == ((2, 4, 3, 2), (6, 12))


def test_a_range_a_stage_is_every_combination() -> None:
    assert many(axis("growth"), ["8:16:8/4/1:3"]) == tuple(itertools.product((8, 16), (4,), (1, 2, 3)))
    assert many(axis("compression"), ["0.25:0.75:0.25/0.5"]) == ((0.25, 0.5), (0.5, 0.5), (0.75, 0.5))
    for text, says in (("1:1000/1:1000/1:1000", "1,000,000,000 values"), ("1:2/double:3", "range"), ("1:2/", "whole")):
        with pytest.raises(UsageError, match=says):
            many(axis("growth"), [text])
    with pytest.raises(UsageError):
        many(axis("init"), ["1:2/3"])


@given(st.sampled_from(sorted(axis.option for axis in AXES)), st.text(max_size=20))
def test_any_text_is_values_or_a_usage_error(name: str, text: str) -> None:
    try:
        many(axis(name), [text])
    except UsageError as error:
        assert error.where == f"--{name}"
        assert error.fix


def test_an_unknown_axis_is_named_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'growth'"):
        Grid(growht=[12])
    assert axis("block_config") is axis("blocks") is BY_FIELD["block_config"]


def test_a_grid_is_the_product_of_its_axes() -> None:
    grid = Grid(block=["dense"], blocks=[(2, 2), (1, 1)], growth=[4, 8], bn_size=[2, 4], ratio=[0.5])
    variants = list(grid)
    assert len(variants) == len(grid) == 2 * 2 * 3
    expected = {
        Variant(block="dense", block_config=b, growth=g, **hidden)
        for b, g in itertools.product([(2, 2), (1, 1)], [4, 8])
        for hidden in ({"bn_size": 2}, {"bn_size": 4}, {"ratio": 0.5})
    }
    assert set(variants) == expected


def test_a_single_value_is_an_axis_of_one() -> None:
    assert list(Grid(blocks=(2, 2), growth=8, block="dense")) == [Variant(block="dense", block_config=(2, 2), growth=8)]


def test_bad_combinations_are_named_and_equal_variants_come_once() -> None:
    found = list(Grid(block=["basic", "dense"], ratio=[0.25], growth=[8, 8]))
    assert [type(item) for item in found] == [BadVariant, BadVariant, Variant]
    bad = found[0]
    assert isinstance(bad, BadVariant)
    assert "block=basic" in bad.name
    assert "no hidden width" in bad.error.what


def test_the_default_grid_doubles_only_the_residual_block() -> None:
    variants = [v for v in Grid.default({"block_config": [(2, 4, 3, 2)]}) if isinstance(v, Variant)]
    assert len(variants) == 18 + 15
    assert all(v.block == "residual" for v in variants if v.growth == "double")
    assert Variant() in variants


@given(hnp.arrays(np.int64, st.tuples(st.integers(0, 40), st.integers(1, 4)), elements=st.integers(0, 6)))
def test_the_front_equals_its_definition(points: np.ndarray) -> None:
    def dominated(p: np.ndarray) -> bool:
        return any((q <= p).all() and (q < p).any() for q in points)

    assert front(points).tolist() == [not dominated(p) for p in points]
