"""Records of equal variants in one call."""

from __future__ import annotations

from analyzer.architecture.variant import Variant
from analyzer.reading.family import record, records


def test_equal_variants_are_counted_each() -> None:
    variant = Variant(block_config=(1, 1), growth=8, image=64)
    assert list(records([variant] * 3)) == [record(variant, layers=False)] * 3
