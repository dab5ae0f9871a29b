"""A stage as a repetition: counted by its first layer and one for all others, or layer by layer, it costs the same."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_arrays import random_like
from variants import BUILT_IN, variants

from analyzer.architecture.blocks import BLOCKS, block
from analyzer.architecture.network import Columns, trace
from analyzer.architecture.variant import Variant
from analyzer.errors import ArchitectureError
from analyzer.figures import FIGURES
from analyzer.reading import readings, vector
from analyzer.reading.family import _groups, columns_of, record
from analyzer.reading.vector import ColumnCounts, count_columns

EXACT = [figure.name for figure in FIGURES.values() if figure.arrays and figure.standing == "exact"]


def long_way(columns: Columns, batch: int) -> ColumnCounts:
    with np.errstate(all="ignore"):
        return vector._count(columns, vector.shape(columns), vector.Wanted(batch, EXACT))[0]


def assert_same(short: ColumnCounts, long: ColumnCounts) -> None:
    assert np.array_equal(short.invalid, long.invalid)
    valid = ~long.invalid
    assert np.array_equal(short.untrainable[valid], long.untrainable[valid])
    trains = valid & ~long.untrainable
    for name in EXACT:
        rows = trains if FIGURES[name].training else valid
        assert np.array_equal(short.figures[name][rows], long.figures[name][rows]), name


def deeper(first: Variant, chance: random.Random) -> Variant:
    """The variant with stages deep enough to be repetitions."""
    depths = tuple(chance.choice([1, 2, 3, 4, 5, 7, 20]) for _ in first.block_config)
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in first.to_dict().items()}
    return Variant(**fields | {"block_config": depths})


FLOORS = Variant(block="residual", block_config=(9, 9), growth=100, ratio=0.29, init=100)
"""int(n x 0.29) is 28, 57, 87, 115 of n = 100, 200, 300, 400: a product is rounded up on the way."""
WIDE = Variant(block="dense", block_config=(40, 40), growth=1_000_000, bn_size=10_000, image=65_536)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@example(WIDE, 0, 1)
@example(FLOORS, 0, 1)
@given(variants(), st.integers(0, 2**32), st.integers(1, 5))
def test_the_short_way_is_the_long_way(first: Variant, seed: int, batch: int) -> None:
    chance = random.Random(seed)
    first = deeper(first, chance)
    for _, group in _groups([first, *random_like(first, chance, 30)]):
        columns = columns_of(group)
        assert_same(count_columns(columns, batch, EXACT), long_way(columns, batch))


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_block_short_is_every_variant_alone(name: str) -> None:
    """Against the scalar form, on sizes that most blocks can repeat: figures, and which variants make no network."""
    fields: dict[str, Any] = {"block": name, "block_config": (7, 1, 9), "classes": 10}
    if BLOCKS[name].has_hidden:
        fields["ratio" if name in ("residual", "add") else "bn_size"] = 0.25 if name in ("residual", "add") else 2
    group = [
        Variant(**fields, growth=growth, init=init, image=image, groups=groups)
        for growth in (8, 12, 20) for init in (16, 24) for image in (8, 32, 97) for groups in (2, 3)
    ]  # fmt: skip
    counts = count_columns(columns_of(group), 2, EXACT)
    for i, variant in enumerate(group):
        try:
            alone = record(variant, 2, layers=False)
        except ArchitectureError:
            assert counts.invalid[i]
            continue
        assert not counts.invalid[i]
        trains = not counts.untrainable[i]
        assert trains is (alone.saved_bytes is not None)
        for figure in EXACT:
            assert (not trains and FIGURES[figure].training) or counts.figures[figure][i] == getattr(alone, figure)


def ops_of(*variants_: Variant, short: bool) -> int:
    return sum(1 for _ in trace(columns_of(variants_), short=short).recorded())


@pytest.mark.parametrize("name", [name for name in BUILT_IN if name not in ("logdense", "harmonic")])
def test_a_stage_as_deep_as_can_be_is_a_few_ops(name: str) -> None:
    like = {"block": name, "growth": 16} | ({"ratio": 0.25} if BLOCKS[name].has_hidden else {})
    few, many = ([Variant(**like, block_config=(depth,), init=init) for init in (16, 32)] for depth in (5, 1000))
    assert ops_of(*few, short=True) == ops_of(*many, short=True) < ops_of(*few, short=False)


def test_variants_that_floor_are_counted_apart() -> None:
    """Of ratio 0.3, a width that is no multiple of 1/2^20, and of 0.25 with growths that don't come out whole."""
    group = [
        Variant(block="residual", block_config=(12, 6), growth=growth, ratio=ratio, init=40)
        for growth in (10, 11, 12) for ratio in (0.25, 0.3, 0.5)
    ]  # fmt: skip
    columns = columns_of(group)
    regular = trace(columns, short=True).regular
    assert regular.tolist() == [v.ratio != 0.3 and v.growth * v.ratio % 1 == 0 for v in group]
    assert_same(count_columns(columns, 1, EXACT), long_way(columns, 1))


# -- what a layer may do that can't be repeated ------------------------------------------------------------------


def odd_layer(net, x, i_or_layer, odd):
    y = net.relu("relu", net.norm("norm", x))
    return net.concat(x, net.conv("conv", y, odd(x, i_or_layer)))


ODD = {
    "widens": lambda x, layer: layer.growth + x.channels // 3,
    "floors": lambda x, layer: x.channels // 7 + 1,
    "looks": lambda x, layer: layer.growth if (np.asarray(x.channels) < 1000).all() else 2 * layer.growth,
    "powers": lambda x, layer: layer.growth + 0 * x.channels**2,
}


@pytest.mark.parametrize("kind", ODD)
def test_a_layer_that_asks_more_of_a_width_is_counted_layer_by_layer(kind: str, monkeypatch) -> None:
    monkeypatch.setattr("analyzer.architecture.registry.BLOCKS", dict(BLOCKS))
    name = f"odd{kind}"
    block(name, kind="OddLayer")(lambda net, x, layer: odd_layer(net, x, layer, ODD[kind]))
    try:
        columns = columns_of([Variant(block=name, block_config=(9,), growth=8, init=i) for i in (12, 20, 33)])
        assert_same(count_columns(columns, 1, EXACT), long_way(columns, 1))
        for i, init in enumerate((12, 20, 33)):
            alone = record(Variant(block=name, block_config=(9,), growth=8, init=init), layers=False)
            assert count_columns(columns).figures["params"][i] == alone.params
    finally:
        del BLOCKS[name]


class Collecting:
    """Stages that no repetition can be: their layers follow from more than the input and are read by more."""

    @staticmethod
    def by_number(net, x, depth, layer_at, kind):
        def layer(x, i):
            with net.scope(f"denselayer{i + 1}", kind.kind):
                width = layer_at(x, i).growth * (2 if i % 2 else 1)
                return net.concat(x, net.conv("conv", net.norm("norm", x), width))

        return net.repeat(x, depth, layer)

    @staticmethod
    def all_outputs(net, x, depth, layer_at, kind):
        new = []

        def layer(x, i):
            with net.scope(f"denselayer{i + 1}", kind.kind):
                new.append(net.conv("conv", net.norm("norm", x), layer_at(x, i).growth))
                return net.concat(x, new[-1])

        return net.concat(net.repeat(x, depth, layer), *new)

    @staticmethod
    def one_for_all(net, x, depth, layer_at, kind):
        first = net.norm("norm", x)

        def layer(x, i):
            with net.scope(f"denselayer{i + 1}", kind.kind):
                y = net.concat(first, net.norm("norm", x))
                return net.concat(x, net.conv("conv", y, layer_at(x, i).growth))

        return net.repeat(x, depth, layer)


@pytest.mark.parametrize("stage", ["by_number", "all_outputs", "one_for_all"])
def test_layers_that_are_not_alike_are_counted_one_by_one(stage: str) -> None:
    block("stagewise", kind="StageLayer", stage=getattr(Collecting, stage))(lambda net, x, layer: x)
    try:
        group = [Variant(block="stagewise", block_config=(9, 5), growth=8, init=init) for init in (12, 20)]
        counts = count_columns(columns_of(group), 2, EXACT)
        for i, variant in enumerate(group):
            alone = record(variant, 2, layers=False)
            assert {name: counts.figures[name][i] for name in EXACT} == {name: getattr(alone, name) for name in EXACT}
    finally:
        del BLOCKS["stagewise"]


# -- unlike depths in one pass -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in BUILT_IN if name not in ("logdense", "harmonic")])
def test_depths_are_an_axis_like_any_other(name: str) -> None:
    """Layers past a variant's depth cost nothing and make nothing invalid."""
    hidden = {"ratio": 0.25} if BLOCKS[name].ratio is not None else {"bn_size": 2} if BLOCKS[name].has_hidden else {}
    depths = [(1, 1), (2, 1), (1, 6), (9, 2), (40, 3)]
    group = [
        Variant(block=name, block_config=depth, growth=growth, init=24, groups=groups, image=image, **hidden)
        for depth in depths for growth in (8, 12) for groups in (2, 3) for image in (2, 64)
    ]  # fmt: skip
    like = [Variant.from_dict(v.to_dict() | {"block_config": [1, 1]}) for v in group]
    columns = columns_of(like)
    stages = tuple(np.array([v.block_config[stage] for v in group]) for stage in (0, 1))
    columns = Columns(**{**vars(columns), "block_config": stages})
    counts = count_columns(columns, 1, EXACT)
    for i, variant in enumerate(group):
        try:
            alone = record(variant, 1, layers=False)
        except ArchitectureError:
            assert counts.invalid[i], variant
            continue
        assert not counts.invalid[i], variant
        assert counts.untrainable[i] == (alone.saved_bytes is None)
        for figure in EXACT:
            if not (counts.untrainable[i] and FIGURES[figure].training):
                assert counts.figures[figure][i] == getattr(alone, figure), (variant, figure)


def test_a_reading_that_knows_nothing_of_repetitions_reads_every_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(readings.READINGS, "depth", lambda read: sum(op.is_layer for _, op in read.net.ops()))
    columns = columns_of([Variant(block="dense", block_config=(6, 9), growth=growth, bn_size=2) for growth in (8, 16)])
    stem, layers, transition, classifier = 1, 2 * (6 + 9), 1, 1
    counted = count_columns(columns, 1, ["depth"]).figures["depth"]
    assert counted.tolist() == [stem + layers + transition + classifier] * 2
