"""Variant: names and JSON both ways, limits as typed errors, whatever is thrown at it."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from variants import variants

from analyzer.architecture.network import PRESETS, trace
from analyzer.architecture.variant import Variant
from analyzer.errors import ArchitectureError, UsageError, VariantError
from analyzer.targets.resolving import named


@given(variants())
def test_the_name_parses_back_and_is_safe_as_a_file_name(variant: Variant) -> None:
    assert Variant.parse(variant.name) == variant
    assert named(variant.name) == variant
    assert re.fullmatch(r"[a-z0-9._-]{1,240}", variant.name)


@given(variants())
def test_json_both_ways(variant: Variant) -> None:
    assert Variant.from_json(variant.to_json()) == variant
    assert Variant.from_dict(variant.to_dict()) == variant
    assert hash(Variant.from_dict(variant.to_dict())) == hash(variant)


@given(variants(), variants())
def test_equal_names_are_equal_variants(a: Variant, b: Variant) -> None:
    assert (a.name == b.name) == (a == b)


def test_equal_however_it_is_said() -> None:
    assert Variant() == PRESETS["article"] == Variant(ratio=0.25, compression=0.5, growth="double")
    assert Variant(growth=(32, 32, 32, 32)) == Variant(growth=32)
    assert Variant(block_config=[2, 4, 3, 2]) == Variant(block_config=(np.int64(2), 4, 3, 2))


@given(st.one_of(st.text(max_size=60), st.text("residual_dense_bgrcnix0123456789.-e", max_size=60)))
def test_any_text_parses_or_is_a_typed_error(text: str) -> None:
    for read in (Variant.parse, Variant.from_json, named):
        try:
            read(text)
        except UsageError as error:
            assert error.what
            assert error.fix


ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.lists(st.integers(), max_size=9),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2), st.complex_numbers(),
)  # fmt: skip


@given(st.sampled_from(sorted(Variant().to_dict())), ANYTHING)
def test_any_field_of_any_type_is_a_variant_or_a_typed_error(field: str, value: object) -> None:
    try:
        Variant(**{field: value})
    except VariantError as error:
        assert error.where
        assert error.fix


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"kernel": 4}, "even"),
        ({"init": -1}, "out of range"),
        ({"init": 0}, "out of range"),
        ({"init": True}, "out of range"),
        ({"growth": 0}, "out of range"),
        ({"growth": "triple"}, "unknown"),
        ({"growth": (1, 2)}, "4 stages"),
        ({"block_config": ()}, "stages"),
        ({"block_config": (1,) * 9}, "stages"),
        ({"block_config": (2, 0)}, "stages"),
        ({"ratio": float("nan")}, "out of range"),
        ({"ratio": float("inf")}, "out of range"),
        ({"compression": 1.5}, "out of range"),
        ({"drop": 1}, "out of range"),
        ({"ratio": 0.5, "bn_size": 4}, "both"),
        ({"block": "basic", "ratio": 0.5}, "no hidden width"),
        ({"block": "bottleneck", "compression": 0.5}, "no transitions"),
        ({"block": "bottleneck", "drop": 0.1}, "no dropout"),
        ({"block": "densee"}, "unknown block"),
        ({"block": []}, "unknown block"),
        ({"stem": "tiny"}, "unknown stem"),
        ({"image": 10**9}, "out of range"),
        ({"classes": 2**80}, "out of range"),
    ],
)
def test_limits(fields: dict, says: str) -> None:
    with pytest.raises(VariantError, match=says):
        Variant(**fields)


@pytest.mark.parametrize(
    ("fields", "where", "says"),
    [
        ({"image": 16}, "features.transition3.pool", "shrinks"),
        ({"block_config": (1, 1, 1, 1, 1), "stem": "small", "image": 8}, "features.transition4.pool", "shrinks"),
        ({"compression": 0.001, "growth": 4}, "features.transition1.conv", "width reaches 0"),
        ({"ratio": 0.01}, "features.denseblock1.denselayer1.conv1", "width reaches 0"),
        ({"groups": 3}, "features.denseblock1.denselayer1.conv2", "3 groups"),
        ({"block_config": (2, 60)}, "network", "2^63"),
        ({"stem": "deep", "init": 1}, "features.conv0_0", "width reaches 0"),
    ],
)
def test_what_makes_no_network_names_the_place(fields: dict, where: str, says: str) -> None:
    from analyzer.reading import exact

    with pytest.raises(ArchitectureError, match=re.escape(says)) as caught:
        exact.total(trace(Variant(**fields)))
    assert caught.value.where == where
    assert caught.value.fix


def test_a_relu_in_place_may_not_touch_a_shared_value() -> None:
    from analyzer.architecture.net import Net

    net = Net()
    x = net.norm("norm", net.conv("conv", net.input(3, 8), 4))
    y = net.conv("conv1", net.relu("relu", x), 4)
    with pytest.raises(ArchitectureError, match="overwrote in place"):
        net.concat(x, y)
    net = Net()
    x = net.norm("norm", net.conv("conv", net.input(3, 8), 4))
    net.conv("conv1", x, 4)
    with pytest.raises(ArchitectureError, match="another op has read"):
        net.relu("relu", x)


def test_a_name_too_long_for_a_file_is_refused() -> None:
    with pytest.raises(VariantError, match="characters"):
        Variant(
            block_config=(1,) * 8,
            ratio=tuple(0.1 + i / 7 for i in range(8)),
            compression=tuple(0.1 + i / 17 for i in range(7)),
        )
